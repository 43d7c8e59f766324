//! y = x tanh(softplus(x)), dx = g (t + x (1 - t^2) sigmoid(x)) with t = tanh(softplus(x)). Source: Misra 2019.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[inline(always)]
fn softplus<T: Real>(x: T) -> T {
    x.max(T::zero()) + (-x.abs()).exp().ln_1p()
}

#[derive(Clone, Copy, Debug)]
struct Mish;

impl Function for Mish {
    const NAME: &'static str = "mish";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x * softplus(x).tanh()
    }
    fn wgsl(&self) -> String {
        "mish_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(Derivative), &[x]))
    }
}

impl Tensor<'_> {
    /// x tanh(softplus(x)).
    #[must_use]
    #[track_caller]
    pub fn mish(self) -> Self {
        self.graph.record(Unary(Mish), &[self])
    }
}

#[derive(Clone, Copy, Debug)]
struct Derivative;

impl Function for Derivative {
    const NAME: &'static str = "mish_derivative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        let t = softplus(x).tanh();
        t + x * (T::one() - t * t) / (T::one() + (-x).exp())
    }
    fn wgsl(&self) -> String {
        "mish_derivative_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, _g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::Composition
    }
    fn composition<'g>(&self, x: Tensor<'g>) -> Option<Tensor<'g>> {
        let t = x.softplus().tanh();
        Some(t + x * (1.0 - t.square()) * x.sigmoid())
    }
}

pub(super) fn cases() -> Vec<Case> {
    let derivative = |x: Tensor<'_>| x.graph().record(Unary(Derivative), &[x]).id();
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -5.0, 5.0)], |x| x[0].mish()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].mish()),
        Case::new("derivative", vec![CaseInput::uniform([3, 65], -5.0, 5.0)], move |x| {
            x[0].graph().at(derivative(x[0]))
        }),
    ]
}
