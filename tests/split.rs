//! Tensors that exceed a binding are computed part by part, with the results of the whole.

mod common;

use common::devices;
use retrograd::base::{Real, TensorType, Value};
use retrograd::nn::{
    Activation, BatchNorm, Conv2d, Dropout, Embedding, Flatten, LayerNorm, Linear, MaxPool2d, Sequential,
    TransformerBlock,
};
use retrograd::ops::{ConvSettings, PoolSettings};
use retrograd::optim::{AdamW, Lamb, Sgd};
use retrograd::plan::Profile;
use retrograd::record::{Cotangents, EvalContext, KernelClass, LowerContext, Lowering, Op, Pointwise, Reference, Vjp};
use retrograd::{
    Device, ErrorKind, Feed, Generator, Graph, HostData, HostTensor, Init, Params, Step, Tensor, Training,
};

/// Data for inputs, as they are recorded.
struct Fed<'g>(Vec<(Tensor<'g>, HostTensor)>);

impl<'g> Fed<'g> {
    fn floats(&mut self, g: &'g Graph, name: &str, shape: &[usize]) -> Tensor<'g> {
        let input = g.input(name, shape.to_vec());
        let mut generator = Generator::new(self.0.len() as u64 + 3);
        let count = shape.iter().product();
        let data = (0..count).map(|_| generator.uniform(-1.0, 1.0) as f32).collect();
        self.0.push((input, HostTensor::new(shape, HostData::F32(data)).unwrap()));
        input
    }

    fn labels(&mut self, g: &'g Graph, name: &str, shape: &[usize], classes: usize) -> Tensor<'g> {
        let input = g.labels(name, shape.to_vec());
        let mut generator = Generator::new(self.0.len() as u64 + 7);
        let count = shape.iter().product();
        let data = (0..count).map(|_| generator.uniform(0.0, classes as f64) as i32).collect();
        self.0.push((input, HostTensor::new(shape, HostData::I32(data)).unwrap()));
        input
    }

    fn feeds(&self) -> Vec<Feed<'_>> {
        self.0.iter().map(|(input, data)| input.feed(data)).collect()
    }
}

type Record = for<'g> fn(&'g Graph, &mut Params, &mut Fed<'g>) -> Tensor<'g>;
type With = for<'g> fn(&'g Graph, Tensor<'g>) -> Training<'g>;

fn weights(step: &Step) -> Vec<(String, Vec<f32>)> {
    let names: Vec<String> = step.state().parameters().map(|(name, _)| name.to_owned()).collect();
    names.iter().map(|name| (name.clone(), step.state().parameter(name).unwrap().to_vec())).collect()
}

struct Seen {
    losses: Vec<f32>,
    weights: Vec<(String, Vec<f32>)>,
    norms: Vec<f32>,
    dispatches: usize,
}

/// Five steps, verified before the last where bindings are small.
fn train(device: &Device, binding_bytes: Option<u64>, record: Record, with: With) -> Seen {
    let (mut params, g, mut fed) = (Params::seeded(5), Graph::new(), Fed(Vec::new()));
    let loss = record(&g, &mut params, &mut fed);
    let mut profile = device.profile();
    profile.binding_bytes = binding_bytes.unwrap_or(profile.binding_bytes);
    let device = device.with_profile(profile).unwrap();
    let mut step = with(&g, loss).compile(&device, &params).unwrap_or_else(|error| panic!("{error}"));
    let mut losses = Vec::new();
    for run in 0..5 {
        if run == 4 && binding_bytes.is_some() {
            let verification = step.verify(fed.feeds()).unwrap();
            assert!(verification.agrees(), "{}\n{verification}", device.name());
        }
        step.run(fed.feeds()).unwrap();
        losses.push(step.read(loss).unwrap().item());
    }
    if let Some(most) = binding_bytes.filter(|_| device.profile().class != KernelClass::Host) {
        for dispatch in &step.plan().dispatches {
            assert!(dispatch.bindings.iter().all(|binding| binding.bytes <= most), "{dispatch:?}");
        }
    }
    let norms = step
        .read_layer_norms()
        .map_or(Vec::new(), |norms| norms.iter().flat_map(|layer| [layer.gradient, layer.weight]).collect());
    let dispatches = step.plan().dispatches.len();
    Seen { losses, weights: weights(&step), norms, dispatches }
}

fn close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let greatest = want.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    for (place, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 2e-4 * want.abs() + 2e-5 * greatest, "{what} [{place}]: {got} and {want}");
    }
}

fn same_in_parts(binding_bytes: u64, record: Record, with: With) {
    for device in devices() {
        let name = device.name().clone();
        let whole = train(&device, None, record, with);
        let parts = train(&device, Some(binding_bytes), record, with);
        assert!(parts.dispatches > whole.dispatches, "{name}: nothing was in parts");
        close(&format!("{name} losses"), &parts.losses, &whole.losses);
        close(&format!("{name} norms"), &parts.norms, &whole.norms);
        for ((parameter, got), (_, want)) in parts.weights.iter().zip(&whole.weights) {
            close(&format!("{name} {parameter}"), got, want);
        }
    }
}

/// The table, its gradient and the scores exceed a binding; the head is the table.
fn tied<'g>(g: &'g Graph, params: &mut Params, fed: &mut Fed<'g>) -> Tensor<'g> {
    let table = Embedding::with_init(params, "table", 1031, 16, Init::Normal(0.0, 0.5));
    let norm = LayerNorm::new(params, "norm", [16]);
    let x = norm.forward(table.forward(fed.labels(g, "tokens", &[3, 7], 1031)));
    let scores = x.matmul(g.param(table.weight()).transpose());
    scores.reshape([21, 1031]).cross_entropy(fed.labels(g, "next", &[21], 1031))
}

fn adam<'g>(g: &'g Graph, loss: Tensor<'g>) -> Training<'g> {
    g.train(loss, AdamW::new(1e-2)).clip_norm(0.5).average(0.9).layer_norms().check_numbers(2)
}

#[test]
fn a_table_that_is_the_head_as_well() {
    same_in_parts(20_480, tied, adam);
}

#[test]
fn norms_of_a_parameter_over_several_bindings() {
    same_in_parts(20_480, tied, |g, loss| g.train(loss, Lamb::new(1e-2).weight_decay(0.1)).accumulate(2).layer_norms());
}

/// All activations exceed a binding: windows, normalization over the batch, pooling, dropout.
fn convolutions<'g>(g: &'g Graph, params: &mut Params, fed: &mut Fed<'g>) -> Tensor<'g> {
    let model = Sequential::new()
        .then(Conv2d::without_bias(params, "conv1", 1, 6, [3, 3], ConvSettings::new().padding(1)))
        .then(BatchNorm::new(params, "norm1", 6))
        .then(Activation::Relu)
        .then(MaxPool2d(PoolSettings::new(2)))
        .then(Conv2d::with_settings(params, "conv2", 6, 12, [3, 3], ConvSettings::new().padding(1)))
        .then(Activation::Gelu)
        .then(Dropout::new(0.3))
        .then(Flatten)
        .then(Linear::new(params, "scores", 12 * 6 * 6, 10));
    model.forward(fed.floats(g, "images", &[11, 1, 12, 12])).cross_entropy(fed.labels(g, "digits", &[11], 10))
}

#[test]
fn activations_of_convolutions() {
    // Of images, 11 x 6 x 12 x 12 floats; the weights of the last layer fit.
    same_in_parts(28_000, convolutions, |g, loss| g.train(loss, Sgd::new(0.05).momentum(0.9)));
}

/// Convolutions in groups, one of them for each channel, and images made larger by repeating.
fn groups<'g>(g: &'g Graph, params: &mut Params, fed: &mut Fed<'g>) -> Tensor<'g> {
    let settings = |groups: usize| ConvSettings::new().padding(1).groups(groups);
    let grouped = Conv2d::with_settings(params, "grouped", 4, 8, [3, 3], settings(2));
    let deep = Conv2d::with_settings(params, "deep", 8, 8, [3, 3], settings(8));
    let x = fed.floats(g, "x", &[27, 4, 8, 8]);
    let y = deep.forward(grouped.forward(x).relu()).tanh();
    y.upsample_nearest2d([2, 2]).square().mean(..) + y.sum([2, 3]).softmax(-1).amax(..)
}

#[test]
fn convolutions_in_groups() {
    same_in_parts(29_184, groups, |g, loss| g.train(loss, Sgd::new(0.5)));
}

/// More places in a table than a binding holds of what stands there.
fn many_places<'g>(g: &'g Graph, params: &mut Params, fed: &mut Fed<'g>) -> Tensor<'g> {
    let table = Embedding::with_init(params, "table", 1031, 16, Init::Normal(0.0, 1.0));
    let y = table.forward(fed.labels(g, "tokens", &[1000], 1031)) * fed.floats(g, "x", &[1000, 16]);
    let column = g.param(table.weight()).transpose().argmax(-1).to_f32().detach();
    y.tanh().mean(..) + column.sum(..) * 1e-9
}

#[test]
fn a_table_with_many_places() {
    same_in_parts(20_480, many_places, |g, loss| g.train(loss, Sgd::new(3.0)));
}

#[test]
fn parts_of_a_parameter_that_stand_still() {
    // Most rows of the table get no gradient, and without decay LAMB does not move them.
    same_in_parts(20_480, tied, |g, loss| g.train(loss, Lamb::new(1e-2)));
}

/// A user's op whose expression has the number of elements: of a part it would be another function.
#[derive(Debug)]
struct OverCount;

impl Op for OverCount {
    fn name(&self) -> &'static str {
        "over_count"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::Missing
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let count = cx.inputs[0].shape.elements();
        Lowering::Pointwise(Pointwise::of_inputs(format!("{{0}} / {count}.0f"), 1, &[]))
    }
}

impl Reference for OverCount {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let x = inputs[0].real();
        vec![Value::Real(x.mapv(|value| value / T::real(x.len() as f64)))]
    }
}

#[test]
fn an_op_that_is_something_else_of_a_part_is_refused() {
    let small = Profile { binding_bytes: 4096, ..Profile::webgpu_default() };
    let g = Graph::new();
    let y = g.record(OverCount, &[g.input("x", [2048])]).sum(..);
    let error = g.infer(&[y]).plan(&Params::seeded(0), &small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("over_count"), "{error}");
}

/// Attention in planes, and all that is around it, along the batch.
fn transformer<'g>(g: &'g Graph, params: &mut Params, fed: &mut Fed<'g>) -> Tensor<'g> {
    let block = TransformerBlock::new(params, "block", 24, 3).causal().rotary(9, 10_000.0);
    let (up, down) = (Linear::new(params, "up", 5, 24), Linear::new(params, "down", 24, 7));
    let x = up.forward(fed.floats(g, "x", &[13, 9, 5]));
    down.forward(block.forward(x)).reshape([13 * 9, 7]).cross_entropy(fed.labels(g, "y", &[13 * 9], 7))
}

#[test]
fn activations_of_a_transformer() {
    same_in_parts(10_240, transformer, adam);
}

/// An input, a constant and a vector that exceed a binding, with sums over all of them, and a slice across their parts.
fn vectors<'g>(g: &'g Graph, params: &mut Params, fed: &mut Fed<'g>) -> Tensor<'g> {
    let w = params.add("w", [6007], Init::Normal(0.0, 1.0));
    let x = fed.floats(g, "x", &[6007]);
    let fixed: Vec<f32> = (0..6007).map(|n| (n % 17) as f32 / 17.0).collect();
    let c = g.constant(HostTensor::new([6007], HostData::F32(fixed)).unwrap());
    let y = (g.param(&w) * x + c).tanh();
    let greatest = y.amax(..);
    (y - g.scalar(0.1)).square().mean(..) + greatest * 0.1 + y.slice(0, 900..2300).sum(..) * 1e-3
}

#[test]
fn long_vectors() {
    same_in_parts(4096, vectors, |g, loss| g.train(loss, Sgd::new(1.0)));
}

#[test]
fn a_language_model_of_real_size_is_planned_for_every_webgpu_device() {
    // The sizes of GPT-2: a table of 50,257 x 768 is 154 MB, the scores of 512 tokens 103 MB, and a binding 128 MiB.
    for tokens in [512, 2048] {
        let (mut params, g) = (Params::seeded(0), Graph::new());
        let table = Embedding::with_init(&mut params, "table", 50_257, 768, Init::Zeros);
        let x = table.forward(g.labels("tokens", [tokens]));
        let scores = x.matmul(g.param(table.weight()).transpose());
        let loss = scores.cross_entropy(g.labels("next", [tokens]));
        let profile = Profile::webgpu_default();
        let plan = g.train(loss, AdamW::new(1e-3)).plan(&params, &profile).unwrap_or_else(|error| panic!("{error}"));
        let bound = plan.dispatches.iter().flat_map(|dispatch| &dispatch.bindings);
        assert!(bound.clone().all(|binding| binding.bytes <= profile.binding_bytes && binding.offset % 256 == 0));
        assert!(plan.dispatches.len() < 100, "{} dispatches", plan.dispatches.len());
    }
}

#[test]
fn what_cannot_be_cut_is_named() {
    let small = Profile { binding_bytes: 4096, name: "a small device".into(), ..Profile::webgpu_default() };
    let mut params = Params::seeded(0);
    let w = params.add("w", [1, 2000], Init::Zeros);
    let g = Graph::new();
    let loss = g.param(&w).softmax(-1).square().sum(..);
    let error = g.train(loss, Sgd::new(0.1)).plan(&params, &small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let text = error.to_string();
    assert!(text.contains("softmax f32[1, 2000] at tests/split.rs"), "{text}");
    assert!(
        text.contains("takes 8000 bytes and a small device binds at most 4096, but it cannot be computed"),
        "{text}"
    );
    let g = Graph::new();
    let x = g.input("x", [3000]);
    let y = x.exp();
    let y = y.keep();
    let error = g.infer(&[y]).plan(&params, &small).unwrap_err().to_string();
    assert!(error.contains("exp f32[3000]") && error.contains("it is read or assigned as a whole"), "{error}");
}
