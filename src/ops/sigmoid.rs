//! y = 1 / (1 + exp(-x)), dx = g e / (1 + e)^2 with e = exp(-|x|): not y (1 - y), which cancels.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Sigmoid;

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        let e = (-x.abs()).exponential();
        let numerator = if x < T::zero() { e } else { T::one() };
        numerator / (T::one() + e)
    }
    fn wgsl(&self) -> String {
        "sigmoid_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(Derivative), &[x]))
    }
}

impl Tensor<'_> {
    /// The logistic function, 1 / (1 + exp(-x)).
    #[must_use]
    #[track_caller]
    pub fn sigmoid(self) -> Self {
        self.graph.record(Unary(Sigmoid), &[self])
    }
}

#[derive(Clone, Copy, Debug)]
struct Derivative;

impl Function for Derivative {
    const NAME: &'static str = "sigmoid_derivative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        let e = (-x.abs()).exponential();
        e / ((T::one() + e) * (T::one() + e))
    }
    fn wgsl(&self) -> String {
        "sigmoid_derivative_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, _g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::Composition
    }
    fn composition<'g>(&self, x: Tensor<'g>) -> Option<Tensor<'g>> {
        let e = (-x.abs()).exp();
        Some(e / (e + 1.0).square())
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -6.0, 6.0)], |x| x[0].sigmoid()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].sigmoid()),
        Case::new("derivative", vec![CaseInput::uniform([3, 65], 0.2, 6.0)], |x| {
            x[0].graph().record(Unary(Derivative), &[x[0]])
        }),
        Case::new("derivative, negative", vec![CaseInput::uniform([3, 65], -6.0, -0.2)], |x| {
            x[0].graph().record(Unary(Derivative), &[x[0]])
        }),
    ]
}
