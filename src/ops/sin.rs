//! y = sin(x), dx = g cos(x).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Sin;

impl Function for Sin {
    const NAME: &'static str = "sin";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::TRIGONOMETRY];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.sin()
    }
    fn wgsl(&self) -> String {
        "sin_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.cos())
    }
}

impl Tensor<'_> {
    /// The sine of an angle in radians.
    #[must_use]
    #[track_caller]
    pub fn sin(self) -> Self {
        self.graph.record(Unary(Sin), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -7.0, 7.0)], |x| x[0].sin()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].sin()),
    ]
}
