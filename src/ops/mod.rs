//! The ops, one file each: shape rule, gradient, reference, lowering, method and cases.

use crate::record::Case;

mod elements;
mod elementwise;
mod pool;
mod random;
mod rows;
mod table;
mod view;
mod window;

pub use attention::AttentionSettings;
pub use batch_norm::BatchNormed;
pub use pool::PoolSettings;
pub use recurrent::CellWeights;
pub(crate) use recurrent::{gru_step, lstm_step, rnn_step};
pub use rotary::RotaryPairs;
pub use window::ConvSettings;
pub(crate) use window::divides;

/// An op file in the list.
pub struct Listed {
    /// The file's name.
    pub name: &'static str,
    /// The cases that check it.
    pub cases: fn() -> Vec<Case>,
}

/// Declares one module per line and lists it.
macro_rules! list {
    ($($module:ident)*) => {
        $(mod $module;)*

        /// Every op file, with the cases that all checks sweep.
        pub static OPS: &[Listed] = &[$(Listed { name: stringify!($module), cases: $module::cases }),*];
    };
}

// Adding an op: its file, and a line here.
list! {
    abs
    add
    affine
    argmax
    atan
    attention
    augment
    average_pool
    batch_norm
    broadcast
    cast
    check_index
    clamp
    compare
    composed_activations
    concat
    convolution
    cos
    cross_entropy
    cross_entropy_probabilities
    cumsum
    detach
    div
    dropout
    elu
    erf
    exp
    expm1
    extremum
    flip
    full
    gather
    gelu_erf
    gelu_tanh
    log
    log1p
    log_softmax
    losses
    matmul
    max_pool
    maximum
    minimum
    mish
    mul
    normalize
    one_hot
    pad
    permute
    pow
    powf
    reciprocal
    recurrent
    relu
    reshape
    rotary
    rsqrt
    segment_sum
    sigmoid
    sign
    silu
    sin
    slice
    softmax
    softplus
    sqrt
    square
    statistics
    sub
    sum
    take
    tanh
    top_k
    tril
    unfold
    uniform
    upsample
    where_cond
}
