//! y = erf(x), dx = 2 / sqrt(pi) g exp(-x^2).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Erf;

impl Function for Erf {
    const NAME: &'static str = "erf";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ERROR_FUNCTION];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        Real::erf(x)
    }
    fn wgsl(&self) -> String {
        "erf_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * (x.square() * -1.0).exp() * std::f64::consts::FRAC_2_SQRT_PI)
    }
}

impl Tensor<'_> {
    /// The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.
    #[must_use]
    #[track_caller]
    pub fn erf(self) -> Self {
        self.graph.record(Unary(Erf), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -2.5, 2.5)], |x| x[0].erf()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].erf()),
    ]
}
