//! Small networks of every kind, whose training steps are verified, explained and tuned.

use crate::failure::{Failure, unknown};
use retrograd::nn::{self, Activation};
use retrograd::ops::{ConvSettings, PoolSettings};
use retrograd::optim::{Adam, AdamW, Sgd, without_decay_on_vectors};
use retrograd::record::{CaseInput, Draw};
use retrograd::{Generator, Graph, HostTensor, Params, Shape, Tensor, Training};

/// A network with its data.
pub struct Network {
    pub name: &'static str,
    /// What it is made of.
    pub about: &'static str,
    record: for<'g> fn(&mut Params, &mut Data<'g>) -> Training<'g>,
}

/// A recorded training step.
pub struct Recorded<'g> {
    pub training: Training<'g>,
    pub params: Params,
    /// The inputs, with data for one step.
    pub feeds: Vec<(Tensor<'g>, HostTensor)>,
}

/// All of them.
pub const ALL: &[Network] = &[
    Network { name: "mlp", about: "three layers with GELU and dropout, AdamW, clipped gradients", record: mlp },
    Network { name: "cnn", about: "two convolutions with batch norm and pooling, SGD with momentum", record: cnn },
    Network {
        name: "transformer",
        about: "a block with causal rotary attention, AdamW in groups",
        record: transformer,
    },
    Network { name: "lstm", about: "a recurrent layer over twelve times, Adam", record: lstm },
];

/// The network of this name.
pub fn named(name: &str) -> Result<&'static Network, Failure> {
    let known: Vec<&str> = ALL.iter().map(|network| network.name).collect();
    ALL.iter().find(|network| network.name == name).ok_or_else(|| unknown("network", name, &known))
}

impl Network {
    /// Records its training step. Weights and data follow from `seed`.
    pub fn record<'g>(&self, graph: &'g Graph, seed: u64) -> Recorded<'g> {
        let mut params = Params::seeded(seed);
        let mut data = Data { graph, generator: Generator::named(seed, self.name), feeds: Vec::new() };
        let training = (self.record)(&mut params, &mut data);
        Recorded { training, params, feeds: data.feeds }
    }
}

/// Inputs with random data.
struct Data<'g> {
    graph: &'g Graph,
    generator: Generator,
    feeds: Vec<(Tensor<'g>, HostTensor)>,
}

impl<'g> Data<'g> {
    fn floats(&mut self, name: &str, shape: impl Into<Shape>) -> Tensor<'g> {
        let input = CaseInput::uniform(shape, -1.0, 1.0);
        let tensor = self.graph.input(name, input.shape.clone());
        self.feeds.push((tensor, input.draw(&mut self.generator)));
        tensor
    }

    fn labels(&mut self, name: &str, shape: impl Into<Shape>, below: usize) -> Tensor<'g> {
        let input = CaseInput::new(shape, Draw::Labels { below });
        let tensor = self.graph.labels(name, input.shape.clone());
        self.feeds.push((tensor, input.draw(&mut self.generator)));
        tensor
    }
}

fn mlp<'g>(params: &mut Params, data: &mut Data<'g>) -> Training<'g> {
    let model = nn::Sequential::new()
        .then(nn::Linear::new(params, "up", 64, 96))
        .then(Activation::Gelu)
        .then(nn::Dropout::new(0.2))
        .then(nn::Linear::new(params, "between", 96, 80))
        .then(Activation::Relu)
        .then(nn::Dropout::new(0.2))
        .then(nn::Linear::new(params, "down", 80, 10));
    let (x, y) = (data.floats("x", [50, 64]), data.labels("y", [50], 10));
    data.graph.train(model.forward(x).cross_entropy(y), AdamW::new(1e-3).weight_decay(0.1)).clip_norm(1.0)
}

fn cnn<'g>(params: &mut Params, data: &mut Data<'g>) -> Training<'g> {
    // A bias before a batch norm has no gradient, and no figures that mean anything.
    let (same, halved) = (ConvSettings::new().padding(1), ConvSettings::new().stride(2));
    let model = nn::Sequential::new()
        .then(nn::Conv2d::without_bias(params, "conv1", 3, 8, [3, 3], same))
        .then(nn::BatchNorm::new(params, "norm1", 8))
        .then(Activation::Relu)
        .then(nn::MaxPool2d(PoolSettings::new(2)))
        .then(nn::Conv2d::without_bias(params, "conv2", 8, 12, [3, 3], halved))
        .then(nn::BatchNorm::new(params, "norm2", 12))
        .then(Activation::Silu)
        .then(nn::AvgPool2d(PoolSettings::new(2)))
        .then(nn::Flatten)
        .then(nn::Linear::new(params, "scores", 12, 10));
    let (x, y) = (data.floats("images", [8, 3, 12, 12]), data.labels("classes", [8], 10));
    data.graph.train(model.forward(x).cross_entropy(y), Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(1e-4))
}

fn transformer<'g>(params: &mut Params, data: &mut Data<'g>) -> Training<'g> {
    const LETTERS: usize = 65;
    const SIZE: usize = 32;
    let token = nn::Embedding::new(params, "token", LETTERS, SIZE);
    let block = nn::TransformerBlock::new(params, "block", SIZE, 4).causal().rotary(24, 10_000.0).dropout(0.1);
    let norm = nn::LayerNorm::new(params, "norm", [SIZE]);
    let head = nn::Linear::new(params, "head", SIZE, LETTERS);
    let (x, y) = (data.labels("tokens", [3, 24], LETTERS), data.labels("next", [3, 24], LETTERS));
    let scores = head.forward(norm.forward(block.forward(token.forward(x))));
    data.graph.train(scores.cross_entropy(y), without_decay_on_vectors(AdamW::new(1e-3).weight_decay(0.1)))
}

fn lstm<'g>(params: &mut Params, data: &mut Data<'g>) -> Training<'g> {
    let cells = nn::Lstm::new(params, "cells", 5, 24);
    let down = nn::Linear::new(params, "down", 24, 1);
    let (x, y) = (data.floats("series", [7, 12, 5]), data.floats("next", [7, 12, 1]));
    data.graph.train(down.forward(cells.forward(x)).mse_loss(y), Adam::new(3e-3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use retrograd::Device;

    #[test]
    fn every_network_trains() {
        for network in ALL {
            let g = Graph::new();
            let Recorded { training, params, feeds } = network.record(&g, 1);
            let mut step = training.gradient_norm().compile(&Device::cpu(), &params).unwrap();
            step.run(feeds.iter().map(|(input, data)| input.feed(data)).collect::<Vec<_>>()).unwrap();
            let norm = step.read_gradient_norm().unwrap();
            assert!(norm.is_finite() && norm > 1e-3, "{}: {norm}", network.name);
        }
    }
}
