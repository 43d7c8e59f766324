//! y = cos(x), dx = -g sin(x).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Cos;

impl Function for Cos {
    const NAME: &'static str = "cos";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::TRIGONOMETRY];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.cos()
    }
    fn wgsl(&self) -> String {
        "cos_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.sin() * -1.0)
    }
}

impl Tensor<'_> {
    /// The cosine of an angle in radians.
    #[must_use]
    #[track_caller]
    pub fn cos(self) -> Self {
        self.graph.record(Unary(Cos), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -7.0, 7.0)], |x| x[0].cos()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].cos()),
    ]
}
