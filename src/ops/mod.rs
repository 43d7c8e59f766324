//! The ops, one file each: shape rule, gradient, reference, lowering, method and cases.

use crate::record::Case;

mod elementwise;
mod rows;
mod view;

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
    broadcast
    cast
    clamp
    compare
    composed_activations
    concat
    cos
    cross_entropy
    cross_entropy_probabilities
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
    gelu_erf
    gelu_tanh
    log
    log1p
    log_softmax
    losses
    matmul
    maximum
    minimum
    mish
    mul
    one_hot
    pad
    permute
    pow
    powf
    reciprocal
    relu
    reshape
    rsqrt
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
    tanh
    tril
    where_cond
}
