//! y = exp(x) - 1, dx = g exp(x): not y + 1, which cancels for negative x.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Expm1;

impl Function for Expm1 {
    const NAME: &'static str = "expm1";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::EXPONENTIAL];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.exp_m1()
    }
    fn wgsl(&self) -> String {
        "expm1_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.exp())
    }
}

impl Tensor<'_> {
    /// exp(x) - 1, accurate for small x.
    #[must_use]
    #[track_caller]
    pub fn expm1(self) -> Self {
        self.graph.record(Unary(Expm1), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], |x| x[0].expm1()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].expm1()),
    ]
}
