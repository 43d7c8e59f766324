//! y = x c with c = (1 + erf(x / sqrt 2)) / 2, dx = g (c + x phi(x)), phi the normal density. Source: Hendrycks,
//! Gimpel 2016.
//!
//! c, the normal distribution's cumulative probability, is an op of its own: both directions need it.

use super::elementwise::{Binary, Function, Function2, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};
use std::f64::consts::FRAC_1_SQRT_2;

/// 1 / sqrt(2 pi): the normal density at 0.
const DENSITY: f64 = 0.398_942_280_401_432_7;

#[inline(always)]
fn density<T: Real>(x: T) -> T {
    T::real(DENSITY) * (x * x * T::real(-0.5)).exponential()
}

/// The cumulative probability of the normal distribution.
#[derive(Clone, Copy, Debug)]
struct NormalCumulative;

impl Function for NormalCumulative {
    const NAME: &'static str = "normal_cumulative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ERROR_FUNCTION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        // (1 + erf(z)) / 2 without its cancellation for negative z.
        T::real(0.5) * Real::erfc(x * T::real(-FRAC_1_SQRT_2))
    }
    fn wgsl(&self) -> String {
        "(0.5f * erfc_f32({0} * -0.70710678f))".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * (x.square() * -0.5).exp() * DENSITY)
    }
}

/// x c, where c is the cumulative probability of x: the gradient of x counts what passes through c.
#[derive(Clone, Copy, Debug)]
struct GeluErf;

impl Function2 for GeluErf {
    const NAME: &'static str = "gelu_erf";
    #[inline(always)]
    fn value<T: Real>(&self, x: T, cumulative: T) -> T {
        x * cumulative
    }
    fn wgsl(&self) -> String {
        "({0} * {1})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, cumulative: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        let slope = x.graph().record(Binary(Derivative), &[x, cumulative]);
        Cotangents::Inputs(vec![Some(g * slope), None])
    }
}

impl Tensor<'_> {
    /// The Gaussian error linear unit: [`gelu_erf`](Self::gelu_erf), its exact form. Source: Hendrycks, Gimpel 2016.
    #[must_use]
    #[track_caller]
    pub fn gelu(self) -> Self {
        self.gelu_erf()
    }

    /// The Gaussian error linear unit in its exact form, x (1 + erf(x / sqrt 2)) / 2. Source: Hendrycks, Gimpel 2016.
    #[must_use]
    #[track_caller]
    pub fn gelu_erf(self) -> Self {
        let cumulative = self.graph.record(Unary(NormalCumulative), &[self]);
        self.graph.record(Binary(GeluErf), &[self, cumulative])
    }
}

/// c + x phi(x), with the cumulative probability c of x.
#[derive(Clone, Copy, Debug)]
struct Derivative;

impl Function2 for Derivative {
    const NAME: &'static str = "gelu_erf_derivative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::EXPONENTIAL];
    #[inline(always)]
    fn value<T: Real>(&self, x: T, cumulative: T) -> T {
        cumulative + x * density(x)
    }
    fn wgsl(&self) -> String {
        "({1} + {0} * 0.39894228f * exp_f32(-0.5f * {0} * {0}))".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _cumulative: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        // (c + x phi)' = 2 phi - x^2 phi, what passes through c included.
        let density = (x.square() * -0.5).exp() * DENSITY;
        Cotangents::Inputs(vec![Some(g * (density * (2.0 - x.square()))), None])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let derivative = |x: Tensor<'_>| {
        let cumulative = x.graph().record(Unary(NormalCumulative), &[x]);
        x.graph().record(Binary(Derivative), &[x, cumulative]).id()
    };
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], |x| x[0].gelu_erf()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].gelu_erf()),
        Case::new("derivative", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], move |x| {
            x[0].graph().at(derivative(x[0]))
        }),
        Case::new("cumulative probability", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], |x| {
            x[0].graph().record(Unary(NormalCumulative), &[x[0]])
        }),
    ]
}
