//! y = 1 / x, dx = -g y^2.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Tensor};

#[derive(Clone, Copy, Debug)]
struct Reciprocal;

impl Function for Reciprocal {
    const NAME: &'static str = "reciprocal";
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.recip()
    }
    fn wgsl(&self) -> String {
        "(1.0f / {0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * (y * y) * -1.0)
    }
}

impl Tensor<'_> {
    /// One over x.
    #[must_use]
    #[track_caller]
    pub fn reciprocal(self) -> Self {
        self.graph.record(Unary(Reciprocal), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], 0.2, 4.0)], |x| x[0].reciprocal()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].reciprocal()),
    ]
}
