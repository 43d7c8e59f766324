//! What is measured of a model besides its loss, summed on the device batch by batch.
//!
//! [`Metrics`] records the sums of one batch in a graph of training or of evaluation; a [`Meter`] adds those of all batches on the
//! host in double precision, so that a metric is that of all rows, and not a mean of the batches' values.

mod classes;
mod kind;
mod meter;
mod numbers;
mod record;
mod values;

pub use kind::Average;
pub use meter::Meter;
#[cfg(not(target_arch = "wasm32"))]
pub(super) use meter::Totals;
pub use record::{KeptMetrics, Metrics};
#[cfg(all(feature = "progress", not(target_arch = "wasm32")))]
pub(super) use values::brief;
pub use values::{ConfusionMatrix, Measured, Values};
