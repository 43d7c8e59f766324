//! y = 1 / sqrt(x), dx = -g y^3 / 2.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Tensor};

#[derive(Clone, Copy, Debug)]
struct Rsqrt;

impl Function for Rsqrt {
    const NAME: &'static str = "rsqrt";
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.sqrt().recip()
    }
    fn wgsl(&self) -> String {
        "inverseSqrt({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * (y * y * y) * -0.5)
    }
}

impl Tensor<'_> {
    /// One over the square root.
    #[must_use]
    #[track_caller]
    pub fn rsqrt(self) -> Self {
        self.graph.record(Unary(Rsqrt), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], 0.05, 5.0)], |x| x[0].rsqrt()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].rsqrt()),
    ]
}
