//! Small networks of the usual kinds, for checks of whole plans. Sizes are awkward where a kernel has edges.

use retrograd::nn::{
    Activation, BatchNorm, Conv2d, ConvTranspose2d, Dropout, Embedding, Flatten, Gru, LayerNorm, Linear, Lstm,
    MaxPool2d, RmsNorm, Sequential, TransformerBlock,
};
use retrograd::ops::{ConvSettings, PoolSettings};
use retrograd::{Graph, Params, Tensor};

/// Records a network on its inputs, and returns its loss.
pub type Record = for<'g> fn(&'g Graph, &mut Params) -> Tensor<'g>;

/// All of them, by name.
pub const NETWORKS: [(&str, Record); 7] = [
    ("perceptron", perceptron),
    ("convolutions", convolutions),
    ("autoencoder", autoencoder),
    ("transformer", transformer),
    ("lstm", lstm),
    ("gru", gru),
    ("wide classifier", wide_classifier),
];

/// Three layers with dropout, whose batch can be gathered from a dataset of rows of 37 and labels.
pub fn perceptron<'g>(g: &'g Graph, params: &mut Params) -> Tensor<'g> {
    let model = Sequential::new()
        .then(Linear::new(params, "in", 37, 64))
        .then(Activation::Gelu)
        .then(Dropout::new(0.25))
        .then(Linear::new(params, "middle", 64, 33))
        .then(Activation::Silu)
        .then(Linear::new(params, "out", 33, 10));
    model.forward(g.input("x", [50, 37])).cross_entropy(g.labels("y", [50]))
}

fn convolutions<'g>(g: &'g Graph, params: &mut Params) -> Tensor<'g> {
    let model = Sequential::new()
        .then(Conv2d::without_bias(params, "conv1", 1, 8, [5, 5], ConvSettings::new().padding(2)))
        .then(BatchNorm::new(params, "norm1", 8))
        .then(Activation::Relu)
        .then(MaxPool2d(PoolSettings::new(2)))
        .then(Conv2d::with_settings(params, "conv2", 8, 12, [3, 3], ConvSettings::new().stride(2).padding(1).groups(2)))
        .then(Activation::Hardswish)
        .then(Flatten)
        .then(Dropout::new(0.5))
        .then(Linear::new(params, "scores", 12 * 7 * 7, 10));
    model.forward(g.input("images", [6, 1, 28, 28])).cross_entropy(g.labels("digits", [6]))
}

fn autoencoder<'g>(g: &'g Graph, params: &mut Params) -> Tensor<'g> {
    let half = || ConvSettings::new().stride(2).padding(1);
    let model = Sequential::new()
        .then(Conv2d::with_settings(params, "down", 1, 6, [3, 3], half()))
        .then(Activation::Tanh)
        .then(ConvTranspose2d::new(params, "up", 6, 1, [3, 3], half()).output_padding([1, 1]));
    let x = g.input("images", [4, 1, 16, 16]);
    model.forward(x).binary_cross_entropy_with_logits(x)
}

/// Causal attention with rotary positions; the head is the table of tokens, as in GPT-2.
fn transformer<'g>(g: &'g Graph, params: &mut Params) -> Tensor<'g> {
    let token = Embedding::new(params, "token", 65, 48);
    let blocks: Vec<TransformerBlock> = (0..2)
        .map(|number| TransformerBlock::new(params, &format!("block{number}"), 48, 3).causal().rotary(40, 10_000.0))
        .collect();
    let (norm, last) = (LayerNorm::new(params, "norm", [48]), RmsNorm::new(params, "last", [48]));
    let mut x = token.forward(g.labels("tokens", [2, 40]));
    for block in &blocks {
        x = block.forward(x);
    }
    let table = g.param(token.weight());
    let scores = last.forward(norm.forward(x)).matmul(table.transpose());
    scores.reshape([80, 65]).cross_entropy(g.labels("next", [80]))
}

fn lstm<'g>(g: &'g Graph, params: &mut Params) -> Tensor<'g> {
    let (cells, down) = (Lstm::stacked(params, "cells", 3, 20, 2), Linear::new(params, "down", 20, 1));
    let x = g.input("x", [5, 9, 3]);
    down.forward(cells.forward(x)).mse_loss(g.input("y", [5, 9, 1]))
}

fn gru<'g>(g: &'g Graph, params: &mut Params) -> Tensor<'g> {
    let (cells, down) = (Gru::new(params, "cells", 7, 33), Linear::new(params, "down", 33, 2));
    let x = g.input("x", [4, 6, 7]);
    down.forward(cells.forward(x)).huber_loss(g.input("y", [4, 6, 2]), 1.0)
}

/// So wide that products take the large tiles, and inner axes are cut.
fn wide_classifier<'g>(g: &'g Graph, params: &mut Params) -> Tensor<'g> {
    let model = Sequential::new()
        .then(Linear::new(params, "in", 784, 1536))
        .then(Activation::Relu)
        .then(Linear::new(params, "middle", 1536, 1024))
        .then(Activation::GeluTanh)
        .then(Linear::new(params, "out", 1024, 10));
    model.forward(g.input("x", [2048, 784])).cross_entropy(g.labels("y", [2048]))
}
