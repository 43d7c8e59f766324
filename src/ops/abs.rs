//! y = |x|, dx = g sign(x); 0 at 0.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Draw, Tensor};

#[derive(Clone, Copy, Debug)]
struct Abs;

impl Function for Abs {
    const NAME: &'static str = "abs";
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.abs()
    }
    fn wgsl(&self) -> String {
        "abs({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.sign())
    }
}

impl Tensor<'_> {
    /// The absolute value. Its gradient at zero is zero.
    #[must_use]
    #[track_caller]
    pub fn abs(self) -> Self {
        self.graph.record(Unary(Abs), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let draw = || Draw::Avoiding { low: -2.0, high: 2.0, points: &[0.0], margin: 0.01 };
    vec![
        Case::new("plain", vec![CaseInput::new([3, 65], draw())], |x| x[0].abs()),
        Case::new("one element", vec![CaseInput::new([1], draw())], |x| x[0].abs()),
    ]
}
