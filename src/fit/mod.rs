//! Training in a few lines: the loop over epochs and batches, with what it measures, writes down and shows.
//!
//! [`Trainer`](crate::fit::Trainer) goes through a [`DataLoader`](crate::data::DataLoader) with a compiled [`Step`](crate::Step). Everything that it does can be
//! done by hand: the step runs, is read and saved as any other.

pub mod metrics;

#[cfg(not(target_arch = "wasm32"))]
mod callback;
#[cfg(not(target_arch = "wasm32"))]
mod epochs;
#[cfg(not(target_arch = "wasm32"))]
mod evaluation;
mod exact;
#[cfg(not(target_arch = "wasm32"))]
mod history;
#[cfg(not(target_arch = "wasm32"))]
mod inputs;
#[cfg(not(target_arch = "wasm32"))]
mod log;
#[cfg(all(feature = "plots", not(target_arch = "wasm32")))]
mod plots;
#[cfg(all(feature = "progress", not(target_arch = "wasm32")))]
mod progress;
#[cfg(not(target_arch = "wasm32"))]
mod resume;
#[cfg(not(target_arch = "wasm32"))]
mod running;
#[cfg(not(target_arch = "wasm32"))]
mod supervised;
#[cfg(not(target_arch = "wasm32"))]
mod trainer;

pub use metrics::{Average, ConfusionMatrix, KeptMetrics, Measured, Meter, Metrics, Values};

#[cfg(not(target_arch = "wasm32"))]
pub use self::{
    callback::{Beginning, Callback, EpochReport, Flow, StepReport},
    evaluation::Evaluation,
    history::{Epoch, History},
    log::{CsvLog, JsonLog, TensorBoardLog},
    supervised::{Recorded, Supervised},
    trainer::Trainer,
};
