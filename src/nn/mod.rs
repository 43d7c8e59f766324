//! Layers, composed of ops.

mod activation;
mod attention;
mod conv;
mod dropout;
mod embedding;
mod layer;
mod linear;
mod norm;
mod normalize;
mod pool;
mod recurrent;
mod summary;

pub use activation::Activation;
pub use attention::{MultiHeadAttention, TransformerBlock};
pub use conv::{Conv1d, Conv2d, ConvTranspose2d};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use layer::{Flatten, Layer, Residual, Sequential};
pub use linear::Linear;
pub use norm::{BatchNorm, GroupNorm, LayerNorm, RmsNorm};
pub use normalize::Normalize;
pub use pool::{AdaptiveAvgPool2d, AvgPool2d, MaxPool2d};
pub use recurrent::{Gru, Lstm, Rnn};
pub use summary::{Summary, SummaryRow};
