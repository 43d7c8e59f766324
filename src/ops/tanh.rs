//! y = tanh(x), dx = g (1 - y^2).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Debug)]
struct Tanh;

impl Function for Tanh {
    const NAME: &'static str = "tanh";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::HYPERBOLIC];
    fn value<T: Real>(&self, x: T) -> T {
        x.tanh()
    }
    fn wgsl(&self) -> String {
        "tanh_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * (1.0 - y.square()))
    }
}

impl<'g> Tensor<'g> {
    /// The hyperbolic tangent.
    #[must_use]
    #[track_caller]
    pub fn tanh(self) -> Self {
        self.graph.record(Unary(Tanh), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -3.0, 3.0)], |x| x[0].tanh()),
        Case::new("one element", vec![CaseInput::uniform([1], -3.0, 3.0)], |x| x[0].tanh()),
    ]
}
