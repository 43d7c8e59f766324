//! Logs of a training in files that other programs read.

mod csv;
mod json;
mod lines;
mod tensorboard;

pub use csv::CsvLog;
pub use json::JsonLog;
pub use tensorboard::TensorBoardLog;
