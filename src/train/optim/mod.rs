//! Optimizers: how parameters change from their gradients.
//!
//! Each is a kernel over the arena of parameters, the same rule on the host, and the numbers that
//! change from step to step, which the host computes in double precision.

mod adagrad;
mod adam;
mod adamax;
mod checks;
mod groups;
mod lamb;
mod lion;
mod moments;
mod nadam;
mod radam;
mod rmsprop;
mod sgd;

pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use groups::{Grouped, Groups, without_decay_on_vectors};
pub use lamb::Lamb;
pub use lion::Lion;
pub use nadam::NAdam;
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

pub(super) use checks::check_rate;

use crate::base::Result;
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

/// An optimizer whose weight decay can be turned off, as [`without_decay_on_vectors`] does.
pub trait Decaying: Optimizer + Sized {
    /// The same without weight decay.
    #[must_use]
    fn without_decay(self) -> Self;
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
