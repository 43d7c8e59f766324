use super::functions;
use ndarray::{LinalgScalar, ScalarOperand};
use num_traits::Float;
use std::fmt::{Debug, Display};

/// The float type that a reference is evaluated in: `f64` for the oracle of every check, `f32`
/// for training on the CPU.
pub trait Real:
    Float + LinalgScalar + ScalarOperand + Debug + Display + Default + Send + Sync + std::iter::Sum
{
    /// The nearest value of this type.
    fn real(value: f64) -> Self;
    /// The value in double precision.
    fn double(self) -> f64;
    /// exp(x).
    #[must_use]
    fn exponential(self) -> Self;
    /// The hyperbolic tangent.
    #[must_use]
    fn hyperbolic_tangent(self) -> Self;
    /// The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.
    #[must_use]
    fn erf(self) -> Self;
    /// 1 - erf(x), accurate where it vanishes.
    #[must_use]
    fn erfc(self) -> Self;
}

impl Real for f32 {
    fn real(value: f64) -> Self {
        value as Self
    }
    fn double(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn exponential(self) -> Self {
        functions::exp(self)
    }
    #[inline(always)]
    fn hyperbolic_tangent(self) -> Self {
        functions::tanh(self)
    }
    #[inline(always)]
    fn erf(self) -> Self {
        functions::erf(self)
    }
    #[inline(always)]
    fn erfc(self) -> Self {
        functions::erfc(self)
    }
}

impl Real for f64 {
    fn real(value: f64) -> Self {
        value
    }
    fn double(self) -> f64 {
        self
    }
    fn exponential(self) -> Self {
        self.exp()
    }
    fn hyperbolic_tangent(self) -> Self {
        self.tanh()
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn erfc(self) -> Self {
        libm::erfc(self)
    }
}
