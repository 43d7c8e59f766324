//! y = x where x > 0, else alpha (exp(x) - 1); dx = g where x > 0, else g alpha exp(x).
//! Source: Clevert, Unterthiner, Hochreiter 2016.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Attributes, Case, CaseInput, Cotangents, Draw, Library, Tensor, Text, libraries};

#[derive(Clone, Copy, Debug)]
struct Elu {
    alpha: f64,
}

impl Function for Elu {
    const NAME: &'static str = "elu";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        if x <= T::zero() { T::real(self.alpha) * x.exp_m1() } else { x }
    }
    fn wgsl(&self) -> String {
        format!("elu_f32({{0}}, {})", Text::literal(self.alpha))
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(Derivative { alpha: self.alpha }), &[x]))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("alpha", self.alpha)
    }
}

#[derive(Clone, Copy, Debug)]
struct Derivative {
    alpha: f64,
}

impl Function for Derivative {
    const NAME: &'static str = "elu_derivative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        if x <= T::zero() { T::real(self.alpha) * x.exponential() } else { T::one() }
    }
    fn wgsl(&self) -> String {
        format!("elu_derivative_f32({{0}}, {})", Text::literal(self.alpha))
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        // alpha exp(x) below zero, nothing above.
        let negative = x.le(x.graph().scalar(0.0));
        let slope = x.minimum(x.graph().scalar(0.0)).exp() * self.alpha;
        Cotangents::one(g * slope * negative.to_f32())
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("alpha", self.alpha)
    }
}

impl Tensor<'_> {
    /// x where x > 0, else `alpha` (exp(x) - 1). Source: Clevert, Unterthiner, Hochreiter 2015.
    #[must_use]
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Self {
        self.graph.record(Unary(Elu { alpha }), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::new([5, 13], Draw::Avoiding { low: -3.0, high: 2.0, points: &[0.0], margin: 0.01 })];
    vec![
        Case::new("alpha 1", input(), |x| x[0].elu(1.0)),
        Case::new("alpha 0.5", input(), |x| x[0].elu(0.5)),
        Case::new("derivative", input(), |x| x[0].graph().record(Unary(Derivative { alpha: 0.5 }), &[x[0]])),
    ]
}
