//! Data on the host: datasets, their readers, and the loader that makes batches of them.
//!
//! A [`Dataset`](crate::data::Dataset) is a number of samples with named columns; a [`DataLoader`](crate::data::DataLoader) goes through it in batches, in an order that
//! follows from a seed; and a [`Batch`](crate::data::Batch) feeds a step by the names of the graph's inputs.
//!
//! ```
//! use retrograd::data::{DataLoader, Dataset, Tensors};
//! use retrograd::{Device, Graph, Params, nn, optim::Sgd};
//!
//! # fn main() -> retrograd::Result<()> {
//! let data = Tensors::new()
//!     .column("x", [10, 2], (0..20).map(|i| i as f32 / 20.0).collect::<Vec<f32>>())?
//!     .column("y", [10], vec![0, 1, 0, 1, 0, 1, 0, 1, 0, 1])?;
//! let [training, validation] = data.split([0.8, 0.2], 7)?;
//! assert_eq!((training.len(), validation.len()), (8, 2));
//!
//! let mut params = Params::seeded(1);
//! let layer = nn::Linear::new(&mut params, "layer", 2, 2);
//! let g = Graph::new();
//! let (x, y, weight) = (g.input("x", [3, 2]), g.labels("y", [3]), g.input("weight", [3]));
//! let loss = layer.forward(x).cross_entropy_weighted(y, weight);
//! let mut step = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params)?;
//!
//! let loader = DataLoader::new(training, 3).shuffle(7).pad();
//! for _epoch in 0..2 {
//!     for batch in loader.epoch() {
//!         step.run(batch?.feeds(&g)?)?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod adapters;
#[cfg(feature = "data")]
mod arrays;
mod batch;
mod dataset;
#[cfg(feature = "data")]
pub mod idx;
#[cfg(feature = "images")]
mod images;
mod loader;
#[cfg(feature = "data")]
pub mod npy;
mod order;
pub mod preprocess;
mod sample;
#[cfg(feature = "data")]
mod source;
#[cfg(feature = "data")]
mod table;
mod tensors;
mod workers;

pub use adapters::{Concat, Map, Subset};
#[cfg(feature = "data")]
pub use arrays::{Elements, FileArray};
pub use batch::{Batch, Inputs};
pub use dataset::{Column, Dataset};
#[cfg(feature = "images")]
pub use images::{Corrupt, ImageFolder, Images};
pub use loader::{Batches, DataLoader};
pub use order::Position;
pub use preprocess::{Labels, Scale, Unseen};
pub use sample::Sample;
#[cfg(feature = "parquet")]
pub use table::Parquet;
#[cfg(feature = "data")]
pub use table::{Csv, Kind, Missing, Table};
pub use tensors::Tensors;
