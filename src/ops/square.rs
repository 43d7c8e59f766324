//! y = x^2, dx = 2 g x.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Tensor};

#[derive(Clone, Copy, Debug)]
struct Square;

impl Function for Square {
    const NAME: &'static str = "square";
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x * x
    }
    fn wgsl(&self) -> String {
        "({0} * {0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x * 2.0)
    }
}

impl Tensor<'_> {
    /// The square.
    #[must_use]
    #[track_caller]
    pub fn square(self) -> Self {
        self.graph.record(Unary(Square), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -3.0, 3.0)], |x| x[0].square()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].square()),
    ]
}
