//! y = exp(x), dx = g y.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Exp;

impl Function for Exp {
    const NAME: &'static str = "exp";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::EXPONENTIAL];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.exponential()
    }
    fn wgsl(&self) -> String {
        "exp_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * y)
    }
}

impl Tensor<'_> {
    /// exp(x), element by element.
    #[must_use]
    #[track_caller]
    pub fn exp(self) -> Self {
        self.graph.record(Unary(Exp), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -5.0, 5.0)], |x| x[0].exp()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].exp()),
    ]
}
