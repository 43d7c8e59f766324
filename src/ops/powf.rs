//! y = x^p for a constant p; dx = g p x^(p-1).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Attributes, Case, CaseInput, Cotangents, Library, Tensor, Text, libraries};

#[derive(Clone, Copy, Debug)]
struct Powf {
    exponent: f64,
}

impl Powf {
    /// The exponent where it is a whole number that products reach with few roundings.
    fn whole(self) -> Option<i32> {
        (self.exponent.fract() == 0.0 && self.exponent.abs() <= 64.0).then_some(self.exponent as i32)
    }
}

impl Function for Powf {
    const NAME: &'static str = "powf";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::POWER];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        match self.whole() {
            Some(exponent) => x.powi(exponent),
            None => x.powf(T::real(self.exponent)),
        }
    }
    fn wgsl(&self) -> String {
        match self.whole() {
            Some(exponent) => format!("power_integer({{0}}, {exponent})"),
            None => format!("power_real({{0}}, {})", Text::literal(self.exponent)),
        }
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        if self.exponent == 0.0 {
            Cotangents::ends(1)
        } else {
            Cotangents::one(g * x.powf(self.exponent - 1.0) * self.exponent)
        }
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("exponent", self.exponent)
    }
}

impl Tensor<'_> {
    /// x^exponent. Negative x is fine with a whole exponent, and gives NaN with another.
    #[must_use]
    #[track_caller]
    pub fn powf(self, exponent: f64) -> Self {
        if !(exponent as f32).is_finite() {
            return self.graph.fault("powf", &[self], format!("the exponent must be finite, and is {exponent}"));
        }
        self.graph.record(Unary(Powf { exponent }), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let positive = || vec![CaseInput::uniform([4, 17], 0.3, 3.0)];
    vec![
        Case::new("cube of both signs", vec![CaseInput::uniform([4, 17], -2.0, 2.0)], |x| x[0].powf(3.0)),
        Case::new("negative whole", positive(), |x| x[0].powf(-2.0)),
        Case::new("real", positive(), |x| x[0].powf(-1.5)),
        Case::new("root", positive(), |x| x[0].powf(0.5)),
    ]
}
