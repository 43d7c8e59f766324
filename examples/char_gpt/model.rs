//! The network: tokens and positions become vectors, blocks of attention and MLPs change them, and a linear layer scores the
//! next character at every position.

use retrograd::nn::{Embedding, LayerNorm, Linear, TransformerBlock};
use retrograd::{Graph, Init, Param, Params, Tensor};

/// The sizes of a network.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// How many characters there are.
    pub vocabulary: usize,
    /// The longest text that it looks back at.
    pub context: usize,
    /// Elements of the vector of every position.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention in every block.
    pub heads: usize,
    /// How much of what every part adds is dropped in training.
    pub dropout: f64,
}

/// A small GPT. Source: Radford et al. 2019, with learned positions and without tied weights.
#[derive(Debug)]
pub struct CharGpt {
    token: Embedding,
    position: Param,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    head: Linear,
}

impl CharGpt {
    /// Adds its parameters.
    pub fn new(params: &mut Params, sizes: Sizes) -> Self {
        let Sizes { vocabulary, context, width, layers, heads, dropout } = sizes;
        let small = Init::Normal(0.0, 0.02);
        let block = |params: &mut Params, number: usize| {
            TransformerBlock::new(params, &format!("block{number}"), width, heads).causal().dropout(dropout)
        };
        Self {
            token: Embedding::with_init(params, "token", vocabulary, width, small.clone()),
            position: params.add("position", [context, width], small),
            blocks: (0..layers).map(|number| block(params, number)).collect(),
            norm: LayerNorm::new(params, "norm", [width]),
            head: Linear::new(params, "head", width, vocabulary),
        }
    }

    /// Scores of the next character: from tokens (`i32`) `[batch, context]` to `[batch, context, vocabulary]`.
    pub fn forward<'g>(&self, g: &'g Graph, tokens: Tensor<'g>) -> Tensor<'g> {
        let x = self.token.forward(tokens) + g.param(&self.position);
        let y = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.head.forward(self.norm.forward(y))
    }
}
