//! Training: optimizers, compilation of recordings into steps, checkpoints.

#[cfg(not(target_arch = "wasm32"))]
mod case;
mod ceilings;
mod checkpoint;
mod compile;
mod dataset;
mod draft;
mod input;
mod step;
#[cfg(not(target_arch = "wasm32"))]
mod tune;

pub mod optim;

pub use compile::{Inference, Training};
pub use step::Step;
