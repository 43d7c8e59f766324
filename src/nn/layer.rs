use super::Activation;
use crate::record::{Params, Tensor};
use std::fmt::Debug;

/// What turns one tensor into another: what [`Sequential`] chains. A user's own layer implements it, too.
pub trait Layer: Debug {
    /// Records the layer's ops on `x`.
    #[must_use]
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g>;
}

/// Layers one after another.
///
/// ```
/// use retrograd::nn::{Activation, Dropout, Linear, Sequential};
/// use retrograd::{Graph, Params};
/// let mut params = Params::seeded(1);
/// let model = Sequential::new()
///     .then(Linear::new(&mut params, "up", 4, 16))
///     .then(Activation::Relu)
///     .then(Dropout::new(0.5))
///     .then(Linear::new(&mut params, "down", 16, 2));
/// let g = Graph::new();
/// assert_eq!(model.forward(g.input("x", [8, 4])).shape()[..], [8, 2]);
/// ```
#[derive(Debug, Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
}

impl Sequential {
    /// No layers: gives back what it gets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more layer at the end.
    #[must_use]
    pub fn then(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// A perceptron with layers of these sizes, inputs first and outputs last: a [`Linear`](super::Linear) from each to the next, called
    /// `name.0`, `name.1` and so on, and the activation between them. With fewer than two sizes there is no layer.
    ///
    /// ```
    /// use retrograd::nn::{Activation, Sequential};
    /// use retrograd::{Graph, Params};
    /// let mut params = Params::seeded(1);
    /// let model = Sequential::mlp(&mut params, "mlp", [4, 16, 2], Activation::Relu);
    /// assert_eq!((model.len(), params.elements()), (3, 4 * 16 + 16 + 16 * 2 + 2));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn mlp(params: &mut Params, name: &str, sizes: impl AsRef<[usize]>, activation: Activation) -> Self {
        let mut model = Self::new();
        for (number, pair) in sizes.as_ref().windows(2).enumerate() {
            if number > 0 {
                model = model.then(activation);
            }
            model = model.then(super::Linear::new(params, &format!("{name}.{number}"), pair[0], pair[1]));
        }
        model
    }

    /// The number of layers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl Sequential {
    /// Records the layer's ops on `x`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let _here = x.graph().here();
        self.layers.iter().fold(x, |x, layer| layer.forward(x))
    }
}

/// Layers whose own method is that of the trait: so that calling it needs no import.
macro_rules! layers {
    ($($name:ident)*) => {
        $(impl Layer for super::$name {
            #[track_caller]
            fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
                super::$name::forward(self, x)
            }
        })*
    };
}

layers! {
    Activation
    AdaptiveAvgPool2d
    AvgPool2d
    BatchNorm
    Conv1d
    Conv2d
    ConvTranspose2d
    Dropout
    Embedding
    Flatten
    GroupNorm
    Gru
    LayerNorm
    Linear
    Lstm
    MaxPool2d
    MultiHeadAttention
    Normalize
    RmsNorm
    Rnn
    Sequential
    TransformerBlock
}

/// x + layer(x): what passes by a layer makes deep networks trainable. Source: He, Zhang, Ren, Sun 2016.
#[derive(Debug)]
pub struct Residual<L>(pub L);

impl<L: Layer> Residual<L> {
    /// Records the layer's ops on `x`, and adds `x`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let _here = x.graph().here();
        x + self.0.forward(x)
    }
}

/// All axes but the first as one: `[batch, a, b, ..]` to `[batch, a b ..]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flatten;

impl Flatten {
    /// Records the layer's ops on `x`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        x.flatten(1)
    }
}

impl<L: Layer> Layer for Residual<L> {
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        Self::forward(self, x)
    }
}
