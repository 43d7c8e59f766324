//! Where all is finite nothing is found, and nothing changes.

use super::tensor;
use crate::common::devices;
use retrograd::ops::PoolSettings;
use retrograd::optim::{Adam, Optimizer, Sgd};
use retrograd::plan::{Binding, NumberCheck, Scan, Span, When};
use retrograd::{Device, Generator, Graph, HostData, HostTensor, Init, Params, Tensor, nn, optim};

/// What a network is trained on, fed the same in every step.
type Fed<'g> = Vec<(Tensor<'g>, HostTensor)>;

fn uniform<'g>(g: &'g Graph, name: &str, shape: &[usize]) -> (Tensor<'g>, HostTensor) {
    let mut generator = Generator::named(5, name);
    let data = (0..shape.iter().product()).map(|_| generator.uniform(-1.0, 1.0) as f32).collect();
    (g.input(name, shape.to_vec()), tensor(shape, data))
}

fn classes<'g>(g: &'g Graph, name: &str, shape: &[usize], classes: usize) -> (Tensor<'g>, HostTensor) {
    let mut generator = Generator::named(6, name);
    let data = (0..shape.iter().product()).map(|_| generator.below(classes) as i32).collect();
    (g.labels(name, shape.to_vec()), HostTensor::new(shape.to_vec(), HostData::I32(data)).unwrap())
}

fn perceptron<'g>(params: &mut Params, g: &'g Graph) -> (Tensor<'g>, Fed<'g>) {
    let (up, down) = (nn::Linear::new(params, "up", 7, 33), nn::Linear::new(params, "down", 33, 3));
    let (x, y) = (uniform(g, "x", &[13, 7]), classes(g, "y", &[13], 3));
    (down.forward(up.forward(x.0).gelu_erf().dropout(0.2)).cross_entropy(y.0), vec![x, y])
}

fn convolutions<'g>(params: &mut Params, g: &'g Graph) -> (Tensor<'g>, Fed<'g>) {
    let model = nn::Sequential::new()
        .then(nn::Conv2d::new(params, "conv", 1, 6, [3, 3]))
        .then(nn::BatchNorm::new(params, "norm", 6))
        .then(nn::Activation::Relu)
        .then(nn::MaxPool2d(PoolSettings::new(2)))
        .then(nn::Flatten)
        .then(nn::Dropout::new(0.5))
        .then(nn::Linear::new(params, "scores", 6 * 5 * 5, 4));
    let (x, y) = (uniform(g, "x", &[8, 1, 12, 12]), classes(g, "y", &[8], 4));
    (model.forward(x.0).cross_entropy(y.0), vec![x, y])
}

fn transformer<'g>(params: &mut Params, g: &'g Graph) -> (Tensor<'g>, Fed<'g>) {
    let token = nn::Embedding::new(params, "token", 11, 16);
    let block = nn::TransformerBlock::new(params, "block", 16, 2).causal().rotary(12, 10_000.0);
    let attention = nn::MultiHeadAttention::new(params, "attention", 16, 2);
    let down = nn::Linear::new(params, "down", 16, 11);
    let (x, y) = (classes(g, "x", &[3, 12], 11), classes(g, "y", &[3, 12], 11));
    // Queries that see themselves, those that see all keys, and one that sees nothing.
    let sees = |query: u8, key: u8| query != 3 && (query == key || query > 5);
    let allowed: Vec<f32> = (0..144u8).map(|i| f32::from(u8::from(sees(i / 12, i % 12)))).collect();
    let mask = g.constant(tensor(&[12, 12], allowed)).gt(g.full([1], 0.5));
    let seen = attention.forward_masked(block.forward(token.forward(x.0)), Some(mask));
    (down.forward(seen).cross_entropy(y.0), vec![x, y])
}

fn recurrent<'g>(params: &mut Params, g: &'g Graph) -> (Tensor<'g>, Fed<'g>) {
    let (cells, down) = (nn::Lstm::new(params, "cells", 2, 9), nn::Linear::new(params, "down", 9, 1));
    let x = uniform(g, "x", &[5, 6, 2]);
    (down.forward(cells.forward(x.0)).square().mean(..), vec![x])
}

/// Selections, sums of segments, and products of the largest, whose kernels write in several ways.
fn selections<'g>(params: &mut Params, g: &'g Graph) -> (Tensor<'g>, Fed<'g>) {
    let weight = params.add("weight", [300, 5], Init::Uniform(-1.0, 1.0));
    let w = g.param(&weight);
    let index = classes(g, "index", &[40], 300);
    let (largest, _) = w.top_k(7, 0);
    let loss = w.embedding(index.0).square().sum(..) + largest.sum(..) + w.cumsum(0).square().mean(..);
    (loss + w.log_softmax(-1).mean(..) + w.argmax(0).to_f32().sum(..) * 1e-3, vec![index])
}

type Network = for<'g> fn(&mut Params, &'g Graph) -> (Tensor<'g>, Fed<'g>);

const NETWORKS: [(&str, Network); 5] = [
    ("perceptron", perceptron),
    ("convolutions", convolutions),
    ("transformer", transformer),
    ("recurrent", recurrent),
    ("selections", selections),
];

/// Two hundred steps of networks that are well: nothing is found, and to the bit they are what they are without the check.
#[test]
fn where_all_is_finite_nothing_is_found_and_nothing_changes() {
    for device in devices() {
        for (name, network) in NETWORKS {
            let run = |every: Option<u32>| {
                let (mut params, g) = (Params::seeded(4), Graph::new());
                let (loss, fed) = network(&mut params, &g);
                let feeds: Vec<_> = fed.iter().map(|(input, data)| input.feed(data)).collect();
                let training = g.train(loss, Adam::new(1e-3));
                let training = match every {
                    Some(every) => training.check_numbers(every),
                    None => training,
                };
                let mut step = training.compile(&device, &params).unwrap();
                step.run_many(198, &feeds).unwrap();
                step.run(&feeds).unwrap();
                step.run(&feeds).unwrap();
                let found = every.and_then(|_| step.first_non_finite().unwrap());
                assert_eq!(found, None, "{}, {name}", device.name());
                let names: Vec<String> = step.state().parameters().map(|(name, _)| name.to_owned()).collect();
                let bits = |name: &String| {
                    step.state().parameter(name).unwrap().to_vec().into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                let loss = step.read(loss).unwrap().item();
                assert!(loss.is_finite());
                (loss.to_bits(), names.iter().map(bits).collect::<Vec<_>>(), step.plan().clone())
            };
            let ((loss, weights, plan), plain) = (run(Some(1)), run(None));
            assert!(loss == plain.0 && weights == plain.1, "{}, {name}: it changes what is computed", device.name());
            assert!(plan == plain.2, "{}, {name}: it is part of the plan", device.name());
        }
    }
}

/// Every optimizer with all that a training can do besides: states, norms, directions and averages are finite.
#[test]
fn updates_of_all_optimizers_are_finite() {
    let optimizers: [fn() -> Box<dyn Optimizer>; 11] = [
        || Box::new(Sgd::new(1e-2)),
        || Box::new(Sgd::new(1e-2).momentum(0.9).nesterov()),
        || Box::new(Adam::new(1e-3)),
        || Box::new(optim::AdamW::new(1e-3)),
        || Box::new(optim::Adagrad::new(1e-3)),
        || Box::new(optim::Adamax::new(1e-3)),
        || Box::new(optim::Lamb::new(1e-3)),
        || Box::new(optim::Lion::new(1e-3)),
        || Box::new(optim::NAdam::new(1e-3)),
        || Box::new(optim::RAdam::new(1e-3)),
        || Box::new(optim::RmsProp::new(1e-3)),
    ];
    for device in devices() {
        for optimizer in optimizers {
            let (mut params, g) = (Params::seeded(4), Graph::new());
            let (loss, fed) = perceptron(&mut params, &g);
            let training = g.train(loss, optimizer()).clip_norm(0.5).average(0.9).layer_norms().accumulate(2);
            let mut step = training.check_numbers(1).compile(&device, &params).unwrap();
            step.run_many(6, fed.iter().map(|(input, data)| input.feed(data)).collect::<Vec<_>>()).unwrap();
            assert_eq!(step.first_non_finite().unwrap(), None, "{}, {:?}", device.name(), optimizer());
        }
    }
}

#[test]
fn what_lies_beside_all_tensors_is_told_as_well() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [3], Init::Zeros);
    let g = Graph::new();
    let loss = g.param(&weight).square().sum(..);
    let step = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    let span = Span { name: "parameter `weight`".to_owned(), shape: [3].into(), words: 0..3, first: 0 };
    let scan = Scan {
        after: None,
        binding: Binding { buffer: 0, offset: 0, bytes: 16 },
        when: When::Always,
        spans: vec![span],
        location: String::new(),
        scope: String::new(),
        ops: Vec::new(),
        origin: None,
        constants: Vec::new(),
    };
    let check = NumberCheck { every: 1, scans: vec![scan] };
    let first = |word: u32| check.first(step.plan(), &[!0, 7, NumberCheck::found(word, f32::INFINITY.to_bits())]);
    let inside = first(2).unwrap();
    assert_eq!((inside.tensor.as_str(), &inside.element[..]), ("parameter `weight`", &[2][..]));
    let beside = first(3).expect("it is not finite").to_string();
    let told = "step 7: word 3 of the memory of parameter `weight`, which is no element, was infinity before the step";
    assert!(beside.starts_with(told), "{beside}");
    assert!(check.first(step.plan(), &[0; 3]).is_none());
}
