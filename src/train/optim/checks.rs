//! What settings of optimizers may be.

use crate::base::{Error, ErrorKind, Result};

/// An error that says which setting of which optimizer is out of range.
pub fn refuse(optimizer: &str, setting: &str, value: f64, allowed: &str) -> Error {
    let message = format!("{optimizer}: {setting} is {value} and must be {allowed}");
    Error::new(ErrorKind::Argument, message)
}

/// Refuses learning rates that are negative or not finite.
pub fn check_rate(optimizer: &str, rate: f64) -> Result<()> {
    check_least(optimizer, "learning rate", rate)
}

/// Refuses weight decays that are negative or not finite.
pub fn check_decay(optimizer: &str, decay: f64) -> Result<()> {
    check_least(optimizer, "weight decay", decay)
}

/// Refuses what is negative or not finite.
pub fn check_least(optimizer: &str, setting: &str, value: f64) -> Result<()> {
    if value >= 0.0 && (value as f32).is_finite() {
        return Ok(());
    }
    Err(refuse(optimizer, setting, value, "finite and at least 0"))
}

/// Refuses rates of running means that are not at least 0 and below 1.
pub fn check_share(optimizer: &str, setting: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) && (value as f32) < 1.0 {
        return Ok(());
    }
    Err(refuse(optimizer, setting, value, "at least 0 and below 1 in single precision"))
}

/// As [`check_share`], for both betas.
pub fn check_betas(optimizer: &str, betas: [f64; 2]) -> Result<()> {
    betas.into_iter().try_for_each(|beta| check_share(optimizer, "beta", beta))
}

/// Refuses epsilons that are not positive.
pub fn check_epsilon(optimizer: &str, epsilon: f64) -> Result<()> {
    if epsilon.is_nan() || epsilon as f32 <= 0.0 {
        return Err(refuse(optimizer, "epsilon", epsilon, "positive in single precision"));
    }
    check_least(optimizer, "epsilon", epsilon)
}
