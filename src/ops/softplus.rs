//! y = ln(1 + exp(x)), dx = g sigmoid(x).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Softplus;

impl Function for Softplus {
    const NAME: &'static str = "softplus";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.max(T::zero()) + (-x.abs()).exp().ln_1p()
    }
    fn wgsl(&self) -> String {
        "softplus_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.sigmoid())
    }
}

impl Tensor<'_> {
    /// ln(1 + exp(x)), a smooth relu.
    #[must_use]
    #[track_caller]
    pub fn softplus(self) -> Self {
        self.graph.record(Unary(Softplus), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -6.0, 6.0)], |x| x[0].softplus()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].softplus()),
    ]
}
