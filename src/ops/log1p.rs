//! y = ln(1 + x), dx = g / (1 + x).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Log1p;

impl Function for Log1p {
    const NAME: &'static str = "log1p";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::LOGARITHM];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.ln_1p()
    }
    fn wgsl(&self) -> String {
        "log1p_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g / (x + 1.0))
    }
}

impl Tensor<'_> {
    /// ln(1 + x), accurate for small x.
    #[must_use]
    #[track_caller]
    pub fn log1p(self) -> Self {
        self.graph.record(Unary(Log1p), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -0.8, 3.0)], |x| x[0].log1p()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].log1p()),
    ]
}
