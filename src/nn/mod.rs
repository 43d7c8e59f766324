//! Layers, composed of ops.

mod activation;
mod dropout;
mod linear;

pub use activation::Activation;
pub use dropout::Dropout;
pub use linear::Linear;
