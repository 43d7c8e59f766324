//! Plots as SVG and PNG.

mod axis;
mod boundary;
mod confusion;
mod curves;
mod frame;
mod histograms;

pub use boundary::DecisionBoundary;
pub use confusion::Confusion;
pub use curves::Curves;
pub use histograms::Histograms;
