//! Checkpoints: everything that training goes on from, in files of the format safetensors; and weights alone, under the names
//! and in the layouts of other libraries.

#[cfg(not(target_arch = "wasm32"))]
mod file;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod format;
#[cfg(not(target_arch = "wasm32"))]
mod found;
mod head;
mod layout;
#[cfg(not(target_arch = "wasm32"))]
mod mapped;
mod mapping;
mod pattern;
mod state;
mod weights;

#[cfg(not(target_arch = "wasm32"))]
pub use file::Checkpoint;
#[cfg(not(target_arch = "wasm32"))]
pub use folder::{Best, Checkpoints};
#[cfg(not(target_arch = "wasm32"))]
pub use found::{Found, Resumed, Skipped};
pub use layout::WeightLayout;
pub use mapping::WeightMapping;
pub(super) use state::Copies;
pub use weights::LoadedWeights;

use crate::base::{Error, ErrorKind};

/// A failure to do with a file.
fn file_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::File, message)
}
