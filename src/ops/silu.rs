//! y = x sigmoid(x), dx = g s (1 + x (1 - s)) with s = sigmoid(x). Source: Elfwing, Uchibe, Doya 2018.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Silu;

impl Function for Silu {
    const NAME: &'static str = "silu";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x / (T::one() + (-x).exponential())
    }
    fn wgsl(&self) -> String {
        "silu_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(Derivative), &[x]))
    }
}

impl Tensor<'_> {
    /// x sigmoid(x), also called swish. Source: Elfwing, Uchibe, Doya 2017.
    #[must_use]
    #[track_caller]
    pub fn silu(self) -> Self {
        self.graph.record(Unary(Silu), &[self])
    }
}

#[derive(Clone, Copy, Debug)]
struct Derivative;

impl Function for Derivative {
    const NAME: &'static str = "silu_derivative";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        let s = T::one() / (T::one() + (-x).exponential());
        s * (T::one() + x * (T::one() - s))
    }
    fn wgsl(&self) -> String {
        "silu_derivative_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, _g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::Composition
    }
    fn composition<'g>(&self, x: Tensor<'g>) -> Option<Tensor<'g>> {
        let s = x.sigmoid();
        Some(s * (x * (1.0 - s) + 1.0))
    }
}

pub(super) fn cases() -> Vec<Case> {
    let derivative = |x: Tensor<'_>| x.graph().record(Unary(Derivative), &[x]).id();
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -5.0, 5.0)], |x| x[0].silu()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].silu()),
        Case::new("derivative", vec![CaseInput::uniform([3, 65], -5.0, 5.0)], move |x| {
            x[0].graph().at(derivative(x[0]))
        }),
    ]
}
