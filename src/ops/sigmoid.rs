//! y = 1 / (1 + exp(-x)), dx = g y (1 - y).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Debug)]
struct Sigmoid;

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    fn value<T: Real>(&self, x: T) -> T {
        let e = (-x.abs()).exp();
        let numerator = if x < T::zero() { e } else { T::one() };
        numerator / (T::one() + e)
    }
    fn wgsl(&self) -> String {
        "sigmoid_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * (y * (1.0 - y)))
    }
}

impl<'g> Tensor<'g> {
    /// The logistic function, 1 / (1 + exp(-x)).
    #[must_use]
    #[track_caller]
    pub fn sigmoid(self) -> Self {
        self.graph.record(Unary(Sigmoid), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -6.0, 6.0)], |x| x[0].sigmoid()),
        Case::new("one element", vec![CaseInput::uniform([1], -6.0, 6.0)], |x| x[0].sigmoid()),
    ]
}
