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
    fn erf(self) -> Self {
        libm::erff(self)
    }
    fn erfc(self) -> Self {
        libm::erfcf(self)
    }
}

impl Real for f64 {
    fn real(value: f64) -> Self {
        value
    }
    fn double(self) -> f64 {
        self
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn erfc(self) -> Self {
        libm::erfc(self)
    }
}
