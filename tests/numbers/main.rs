//! The first NaN or infinity of a step is told with its step, dispatch, tensor, element and source line; and where all is
//! finite, nothing is.

mod common;

use common::devices;
use retrograd::base::Real;
use retrograd::fuse::Role::{Change, Read};
use retrograd::ops::PoolSettings;
use retrograd::optim::{self, Adam, Optimizer, Sgd};
use retrograd::plan::{Binding, NumberCheck, Phase, Scan, Span, StepScalars, Update, UpdateRule, When};
use retrograd::record::{Text, libraries};
use retrograd::schedule::Schedule;
use retrograd::{
    Device, ErrorKind, Generator, Graph, HostData, HostTensor, Init, NonFinite, Params, Result, Step, Tensor, nn,
};
use std::sync::Arc;

fn tensor(shape: &[usize], data: Vec<f32>) -> HostTensor {
    HostTensor::new(shape.to_vec(), HostData::F32(data)).unwrap()
}

/// What was found, which has to be something; and reads tell it.
fn found(step: &Step, device: &Device) -> NonFinite {
    step.first_non_finite().unwrap().unwrap_or_else(|| panic!("{}: nothing was found", device.name()))
}

/// Whether a place in this file was told.
fn is_at(found: &NonFinite, line: u32) -> bool {
    found.location.starts_with(&format!("tests/numbers.rs:{line}:"))
}

/// The scores of a row are 3, but for one whose second is -96.
fn rows() -> (Vec<f32>, Vec<f32>) {
    let mut rows = vec![1.0; 20];
    rows[10] = 100.0;
    let mut weights = vec![1.0; 15];
    weights[1] = -1.0;
    (rows, weights)
}

#[test]
fn a_logarithm_of_a_negative_number_is_told_where_it_is_stored() {
    let (rows, weights) = rows();
    for device in devices() {
        for fused in [true, false] {
            let mut params = Params::seeded(1);
            let weight = params.add("weight", [5, 3], Init::Values(weights.clone()));
            let g = Graph::new();
            let x = g.input("x", [4, 5]);
            let logs = x.matmul(g.param(&weight)).log();
            let line = line!() - 1;
            let loss = logs.keep().mean(..);
            let training = g.train(loss, Sgd::new(0.1)).check_numbers(1);
            let training = if fused { training } else { training.without_fusion() };
            let mut step = training.compile(&device, &params).unwrap();
            step.run([x.feed(&rows)]).unwrap();
            let found = found(&step, &device);
            let what = format!("{}, fused {fused}: {found}", device.name());
            assert_eq!((found.step, found.phase), (1, Some(Phase::Forward)), "{what}");
            assert_eq!((found.tensor.as_str(), &found.element[..]), ("log f32[4, 3]", &[2, 1][..]), "{what}");
            assert!(found.value.is_nan() && is_at(&found, line) && found.others > 0, "{what}");
            let dispatch = &step.plan().dispatches[found.dispatch.unwrap()];
            assert_eq!(dispatch.phase, Phase::Forward);
            // Where the op is one of several of a kernel, all are named.
            assert_eq!(dispatch.nodes.len() > 1, fused, "{what}");
            assert_eq!(found.ops.iter().any(|op| op.starts_with("matmul")), fused, "{what}");

            let error = step.read(loss).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NonFinite);
            let text = error.to_string();
            for part in ["step 1", "(forward)", "NaN", "log f32[4, 3]", "[2, 1]", "tests/numbers.rs:", "learning rate"]
            {
                assert!(text.contains(part), "{part} is missing: {text}");
            }
        }
    }
}

#[test]
fn what_is_not_stored_is_told_by_the_ops_of_its_kernel() {
    for device in devices() {
        let g = Graph::evaluation();
        let x = g.input("x", [7, 3]);
        let y = (x - 1.0).log() * 2.0;
        let line = line!() - 1;
        let mut step = g.infer(&[y]).check_numbers(1).compile(&device, &Params::seeded(1)).unwrap();
        let mut data = vec![2.0; 21];
        data[16] = 1.0;
        step.run([x.feed(&data)]).unwrap();
        let found = found(&step, &device);
        assert_eq!((&found.element[..], found.value), (&[5, 1][..], f32::NEG_INFINITY), "{found}");
        assert!(found.ops.iter().any(|op| op.starts_with("log at tests/numbers.rs")), "{found}");
        assert!(is_at(&found, line) && found.ops.len() >= 2, "{found}");
        assert!(found.to_string().contains("-infinity"), "{found}");
    }
}

/// The root at 0 is finite, and its slope is not.
#[test]
fn an_infinite_gradient_is_told_with_its_parameter_and_forward_op() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let other = params.add("other", [100, 3], Init::Zeros);
        let weight = params.add("weight", [2, 40], Init::Values((0..80u8).map(|i| f32::from(i % 77)).collect()));
        let g = Graph::new();
        let roots = g.param(&weight).sqrt() * 0.5;
        let line = line!() - 1;
        let loss = roots.sum(..) + g.param(&other).sum(..);
        let training = g.train(loss, Sgd::new(0.1)).check_numbers(1);
        let mut step = training.compile(&device, &params).unwrap();
        step.run([]).unwrap();
        let found = found(&step, &device);
        assert_eq!(found.phase, Some(Phase::Backward), "{found}");
        assert_eq!((&found.element[..], found.value), (&[0, 0][..], f32::INFINITY), "{found}");
        assert!(found.tensor.contains("gradient of parameter `weight`"), "{found}");
        assert!(found.origin.as_ref().unwrap().starts_with("sqrt at"), "{found}");
        assert!(is_at(&found, line), "{found}");
        // The weight has it as well.
        assert!(found.others > 0, "{found}");
    }
}

/// What is masked away in the forward list comes back as 0 times infinity.
#[test]
fn a_gradient_that_a_mask_does_not_stop_is_told() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [6], Init::Values(vec![1.0, 4.0, 9.0, 0.0, 16.0, 25.0]));
        let g = Graph::new();
        let w = g.param(&weight);
        let loss = w.gt(g.full([1], 0.5)).where_cond(w.sqrt(), g.full([1], 0.0)).sum(..);
        let mut step = g.train(loss, Sgd::new(0.1)).check_numbers(1).compile(&device, &params).unwrap();
        step.run([]).unwrap();
        let found = found(&step, &device);
        assert_eq!(found.phase, Some(Phase::Backward), "{found}");
        assert_eq!(found.element, [3], "{found}");
        assert!(found.value.is_nan(), "{found}");
    }
}

#[test]
fn an_update_that_overflows_is_told_with_the_parameter_or_state() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let first = params.add("first", [3, 5], Init::Constant(1.0));
        let second = params.add("second", [2, 7], Init::Constant(1.0));
        let g = Graph::new();
        let scale = g.input("scale", [2, 7]);
        let loss = (g.param(&second) * scale).sum(..) + g.param(&first).sum(..);
        let mut data = vec![1.0; 14];
        data[11] = 1e30;
        let optimizers: [(Box<dyn Optimizer>, &str, &str); 2] = [
            (Box::new(Sgd::new(1e20)), "parameter `second`", "sgd of"),
            (Box::new(Adam::new(1e-3)), "of parameter `second`", "adam of"),
        ];
        for (optimizer, tensor, work) in optimizers {
            let mut step = g.train(loss, optimizer).check_numbers(1).compile(&device, &params).unwrap();
            step.run([scale.feed(&data)]).unwrap();
            let found = found(&step, &device);
            assert_eq!((found.phase, found.step), (Some(Phase::Update), 1), "{found}");
            assert!(found.tensor.ends_with(tensor), "{found}");
            assert_eq!((&found.element[..], &found.shape[..]), (&[1, 4][..], &[2, 7][..]), "{found}");
            assert!(found.work.as_ref().unwrap().starts_with(work), "{found}");
            assert!(found.value.is_infinite(), "{found}");
            assert!(found.to_string().contains("clip"), "{found}");
        }
    }
}

#[test]
fn what_was_there_before_the_step_is_not_blamed_on_an_op() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [4, 3], Init::Constant(0.5));
        let bias = params.add("bias", [3], Init::Constant(0.5));
        let g = Graph::new();
        let x = g.input("x", [2, 4]);
        let loss = (x.matmul(g.param(&weight)) + g.param(&bias)).square().mean(..);
        let mut step = g.train(loss, Adam::new(1e-3)).check_numbers(1).compile(&device, &params).unwrap();
        let good = vec![1.0f32; 8];
        step.run([x.feed(&good)]).unwrap();
        assert_eq!(step.first_non_finite().unwrap(), None);

        // Fed.
        let mut bad = good.clone();
        bad[6] = f32::INFINITY;
        let saved = step.state().to_safetensors();
        let saved = pollster::block_on(saved).unwrap();
        step.run([x.feed(&bad)]).unwrap();
        let fed = found(&step, &device);
        assert_eq!((fed.step, fed.phase, fed.dispatch), (2, None, None), "{fed}");
        assert_eq!(fed.tensor, "input `x` f32[2, 4]");
        assert_eq!((&fed.element[..], fed.value), (&[1, 2][..], f32::INFINITY), "{fed}");
        assert!(fed.to_string().contains("input `x` f32[2, 4] was fed infinity"), "{fed}");

        // Every read tells it until the next run, which begins anew.
        assert_eq!(step.read(loss).unwrap_err().kind(), ErrorKind::NonFinite);
        assert_eq!(step.read(loss).unwrap_err().to_string(), fed.to_string());
        step.state().load_safetensors(&saved).unwrap();
        step.run([x.feed(&good)]).unwrap();
        assert!(step.read(loss).unwrap().item().is_finite(), "{}", device.name());

        // Set.
        let mut values = vec![0.5; 12];
        values[7] = -f32::NAN;
        step.state().set_parameter("weight", tensor(&[4, 3], values)).unwrap();
        step.run([x.feed(&good)]).unwrap();
        let set = found(&step, &device);
        assert_eq!(
            (set.phase, set.tensor.as_str(), &set.element[..]),
            (None, "parameter `weight`", &[2, 1][..]),
            "{set}"
        );
        assert!(set.to_string().contains("parameter `weight` was NaN before the step"), "{set}");
    }
}

/// A learning rate that is too high for one update.
#[derive(Debug)]
struct Spike(u32);

impl Schedule for Spike {
    fn factor(&self, update: u32) -> f64 {
        if update + 1 == self.0 { 1e41 } else { 1.0 }
    }
}

#[test]
fn a_step_of_many_is_told_by_its_number_however_long_ago() {
    for device in devices() {
        // The first step that is looked at after it knows only that it was so before.
        for (every, step_number, phase) in
            [(1, 7, Some(Phase::Update)), (7, 7, Some(Phase::Update)), (4, 8, None), (16, 16, None)]
        {
            let mut params = Params::seeded(1);
            let weight = params.add("weight", [300], Init::Constant(1.0));
            let g = Graph::new();
            let loss = (g.param(&weight) * 8.0).sum(..);
            let training = g.train(loss, Sgd::new(1e-3)).schedule(Spike(7)).check_numbers(every);
            let mut step = training.compile(&device, &params).unwrap();
            step.run_many(16, []).unwrap();
            // What is found first stays, whatever runs after it.
            for _ in 0..3 {
                step.run([]).unwrap();
            }
            step.run_many(5, []).unwrap();
            let error = step.read_history(loss).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NonFinite);
            let found = found(&step, &device);
            assert_eq!((found.step, found.phase), (step_number, phase), "{}, {every}: {found}", device.name());
            assert!(found.tensor.contains("`weight`") && found.element == [0], "{found}");
        }
    }
}

/// What stands where gradients are added up is looked at only where it counts.
#[test]
fn accumulated_gradients_are_looked_at_where_they_are_used() {
    for device in devices() {
        let run = |every: u32, bad: u32| {
            let mut params = Params::seeded(1);
            let weight = params.add("weight", [9], Init::Constant(1.0));
            let g = Graph::new();
            let x = g.input("x", [9]);
            let loss = (g.param(&weight) * x * x).sum(..);
            let training = g.train(loss, Sgd::new(1e-3)).accumulate(2).clip_norm(1.0).check_numbers(every);
            let mut step = training.compile(&device, &params).unwrap();
            for number in 1..=4 {
                let mut data = [1.0f32; 9];
                if number == bad {
                    data[4] = 1e30;
                }
                step.run([x.feed(&data)]).unwrap();
            }
            step.first_non_finite().unwrap()
        };
        // The second run spoils the sum, the update is left out, and the third begins a sum of its own.
        assert_eq!(run(3, 2), None, "{}", device.name());
        let found = run(4, 3).unwrap();
        assert_eq!((found.step, found.phase, &found.element[..]), (4, None, &[4][..]), "{found}");
        assert_eq!(found.tensor, "accumulated gradient of parameter `weight`");
        let found = run(1, 3).unwrap();
        assert_eq!((found.step, found.phase, &found.element[..]), (3, Some(Phase::Forward), &[0][..]), "{found}");
    }
}

/// Steps along the sign of the gradient, by a division that is NaN where the gradient is 0: as in the padding of parameters.
#[derive(Clone, Copy, Debug)]
struct Signs;

impl UpdateRule for Signs {
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], _states: &mut [&mut [T]]) {
        let rate = T::real(step.learning_rate);
        for (w, &g) in weight.iter_mut().zip(gradient) {
            *w = *w - rate * g / g.abs();
        }
    }
}

impl Optimizer for Signs {
    fn learning_rate(&self) -> f64 {
        0.5
    }
    fn scalars(&self, _count: u32, _learning_rate: f64) -> [f64; 4] {
        [0.0; 4]
    }
    fn update(&self) -> Result<Update> {
        let source = "\
// w = w - rate g / |g|

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;

struct Changed {
    weight: f32,
}

fn change(gradient: f32, weight: f32) -> Changed {
    if ((bitcast<u32>(gradient) & 0x7fffffffu) == 0u) {
        return Changed(bitcast<f32>(step.count | 0x7fc00000u));
    }
    return Changed(weight - step.learning_rate * gradient / abs(gradient));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    weight[i] = change(gradient[i], weight[i]).weight;
}
";
        Ok(Update {
            name: "signs",
            text: Text::new(source, &[&libraries::STEP]),
            variables: vec![Read.of("gradient"), Change.of("weight")],
            states: Vec::new(),
            trust_ratio: false,
            host: Arc::new(*self),
        })
    }
}

#[test]
fn the_padding_of_parameters_is_not_looked_at_and_what_lies_behind_it_is() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let first = params.add("first", [5], Init::Constant(1.0));
        let second = params.add("second", [66], Init::Constant(1.0));
        let g = Graph::new();
        let x = g.input("x", [66]);
        let loss = g.param(&first).sum(..) + (g.param(&second) * x).sum(..);
        let mut step = g.train(loss, Signs).check_numbers(1).compile(&device, &params).unwrap();
        let mut data = [1.0f32; 66];
        for _ in 0..3 {
            step.run([x.feed(&data)]).unwrap();
        }
        assert_eq!(step.first_non_finite().unwrap(), None, "{}", device.name());
        assert_eq!(step.state().parameter("second").unwrap().to_vec(), [-0.5; 66]);
        data[65] = 0.0;
        step.run([x.feed(&data)]).unwrap();
        let found = found(&step, &device);
        assert_eq!(
            (found.step, found.tensor.as_str(), &found.element[..]),
            (4, "parameter `second`", &[65][..]),
            "{found}"
        );
        assert_eq!(found.work.as_deref(), Some("signs of first, second"));
    }
}

/// A NaN at the first, the last, and places between of tensors whose ends lie anywhere in what one invocation, or one
/// workgroup, looks at.
#[test]
fn every_element_is_looked_at() {
    for device in devices() {
        for length in [1usize, 3, 4, 5, 31, 32, 33, 63, 65, 2047, 2048, 2049, 100_003] {
            let g = Graph::evaluation();
            let x = g.input("x", [length]);
            let mut step = g.infer(&[x + 1.0]).check_numbers(1).compile(&device, &Params::seeded(1)).unwrap();
            let mut places = vec![length - 1, 0, length / 2, length.saturating_sub(2), length / 3];
            places.dedup();
            for place in places {
                let mut data = vec![f32::MAX; length];
                data[place] = f32::NAN;
                // Later ones do not matter.
                data[(place + length / 2).min(length - 1).max(place)] = f32::NAN;
                step.run([x.feed(&data)]).unwrap();
                let found = found(&step, &device);
                assert_eq!(found.element, [place], "{}, {length}: {found}", device.name());
            }
            step.run([x.feed(&vec![f32::MIN_POSITIVE / 8.0; length])]).unwrap();
            assert_eq!(step.first_non_finite().unwrap(), None);
        }
    }
}

#[test]
fn a_batch_of_a_dataset_is_told_as_data() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [3, 1], Init::Constant(0.1));
        let g = Graph::new();
        let x = g.input("x", [2, 3]);
        let loss = x.matmul(g.param(&weight)).square().mean(..);
        let mut data = vec![1.0; 24];
        data[17] = f32::NAN;
        let data = tensor(&[8, 3], data);
        let training = g.train(loss, Sgd::new(1e-3)).dataset_in_order([x.feed(&data)]).check_numbers(1);
        let mut step = training.compile(&device, &params).unwrap();
        step.run_epoch([]).unwrap();
        let found = found(&step, &device);
        assert_eq!((found.step, found.phase, &found.element[..]), (3, Some(Phase::Batch), &[1, 2][..]), "{found}");
        assert!(found.tensor.starts_with("input `x`"), "{found}");
    }
}

#[test]
fn infinite_constants_are_named_where_they_matter_and_not_otherwise() {
    for device in devices() {
        let g = Graph::evaluation();
        let x = g.input("x", [2, 3]);
        let limits = g.constant(tensor(&[3], vec![1.0, f32::INFINITY, 2.0]));
        let smaller = x.minimum(limits);
        let mut step = g.infer(&[smaller]).check_numbers(1).compile(&device, &Params::seeded(1)).unwrap();
        step.run([x.feed(&[1.0f32; 6])]).unwrap();
        assert_eq!(step.first_non_finite().unwrap(), None, "{}", device.name());
        let mut step = g.infer(&[x * limits]).check_numbers(1).compile(&device, &Params::seeded(1)).unwrap();
        step.run([x.feed(&[1.0f32; 6])]).unwrap();
        let found = found(&step, &device);
        assert_eq!((&found.element[..], found.constants.len()), (&[0, 1][..], 1), "{found}");
        assert!(found.to_string().contains("whose element [1] is inf"), "{found}");
    }
}

#[test]
fn a_file_is_not_replaced_before_the_finding_is_told() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [2], Init::Constant(1.0));
    let g = Graph::new();
    let x = g.input("x", [2]);
    let loss = (g.param(&weight) * x).sum(..);
    let mut step = g.train(loss, Sgd::new(0.1)).check_numbers(2).compile(&Device::cpu(), &params).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    step.run([x.feed(&[1.0f32, f32::NAN])]).unwrap();
    assert_eq!(step.save(&file).unwrap_err().kind(), ErrorKind::NonFinite);
    assert!(!file.exists());
    step.save(&file).unwrap();
    // Not looked at, and nothing is found.
    step.state().set_parameter("weight", tensor(&[2], vec![1.0; 2])).unwrap();
    step.run([x.feed(&[1.0f32; 2])]).unwrap();
    step.run([x.feed(&[1.0f32, f32::NAN])]).unwrap();
    assert!(step.read(loss).unwrap().item().is_nan());
}

#[test]
fn mistakes_are_told() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [2], Init::Constant(1.0));
    let g = Graph::new();
    let loss = g.param(&weight).sum(..);
    let error = g.train(loss, Sgd::new(0.1)).check_numbers(0).compile(&Device::cpu(), &params).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert!(error.to_string().contains("`check_numbers` is 0 and must be at least 1"), "{error}");
    let step = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    let error = step.first_non_finite().unwrap_err();
    assert!(error.to_string().contains("Training::check_numbers"), "{error}");
}

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
