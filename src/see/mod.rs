//! Pictures and reports of what is trained: the graph as SVG or DOT, with values and gradients where it is small; the plan as
//! one HTML page; and, with the feature `plots`, curves, histograms, confusion matrices and decision boundaries as SVG or PNG.
//!
//! Colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision tell apart.

mod graph;
#[cfg(feature = "plots")]
mod plots;
mod report;
mod save;
mod text;

pub use graph::GraphPicture;
#[cfg(feature = "plots")]
pub use plots::{Confusion, Curves, DecisionBoundary, Histograms};
pub use report::Report;
