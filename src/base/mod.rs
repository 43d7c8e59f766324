//! Shapes, element types, strided layouts, host data, errors: what every later stage speaks in.

mod dtype;
mod error;
mod files;
mod fingerprint;
mod functions;
mod host;
mod layout;
mod product;
mod random;
mod real;
mod shape;
mod value;

pub use dtype::DType;
pub use error::{Error, ErrorKind, Fault, Result};
pub use files::write_whole;
#[cfg(not(target_arch = "wasm32"))]
pub use files::{remove_left_over, write_durably};
pub use fingerprint::{Fingerprint, Fingerprinter};
pub use host::{Element, HostData, HostTensor};
pub use layout::{Layout, View, Walk};
pub use product::{MatrixRef, multiply};
pub use random::{Generator, fingerprint, threefry, unit_interval};
pub use real::Real;
pub use shape::{Axes, Shape, TensorType};
pub(crate) use value::MetIntegers;
pub use value::Value;
pub(crate) use value::map_value;
