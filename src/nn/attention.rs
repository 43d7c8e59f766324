use super::{Activation, Dropout, LayerNorm, Linear};
use crate::ops::{AttentionSettings, RotaryPairs};
use crate::record::{Params, Tensor};

/// Attention by several heads, each over a part of the elements: see [`Tensor::attention`]. Source: Vaswani et al. 2017.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    name: String,
    heads: usize,
    size: usize,
    causal: bool,
    /// The longest sequence for which angles are given, and their base.
    rotary: Option<(usize, f64)>,
    input: Linear,
    output: Linear,
}

impl MultiHeadAttention {
    /// Over elements of `size`, which the number of heads must divide. Queries, keys and values come from one product, in
    /// this order.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, size: usize, heads: usize) -> Self {
        let divides = heads > 0 && size.is_multiple_of(heads);
        if !divides {
            let reason = format!(
                "{heads} heads do not divide {size} elements evenly: use a number of heads, at least 1, that divides it"
            );
            params.refuse(&format!("attention `{name}`"), reason);
        }
        // With one head instead, what uses the layer adds no mistake of its own.
        let heads = if divides { heads } else { 1 };
        let input = Linear::new(params, &format!("{name}.in_proj"), size, size.saturating_mul(3));
        let output = Linear::new(params, &format!("{name}.out_proj"), size, size);
        Self { name: name.to_owned(), heads, size, causal: false, rotary: None, input, output }
    }

    /// Every position sees itself and earlier ones alone.
    #[must_use]
    pub const fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    /// Queries and keys are turned by their positions, for sequences of up to so many, by angles from this base, usually
    /// 10,000: see [`Tensor::rotary`].
    #[must_use]
    pub const fn rotary(mut self, longest: usize, base: f64) -> Self {
        self.rotary = Some((longest, base));
        self
    }

    /// As [`forward`](Self::forward), over what the mask lets every position see: see [`AttentionSettings::mask`]. One of three
    /// axes, `[batch, length, length]`, is the same for all heads; others stretch to `[batch, heads, length, length]`.
    #[must_use]
    #[track_caller]
    pub fn forward_masked<'g>(&self, x: Tensor<'g>, mask: Option<Tensor<'g>>) -> Tensor<'g> {
        let graph = x.graph();
        let _scope = graph.scope(&self.name);
        let shape = x.shape();
        if !x.is_valid() || shape.rank() != 3 || shape[2] != self.size {
            let reason = format!("it needs an input [batch, length, {}], and {shape} is another", self.size);
            return graph.fault("multi_head_attention", &[x], reason);
        }
        let (batch, length, head_size) = (shape[0], shape[1], self.size / self.heads);
        let all = self.input.forward(x).reshape([batch, length, 3, self.heads, head_size]);
        let part = |number: usize| all.slice(2, number..number + 1).squeeze(2).permute([0, 2, 1, 3]);
        let (mut query, mut key, value) = (part(0), part(1), part(2));
        if let Some((longest, base)) = self.rotary {
            if !head_size.is_multiple_of(2) {
                let reason = format!(
                    "rotary embedding turns pairs of elements, and {} heads of {} elements have {head_size} each: use a \
                     number of heads that leaves each an even size",
                    self.heads, self.size
                );
                return graph.fault("multi_head_attention", &[x], reason);
            }
            if length > longest {
                let reason = format!(
                    "the sequence of {length} is longer than the {longest} positions of its rotary table: shorten it, or \
                     give `rotary` a larger number"
                );
                return graph.fault("multi_head_attention", &[x], reason);
            }
            query = query.rotary(0, base, RotaryPairs::Halves);
            key = key.rotary(0, base, RotaryPairs::Halves);
        }
        let mask = mask.map(|mask| if mask.rank() == 3 { mask.unsqueeze(1) } else { mask });
        let settings = AttentionSettings { causal: self.causal, mask, scale: None };
        let heads = query.attention(key, value, &settings);
        self.output.forward(heads.permute([0, 2, 1, 3]).reshape(shape))
    }
}

impl MultiHeadAttention {
    /// `[batch, length, size] -> [batch, length, size]`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.forward_masked(x, None)
    }
}

/// A block of a transformer, normalized before its parts: x + attention(norm(x)), then x + mlp(norm(x)), with an MLP of two
/// layers. Source: Vaswani et al. 2017; Xiong et al. 2020 (where the norm stands).
#[derive(Clone, Debug)]
pub struct TransformerBlock {
    name: String,
    first_norm: LayerNorm,
    attention: MultiHeadAttention,
    second_norm: LayerNorm,
    up: Linear,
    activation: Activation,
    down: Linear,
    dropout: Dropout,
}

impl TransformerBlock {
    /// With an MLP of four times the size and gelu, and without dropout.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, size: usize, heads: usize) -> Self {
        let at = |part: &str| format!("{name}.{part}");
        Self {
            name: name.to_owned(),
            first_norm: LayerNorm::new(params, &at("norm1"), [size]),
            attention: MultiHeadAttention::new(params, &at("attention"), size, heads),
            second_norm: LayerNorm::new(params, &at("norm2"), [size]),
            up: Linear::new(params, &at("mlp.up"), size, size.saturating_mul(4)),
            activation: Activation::Gelu,
            down: Linear::new(params, &at("mlp.down"), size.saturating_mul(4), size),
            dropout: Dropout::new(0.0),
        }
    }

    /// Every position sees itself and earlier ones alone.
    #[must_use]
    pub fn causal(mut self) -> Self {
        self.attention = self.attention.causal();
        self
    }

    /// Queries and keys are turned by their positions, for sequences of up to so many, by angles from this base, usually
    /// 10,000.
    #[must_use]
    pub fn rotary(mut self, longest: usize, base: f64) -> Self {
        self.attention = self.attention.rotary(longest, base);
        self
    }

    /// What both parts add is dropped out at this rate in training; the weights of attention are not.
    #[must_use]
    pub const fn dropout(mut self, rate: f64) -> Self {
        self.dropout = Dropout::new(rate);
        self
    }

    /// Another activation function in the MLP.
    #[must_use]
    pub const fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
}

impl TransformerBlock {
    /// `[batch, length, size] -> [batch, length, size]`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let _here = x.graph().scope(&self.name);
        let dropped = |y: Tensor<'g>| if self.dropout == Dropout::new(0.0) { y } else { self.dropout.forward(y) };
        let x = x + dropped(self.attention.forward(self.first_norm.forward(x)));
        let hidden = self.activation.forward(self.up.forward(self.second_norm.forward(x)));
        x + dropped(self.down.forward(hidden))
    }
}
