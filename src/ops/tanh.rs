//! y = tanh(x), dx = g sech(x)^2 = g 4 e / (1 + e)^2 with e = exp(-2 |x|): not 1 - y^2, which cancels.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Tanh;

impl Function for Tanh {
    const NAME: &'static str = "tanh";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::HYPERBOLIC];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.hyperbolic_tangent()
    }
    fn wgsl(&self) -> String {
        "tanh_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(Derivative), &[x]))
    }
}

impl Tensor<'_> {
    /// The hyperbolic tangent.
    #[must_use]
    #[track_caller]
    pub fn tanh(self) -> Self {
        self.graph.record(Unary(Tanh), &[self])
    }
}

#[derive(Clone, Copy, Debug)]
struct Derivative;

impl Function for Derivative {
    const NAME: &'static str = "tanh_derivative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        let e = (x.abs() * T::real(-2.0)).exponential();
        T::real(4.0) * e / ((T::one() + e) * (T::one() + e))
    }
    fn wgsl(&self) -> String {
        "tanh_derivative_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, _g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::Composition
    }
    fn composition<'g>(&self, x: Tensor<'g>) -> Option<Tensor<'g>> {
        let e = (x.abs() * -2.0).exp();
        Some(e * 4.0 / (e + 1.0).square())
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -3.0, 3.0)], |x| x[0].tanh()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].tanh()),
        Case::new("derivative", vec![CaseInput::uniform([3, 65], 0.2, 3.0)], |x| {
            x[0].graph().record(Unary(Derivative), &[x[0]])
        }),
        Case::new("derivative, negative", vec![CaseInput::uniform([3, 65], -3.0, -0.2)], |x| {
            x[0].graph().record(Unary(Derivative), &[x[0]])
        }),
    ]
}
