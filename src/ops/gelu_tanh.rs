//! y = x (1 + tanh(u)) / 2 = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3). Source: Hendrycks, Gimpel 2016.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

/// 2 sqrt(2 / pi).
const SCALE: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = 0.044_715;

/// 2 u.
#[inline(always)]
fn inner<T: Real>(x: T) -> T {
    T::real(SCALE) * (x + T::real(CUBIC) * x * x * x)
}

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exponential())
}

#[derive(Clone, Copy, Debug)]
struct GeluTanh;

impl Function for GeluTanh {
    const NAME: &'static str = "gelu_tanh";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x * sigmoid(inner(x))
    }
    fn wgsl(&self) -> String {
        "gelu_tanh_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(Derivative), &[x]))
    }
}

impl Tensor<'_> {
    /// The Gaussian error linear unit in its tanh form, as in GPT-2: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2. Source:
    /// Hendrycks, Gimpel 2016.
    #[must_use]
    #[track_caller]
    pub fn gelu_tanh(self) -> Self {
        self.graph.record(Unary(GeluTanh), &[self])
    }
}

#[derive(Clone, Copy, Debug)]
struct Derivative;

impl Function for Derivative {
    const NAME: &'static str = "gelu_tanh_derivative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        let e = (-inner(x).abs()).exponential();
        let slope = T::real(SCALE) * (T::one() + T::real(3.0 * CUBIC) * x * x);
        sigmoid(inner(x)) + x * e / ((T::one() + e) * (T::one() + e)) * slope
    }
    fn wgsl(&self) -> String {
        "gelu_tanh_derivative_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, _g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::Composition
    }
    fn composition<'g>(&self, x: Tensor<'g>) -> Option<Tensor<'g>> {
        let inner = (x.square() * CUBIC + 1.0) * x * SCALE;
        let slope = x.square() * (3.0 * CUBIC * SCALE) + SCALE;
        let s = inner.sigmoid();
        Some(s + x * s * (1.0 - s) * slope)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let derivative = |x: Tensor<'_>| x.graph().record(Unary(Derivative), &[x]).id();
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], |x| x[0].gelu_tanh()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].gelu_tanh()),
        Case::new("derivative", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], move |x| {
            x[0].graph().at(derivative(x[0]))
        }),
    ]
}
