//! y = x (1 + erf(x / sqrt 2)) / 2, dx = g (y / x + x phi(x)), phi the normal density. Source: Hendrycks, Gimpel 2016.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};
use std::f64::consts::FRAC_1_SQRT_2;

/// 1 / sqrt(2 pi): the normal density at 0.
const DENSITY: f64 = 0.398_942_280_401_432_7;

#[inline(always)]
fn cumulative<T: Real>(x: T) -> T {
    // (1 + erf(z)) / 2 without its cancellation for negative z.
    T::real(0.5) * Real::erfc(x * T::real(-FRAC_1_SQRT_2))
}

#[derive(Clone, Copy, Debug)]
struct GeluErf;

impl Function for GeluErf {
    const NAME: &'static str = "gelu_erf";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x * cumulative(x)
    }
    fn wgsl(&self) -> String {
        "gelu_erf_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(Derivative), &[x]))
    }
}

impl Tensor<'_> {
    /// The Gaussian error linear unit: [`gelu_erf`](Self::gelu_erf), its exact form.
    #[must_use]
    #[track_caller]
    pub fn gelu(self) -> Self {
        self.gelu_erf()
    }

    /// The Gaussian error linear unit in its exact form, x (1 + erf(x / sqrt 2)) / 2.
    #[must_use]
    #[track_caller]
    pub fn gelu_erf(self) -> Self {
        self.graph.record(Unary(GeluErf), &[self])
    }
}

#[derive(Clone, Copy, Debug)]
struct Derivative;

impl Function for Derivative {
    const NAME: &'static str = "gelu_erf_derivative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        cumulative(x) + x * T::real(DENSITY) * (x * x * T::real(-0.5)).exponential()
    }
    fn wgsl(&self) -> String {
        "gelu_erf_derivative_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, _g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::Composition
    }
    fn composition<'g>(&self, x: Tensor<'g>) -> Option<Tensor<'g>> {
        let cumulative = (x * FRAC_1_SQRT_2).erf() * 0.5 + 0.5;
        Some(cumulative + x * (x.square() * -0.5).exp() * DENSITY)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let derivative = |x: Tensor<'_>| x.graph().record(Unary(Derivative), &[x]).id();
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], |x| x[0].gelu_erf()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].gelu_erf()),
        Case::new("derivative", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], move |x| {
            x[0].graph().at(derivative(x[0]))
        }),
    ]
}
