//! y = ln(x), dx = g / x.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Log;

impl Function for Log {
    const NAME: &'static str = "log";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::LOGARITHM];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.ln()
    }
    fn wgsl(&self) -> String {
        "log_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g / x)
    }
}

impl Tensor<'_> {
    /// The natural logarithm. NaN below zero, minus infinity at zero.
    #[must_use]
    #[track_caller]
    pub fn log(self) -> Self {
        self.graph.record(Unary(Log), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], 0.05, 5.0)], |x| x[0].log()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].log()),
    ]
}
