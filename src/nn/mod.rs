//! Layers, composed of ops.

mod dropout;
mod linear;

pub use dropout::Dropout;
pub use linear::Linear;
