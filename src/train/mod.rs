//! Training: optimizers, compilation of recordings into steps, checkpoints.

mod checkpoint;
mod compile;
mod dataset;
mod draft;
mod step;

pub mod optim;

pub use compile::{Inference, Training};
pub use step::Step;
