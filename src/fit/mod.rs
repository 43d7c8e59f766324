//! Training in a few lines: the loop over epochs and batches, with what it measures, writes down and shows.

pub mod metrics;

pub use metrics::{Average, ConfusionMatrix, KeptMetrics, Measured, Meter, Metrics, Values};
