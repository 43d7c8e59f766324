//! Optimizers: how parameters change from their gradients.
//!
//! Each is a kernel over the arena of parameters, the same rule on the host, and the numbers that
//! change from step to step, which the host computes in double precision.

mod adam;
mod sgd;

pub use adam::{Adam, AdamW};
pub use sgd::Sgd;

use crate::base::{Error, ErrorKind, Result};
use crate::plan::Update;

/// An optimizer: what [`Graph::train`](crate::Graph::train) takes.
pub trait Optimizer: std::fmt::Debug + Send + Sync {
    /// The learning rate that training starts with.
    fn learning_rate(&self) -> f64;

    /// The numbers for step `count` (from 1), which the rule finds in
    /// [`StepScalars::scalars`](crate::plan::StepScalars::scalars).
    fn scalars(&self, count: u32, learning_rate: f64) -> [f64; 4];

    /// The kernel, its states, and the same rule on the host.
    ///
    /// # Errors
    /// When a setting cannot be used.
    fn update(&self) -> Result<Update>;
}

/// Refuses learning rates that are negative or not finite.
pub(super) fn check_rate(optimizer: &str, rate: f64) -> Result<()> {
    if rate >= 0.0 && (rate as f32).is_finite() {
        Ok(())
    } else {
        Err(refuse(optimizer, "learning rate", rate, "finite and at least 0"))
    }
}

/// Refuses weight decays that are negative or not finite.
fn check_decay(optimizer: &str, decay: f64) -> Result<()> {
    if decay >= 0.0 && (decay as f32).is_finite() {
        Ok(())
    } else {
        Err(refuse(optimizer, "weight decay", decay, "finite and at least 0"))
    }
}

/// An error that says which setting of which optimizer is out of range.
fn refuse(optimizer: &str, setting: &str, value: f64, allowed: &str) -> Error {
    let message = format!("{optimizer}: {setting} is {value} and must be {allowed}");
    Error::new(ErrorKind::Argument, message)
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn learning_rate(&self) -> f64 {
        (**self).learning_rate()
    }
    fn scalars(&self, count: u32, learning_rate: f64) -> [f64; 4] {
        (**self).scalars(count, learning_rate)
    }
    fn update(&self) -> Result<Update> {
        (**self).update()
    }
}
