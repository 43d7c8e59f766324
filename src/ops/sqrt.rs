//! y = sqrt(x), dx = g / (2 y).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Tensor};

#[derive(Clone, Copy, Debug)]
struct Sqrt;

impl Function for Sqrt {
    const NAME: &'static str = "sqrt";
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.sqrt()
    }
    fn wgsl(&self) -> String {
        "sqrt({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one((g / y) * 0.5)
    }
}

impl Tensor<'_> {
    /// The square root. Its gradient at zero is infinite.
    #[must_use]
    #[track_caller]
    pub fn sqrt(self) -> Self {
        self.graph.record(Unary(Sqrt), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], 0.05, 5.0)], |x| x[0].sqrt()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].sqrt()),
    ]
}
