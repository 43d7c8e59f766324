//! What a training does besides the optimizer's rule: clipping, accumulation, averages, norms by layer; each on the CPU
//! device and on software adapters, against the same in double precision on the host.

mod common;

use common::{device, distance};
use retrograd::optim::{Adam, Lamb, Optimizer, Sgd};
use retrograd::plan::{Phase, Profile, StepScalars};
use retrograd::train::Verdict;
use retrograd::{
    Device, ErrorKind, Generator, Graph, HostData, HostTensor, Init, Param, Params, Result, State, Step, Tensor,
    Training, nn, schedule,
};

const LENGTHS: [usize; 4] = [3, 65, 1, 20_000];

/// Parameters whose gradients are what is fed.
struct Direct {
    params: Params,
    parameters: Vec<Param>,
}

impl Direct {
    fn new() -> Self {
        let mut params = Params::seeded(9);
        let add =
            |(place, &length): (usize, &usize)| params.add(&format!("p{place}"), [length], Init::Uniform(-1.0, 1.0));
        let parameters = LENGTHS.iter().enumerate().map(add).collect();
        Self { params, parameters }
    }

    /// Compiles the training of the sum of w times what is fed, and returns it with its inputs.
    fn compile<'g>(
        &self,
        g: &'g Graph,
        device: &Device,
        optimizer: impl Into<retrograd::optim::Grouped>,
        with: impl FnOnce(Training<'g>) -> Training<'g>,
    ) -> (Step, Vec<Tensor<'g>>) {
        let mut loss = g.full([1], 0.0);
        let mut inputs = Vec::new();
        for parameter in &self.parameters {
            let input = g.input(parameter.name(), parameter.shape().clone());
            loss = loss + (g.param(parameter) * input).sum(..);
            inputs.push(input);
        }
        let step = with(g.train(loss, optimizer)).compile(device, &self.params).unwrap_or_else(|e| panic!("{e}"));
        (step, inputs)
    }

    fn initial(&self) -> Vec<Vec<f64>> {
        let value = |parameter| self.params.value(parameter).unwrap().to_vec().into_iter().map(f64::from).collect();
        self.parameters.iter().map(value).collect()
    }
}

fn gradients(seed: u64, scale: f64) -> Vec<Vec<f32>> {
    let mut generator = Generator::new(seed);
    let mut numbers = |length| (0..length).map(|_| generator.uniform(-scale, scale) as f32).collect();
    LENGTHS.iter().map(|&length| numbers(length)).collect()
}

fn run(step: &mut Step, inputs: &[Tensor<'_>], gradients: &[Vec<f32>]) -> Result<()> {
    step.run(inputs.iter().zip(gradients).map(|(input, data)| input.feed(data)).collect::<Vec<_>>())
}

fn weights(state: &State) -> Vec<Vec<f64>> {
    let names: Vec<String> = state.parameters().map(|(name, _)| name.to_owned()).collect();
    let read = |name: &String| state.parameter(name).unwrap().to_vec().into_iter().map(f64::from).collect();
    names.iter().map(read).collect()
}

fn norm(gradients: &[Vec<f32>]) -> f64 {
    gradients.iter().flatten().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt()
}

/// An optimizer's rule in double precision, step by step.
struct Host<'o> {
    optimizer: &'o dyn Optimizer,
    weights: Vec<Vec<f64>>,
    states: Vec<Vec<Vec<f64>>>,
    count: u32,
}

impl<'o> Host<'o> {
    fn new(optimizer: &'o dyn Optimizer, weights: Vec<Vec<f64>>) -> Self {
        let states = optimizer.update().unwrap().states.len();
        let zeros = |weight: &Vec<f64>| vec![vec![0.0; weight.len()]; states];
        Self { optimizer, states: weights.iter().map(zeros).collect(), weights, count: 0 }
    }

    fn step(&mut self, gradients: &[Vec<f64>], learning_rate: f64) {
        self.count += 1;
        let scalars = self.optimizer.scalars(self.count, learning_rate);
        let step = StepScalars { count: self.count, learning_rate, scalars, ..StepScalars::default() };
        let update = self.optimizer.update().unwrap();
        for ((weight, states), gradient) in self.weights.iter_mut().zip(&mut self.states).zip(gradients) {
            let mut states: Vec<&mut [f64]> = states.iter_mut().map(Vec::as_mut_slice).collect();
            update.host.apply_f64(&step, gradient, weight, &mut states);
        }
    }
}

fn doubles(gradients: &[Vec<f32>], change: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
    gradients.iter().map(|g| g.iter().map(|&g| change(f64::from(g))).collect()).collect()
}

fn compare(what: &str, got: &[Vec<f64>], want: &[Vec<f64>]) {
    assert_eq!(got.len(), want.len());
    for (place, (got, want)) in got.iter().zip(want).enumerate() {
        let distance = distance(got, want, 1e-5, 1e-5);
        assert!(distance.excess <= 1.0, "{what}, parameter {place}: {distance:?}");
    }
}

#[test]
fn gradients_are_clipped_by_norm_and_by_value() {
    let direct = Direct::new();
    // SGD tells the size of what it is given, which Adam would hide.
    let optimizer = Sgd::new(0.5).momentum(0.5);
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        for (by_norm, by_value) in [(Some(2.0), None), (None, Some(0.3)), (Some(2.0), Some(0.01)), (Some(1e9), None)] {
            let g = Graph::new();
            let (mut step, inputs) = direct.compile(&g, device, optimizer, |mut training| {
                if let Some(limit) = by_norm {
                    training = training.clip_norm(limit);
                }
                if let Some(limit) = by_value {
                    training = training.clip_value(limit);
                }
                training
            });
            let mut host = Host::new(&optimizer, direct.initial());
            // Far above the limit, and below it.
            for (seed, scale) in [(1, 1.0), (2, 1e-3), (3, 10.0)] {
                let fed = gradients(seed, scale);
                run(&mut step, &inputs, &fed).unwrap();
                let total = norm(&fed);
                let factor = by_norm.map_or(1.0, |limit: f64| (limit / (total + 1e-6)).min(1.0));
                let limit = by_value.unwrap_or(f64::INFINITY);
                host.step(&doubles(&fed, |g| (g * factor).clamp(-limit, limit)), 0.5);
                if by_norm.is_some() {
                    let seen = f64::from(step.read_gradient_norm().unwrap());
                    assert!(
                        (seen - total).abs() < 1e-5 * total,
                        "{name}: the norm before clipping, {seen} for {total}"
                    );
                }
            }
            compare(&format!("{name} {by_norm:?} {by_value:?}"), &weights(step.state()), &host.weights);
            if by_norm.is_some() {
                assert_eq!(step.read_updates_left_out().unwrap(), 0);
            }
        }
    }
}

#[test]
fn an_update_without_a_norm_is_left_out_and_counted() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        for limit in [1.0, f64::INFINITY] {
            for optimizer in [Box::new(Adam::new(0.1)) as Box<dyn Optimizer>, Box::new(Lamb::new(0.1))] {
                let g = Graph::new();
                let (mut step, inputs) =
                    direct.compile(&g, device, optimizer, |training| training.clip_norm(limit).average(0.9));
                run(&mut step, &inputs, &gradients(1, 1.0)).unwrap();
                let before = (weights(step.state()), step.state().average("p3").unwrap().to_vec());
                let moments = step.state().to_safetensors();
                let moments = pollster(moments).unwrap();
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut fed = gradients(2, 1.0);
                    fed[3][12_345] = bad;
                    run(&mut step, &inputs, &fed).unwrap();
                    let seen = step.read_gradient_norm().unwrap();
                    assert!(!seen.is_finite() && seen.is_nan() == bad.is_nan(), "{name}: {seen} for {bad}");
                }
                let after = (weights(step.state()), step.state().average("p3").unwrap().to_vec());
                assert_eq!(before, after, "{name}: nothing changes");
                for state in step.state().optimizer_states() {
                    let (old, new) = (&moments, pollster(step.state().to_safetensors()).unwrap());
                    let of = |bytes: &[u8]| {
                        let all = safetensors::SafeTensors::deserialize(bytes).unwrap();
                        all.tensor(&format!("optimizer/{state}/p3")).unwrap().data().to_vec()
                    };
                    assert_eq!(of(old), of(&new), "{name}: {state} does not change");
                }
                assert_eq!(step.read_updates_left_out().unwrap(), 3, "{name}");
                run(&mut step, &inputs, &gradients(3, 1.0)).unwrap();
                assert_ne!(weights(step.state()), before.0, "{name}: the next update is made");
                assert_eq!(step.read_updates_left_out().unwrap(), 3, "{name}");
            }
        }
    }
}

fn pollster<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

#[test]
fn clipping_by_value_keeps_nan_visible() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let (mut step, inputs) = direct.compile(&g, device, Sgd::new(1.0), |training| training.clip_value(0.25));
        let mut fed = gradients(2, 1.0);
        (fed[0][0], fed[0][1], fed[0][2]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        run(&mut step, &inputs, &fed).unwrap();
        let (was, is) = (&direct.initial()[0], &weights(step.state())[0]);
        assert!(is[0].is_nan(), "{name}");
        assert!((is[1] - (was[1] - 0.25)).abs() < 1e-6 && (is[2] - (was[2] + 0.25)).abs() < 1e-6, "{name}: {is:?}");
        let error = step.read_updates_left_out().unwrap_err();
        assert!(error.kind() == ErrorKind::NotKept && error.to_string().contains("clip_norm"), "{error}");
    }
}

#[test]
fn what_was_added_up_for_an_update_left_out_is_forgotten() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let (g, h) = (Graph::new(), Graph::new());
        let (mut bad, inputs) = direct.compile(&g, device, Sgd::new(1.0), with_craft);
        let (mut good, others) = direct.compile(&h, device, Sgd::new(1.0), with_craft);
        let mut fed = gradients(1, 1.0);
        fed[1][7] = f32::NAN;
        run(&mut bad, &inputs, &fed).unwrap();
        run(&mut bad, &inputs, &gradients(2, 1.0)).unwrap();
        for seed in [3, 4] {
            run(&mut bad, &inputs, &gradients(seed, 1.0)).unwrap();
            run(&mut good, &others, &gradients(seed, 1.0)).unwrap();
        }
        assert_eq!(bad.read_updates_left_out().unwrap(), 1, "{name}");
        assert_eq!(weights(bad.state()), weights(good.state()), "{name}");
    }
}

fn with_craft(training: Training<'_>) -> Training<'_> {
    training.clip_norm(1.0).accumulate(2)
}

/// A small classifier over `rows` rows, with everything that can go wrong: two layers, a mean over the batch.
fn classifier<'g>(g: &'g Graph, params: &mut Params, rows: usize) -> (Tensor<'g>, Tensor<'g>, Tensor<'g>) {
    let (up, down) = (nn::Linear::new(params, "up", 5, 16), nn::Linear::new(params, "down", 16, 3));
    let (x, y) = (g.input("x", [rows, 5]), g.labels("y", [rows]));
    (x, y, down.forward(up.forward(x).tanh()).cross_entropy(y))
}

fn data(rows: usize, seed: u64) -> (Vec<f32>, Vec<i32>) {
    let mut generator = Generator::new(seed);
    let x = (0..rows * 5).map(|_| generator.uniform(-1.0, 1.0) as f32).collect();
    (x, (0..rows).map(|_| (generator.uniform(0.0, 3.0) as i32).min(2)).collect())
}

#[test]
fn accumulated_runs_are_one_step_on_the_large_batch() {
    const PARTS: usize = 4;
    // With an epsilon that keeps the rounding of sums in another order from counting in full where gradients vanish.
    let optimizer = Adam::new(0.05).epsilon(1e-2);
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let (large, small) = (Graph::new(), Graph::new());
        let (mut params, mut others) = (Params::seeded(4), Params::seeded(4));
        let (x, y, loss) = classifier(&large, &mut params, 8 * PARTS);
        let mut whole = large
            .train(loss, optimizer)
            .clip_norm(0.5)
            .average(0.8)
            .layer_norms()
            .schedule(schedule::Exponential::new(0.7))
            .compile(device, &params)
            .unwrap();
        let (sx, sy, loss) = classifier(&small, &mut others, 8);
        let mut parts = small
            .train(loss, optimizer)
            .clip_norm(0.5)
            .average(0.8)
            .layer_norms()
            .schedule(schedule::Exponential::new(0.7))
            .accumulate(PARTS as u32)
            .compile(device, &others)
            .unwrap();
        for update in 0..3 {
            let (rows, labels) = data(8 * PARTS, 100 + update);
            let before = weights(parts.state());
            whole.run([x.feed(&rows), y.feed(&labels)]).unwrap();
            for (place, (rows, labels)) in rows.chunks(8 * 5).zip(labels.chunks(8)).enumerate() {
                let rate = parts.learning_rate().unwrap();
                assert!(
                    (rate - 0.05 * 0.7f64.powi(update as i32)).abs() < 1e-12,
                    "the schedule counts updates: {rate}"
                );
                parts.run([sx.feed(rows), sy.feed(labels)]).unwrap();
                if place + 1 < PARTS {
                    assert_eq!(weights(parts.state()), before, "{name}: nothing changes before the last run");
                }
            }
            compare(&format!("{name}, update {update}"), &weights(parts.state()), &weights(whole.state()));
            let (one, other) = (whole.read_gradient_norm().unwrap(), parts.read_gradient_norm().unwrap());
            assert!((one - other).abs() < 1e-5 * one, "{name}: {one} and {other}");
            for (one, other) in whole.read_layer_norms().unwrap().iter().zip(parts.read_layer_norms().unwrap()) {
                assert!((one.gradient - other.gradient).abs() < 1e-5 * one.gradient.max(1e-3), "{one:?} {other:?}");
            }
            let average = |step: &Step| step.state().average("up.weight").unwrap().to_vec();
            let (one, other) = (average(&whole), average(&parts));
            assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: averages");
        }
        assert_eq!((parts.state().steps(), whole.state().steps()), (12, 3));
    }
}

#[test]
fn accumulation_goes_on_after_a_checkpoint_and_in_replayed_runs() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let mut params = Params::seeded(4);
        let layer = nn::Linear::new(&mut params, "layer", 5, 3);
        let (x, y) = (g.input("x", [8, 5]), g.labels("y", [8]));
        // Dropout shows whether random streams go on as well.
        let loss = layer.forward(x.dropout(0.5)).cross_entropy(y);
        let compile = || g.train(loss, Adam::new(0.05)).accumulate(3).average(0.9).compile(device, &params).unwrap();
        let (rows, labels) = data(8, 1);
        let feeds = [x.feed(&rows), y.feed(&labels)];
        let (mut straight, mut replayed, mut first, mut second) = (compile(), compile(), compile(), compile());
        for _ in 0..8 {
            straight.run(&feeds).unwrap();
        }
        replayed.run_many(5, &feeds).unwrap();
        replayed.run_many(3, &feeds).unwrap();
        // In the middle of an update.
        first.run_many(4, &feeds).unwrap();
        second.state().load_safetensors(&pollster(first.state().to_safetensors()).unwrap()).unwrap();
        second.run_many(4, &feeds).unwrap();
        for other in [&replayed, &second] {
            assert_eq!(weights(other.state()), weights(straight.state()), "{name}");
            let average = |step: &Step| step.state().average("layer.weight").unwrap().to_vec();
            assert_eq!(average(other), average(&straight), "{name}");
            assert_eq!(other.state().steps(), 8);
        }
        // What was begun can be given up: the next three runs make one update, from nothing.
        straight.state().reset_optimizer().unwrap();
        let before = weights(straight.state());
        straight.run_many(2, &feeds).unwrap();
        assert_eq!(weights(straight.state()), before, "{name}");
        straight.run(&feeds).unwrap();
        assert_ne!(weights(straight.state()), before, "{name}");
    }
}

#[test]
fn averages_are_those_of_the_weights() {
    const DECAY: f64 = 0.7;
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        for optimizer in [Box::new(Sgd::new(0.3)) as Box<dyn Optimizer>, Box::new(Lamb::new(0.1))] {
            let g = Graph::new();
            let (mut step, inputs) = direct.compile(&g, device, optimizer, |training| training.average(DECAY));
            let h = Graph::new();
            let outputs: Vec<Tensor<'_>> = direct.parameters.iter().map(|p| h.param(p) * 1.0).collect();
            let mut evaluation = h.infer(&outputs).with_average().compile_on(step.state()).unwrap();
            let seen = |evaluation: &mut Step| -> Vec<Vec<f64>> {
                evaluation.run([]).unwrap();
                let read = |&output| evaluation.read(output).unwrap().to_vec().into_iter().map(f64::from).collect();
                outputs.iter().map(read).collect()
            };
            assert_eq!(seen(&mut evaluation), direct.initial(), "{name}: before the first update, the weights");
            let (mut sum, mut total) = (vec![Vec::new(); LENGTHS.len()], 0.0);
            for update in 0..5 {
                run(&mut step, &inputs, &gradients(update, 1.0)).unwrap();
                total = DECAY * total + 1.0;
                for (sum, weights) in sum.iter_mut().zip(weights(step.state())) {
                    sum.resize(weights.len(), 0.0);
                    sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum = DECAY * *sum + weight);
                }
            }
            let want: Vec<Vec<f64>> = sum.iter().map(|sum| sum.iter().map(|sum| sum / total).collect()).collect();
            compare(name, &seen(&mut evaluation), &want);
            // They are in checkpoints, from which evaluation can do without training.
            let bytes = pollster(step.state().to_safetensors()).unwrap();
            let state = State::new(device, &direct.params).unwrap();
            let error = h.infer(&outputs).with_average().compile_on(&state).unwrap_err();
            assert!(error.to_string().contains("Training::average"), "{error}");
            state.load_safetensors(&bytes).unwrap();
            let mut loaded = h.infer(&outputs).with_average().compile_on(&state).unwrap();
            compare(name, &seen(&mut loaded), &want);
            state.take_averages().unwrap();
            compare(name, &weights(&state), &want);
        }
    }
}

#[test]
fn parameters_without_averages_are_read_as_they_are() {
    let mut params = Params::seeded(3);
    let trained = params.add("trained", [2], Init::Constant(1.0));
    let frozen = params.add("frozen", [2], Init::Constant(1.0));
    let cell = params.add_cell("cell", [2], Init::Constant(1.0));
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let loss = g.param(&trained).sum(..);
        g.assign(&cell, g.param(&cell) + 1.0);
        let training = g.train(loss, Sgd::new(1.0)).only(&[&trained]).average(0.5);
        let mut step = training.compile(device, &params).unwrap();
        let h = Graph::new();
        let all = [&trained, &frozen, &cell].map(|param| h.param(param) + 0.0);
        let mut evaluation = h.infer(&all).with_average().compile_on(step.state()).unwrap();
        step.run_many(2, []).unwrap();
        step.state().set_parameter("frozen", HostTensor::new([2], HostData::F32(vec![7.0; 2])).unwrap()).unwrap();
        evaluation.run([]).unwrap();
        let seen = all.map(|tensor| evaluation.read(tensor).unwrap().to_vec()[0]);
        // Weights were 0 and -1, with shares of 1/3 and 2/3.
        assert!((seen[0] + 2.0 / 3.0).abs() < 1e-6, "{name}: {seen:?}");
        assert_eq!((seen[1], seen[2]), (7.0, 3.0), "{name}");
    }
}

#[test]
fn a_checkpoint_without_averages_begins_them_anew() {
    let direct = Direct::new();
    let (g, h) = (Graph::new(), Graph::new());
    let (mut plain, inputs) = direct.compile(&g, &Device::cpu(), Sgd::new(0.1), |training| training);
    run(&mut plain, &inputs, &gradients(1, 1.0)).unwrap();
    let (mut step, inputs) = direct.compile(&h, &Device::cpu(), Sgd::new(0.1), |training| training.average(0.9));
    run(&mut step, &inputs, &gradients(2, 1.0)).unwrap();
    step.state().load_safetensors(&pollster(plain.state().to_safetensors()).unwrap()).unwrap();
    assert_eq!(step.state().average("p1").unwrap(), plain.state().parameter("p1").unwrap());
    run(&mut step, &inputs, &gradients(3, 1.0)).unwrap();
    assert_eq!(step.state().average("p1").unwrap(), step.state().parameter("p1").unwrap(), "the first of them");
}

#[test]
fn norms_by_layer_are_those_of_every_parameter() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let (mut step, inputs) = direct.compile(&g, device, Sgd::new(0.1), Training::layer_norms);
        let mut fed = gradients(1, 1.0);
        fed[1].fill(0.0);
        fed[2][0] = 5e4;
        let before = weights(step.state());
        run(&mut step, &inputs, &fed).unwrap();
        let norms = step.read_layer_norms().unwrap();
        let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (place, layer) in norms.iter().enumerate() {
            assert_eq!(layer.name, format!("p{place}"));
            let gradient: Vec<f64> = fed[place].iter().map(|&g| f64::from(g)).collect();
            for (got, want) in [(layer.gradient, length(&gradient)), (layer.weight, length(&before[place]))] {
                assert!((f64::from(got) - want).abs() <= 1e-5 * want, "{name}: {layer:?}, {want}");
            }
        }
        let verdicts: Vec<Verdict> = norms.iter().map(retrograd::train::LayerNorms::verdict).collect();
        assert_eq!(verdicts, [Verdict::Fine, Verdict::Vanishing, Verdict::Exploding, Verdict::Fine], "{name}");
        fed[0][1] = f32::NAN;
        run(&mut step, &inputs, &fed).unwrap();
        assert_eq!(step.read_layer_norms().unwrap()[0].verdict(), Verdict::NotFinite, "{name}");
    }
}

#[test]
fn norms_by_layer_of_frozen_parameters_are_left_out() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let mut params = Params::seeded(1);
        let all: Vec<Param> = (0..5).map(|n| params.add(&format!("p{n}"), [70], Init::Constant(2.0))).collect();
        let g = Graph::new();
        let loss = all.iter().fold(g.full([1], 0.0), |sum, p| sum + g.param(p).sum(..));
        let training = g.train(loss, Sgd::new(0.1)).only(&[&all[1], &all[3]]).layer_norms();
        let mut step = training.compile(device, &params).unwrap();
        step.run([]).unwrap();
        let norms = step.read_layer_norms().unwrap();
        let names: Vec<&str> = norms.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["p1", "p3"]);
        assert!(norms.iter().all(|layer| (layer.weight - 2.0 * 70f32.sqrt()).abs() < 1e-4), "{norms:?}");
    }
}

/// Where bindings may hold few bytes, parameters lie in several buffers, and everything is done for each.
#[test]
fn parameters_in_several_segments_are_treated_alike() {
    let direct = Direct::new();
    let seen = |device: &Device| {
        let g = Graph::new();
        let (mut step, inputs) = direct.compile(&g, device, Lamb::new(0.1).weight_decay(0.1), |training| {
            training.clip_norm(1.0).average(0.5).layer_norms().accumulate(2)
        });
        for run_number in 0..4 {
            run(&mut step, &inputs, &gradients(run_number, 1.0)).unwrap();
        }
        let norms = step.read_layer_norms().unwrap();
        let norms = norms.iter().flat_map(|layer| [f64::from(layer.gradient), f64::from(layer.weight)]).collect();
        let averages = LENGTHS.iter().enumerate().map(|(place, _)| {
            let average = step.state().average(&format!("p{place}")).unwrap().to_vec();
            average.into_iter().map(f64::from).collect()
        });
        let all: Vec<Vec<f64>> = weights(step.state()).into_iter().chain(averages).chain([norms]).collect();
        (all, step.state().arena().segments.len())
    };
    let (want, whole) = seen(&Device::cpu());
    assert_eq!(whole, 1);
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let mut profile = device.profile();
        profile.binding_bytes = 80_128;
        let (got, segments) = seen(&device.with_profile(profile).unwrap());
        assert_eq!(segments, 2, "{name}");
        compare(name, &got, &want);
    }
}

#[test]
fn the_craft_takes_few_dispatches() {
    let mut params = Params::seeded(1);
    let g = Graph::new();
    let (_, _, loss) = classifier(&g, &mut params, 8);
    let count = |with: &dyn Fn(Training<'_>) -> Training<'_>| {
        let training = with(g.train(loss, Adam::new(0.1)));
        training.plan(&params, &Profile::webgpu_default()).unwrap().list(Phase::Update).count()
    };
    assert_eq!(count(&|training| training), 1);
    assert_eq!(count(&|training| training.clip_value(1.0).average(0.9)), 1, "in the update itself");
    assert_eq!(count(&|training| training.clip_norm(1.0)), 2, "one for the norm");
    assert_eq!(count(&|training| training.layer_norms()), 3);
    assert_eq!(count(&|training| training.accumulate(2)), 2);
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    type With = fn(Training<'_>) -> Training<'_>;
    let cases: [(&str, &str, With); 9] = [
        ("clip_norm", "0", |training| training.clip_norm(0.0)),
        ("clip_norm", "NaN", |training| training.clip_norm(f64::NAN)),
        ("clip_value", "inf", |training| training.clip_value(f64::INFINITY)),
        ("clip_value", "-1", |training| training.clip_value(-1.0)),
        ("accumulate", "0", |training| training.accumulate(0)),
        ("average", "1", |training| training.average(1.0)),
        ("cosine schedule", "0", |training| training.schedule(schedule::Cosine::new(0))),
        ("step schedule", "-1", |training| training.schedule(schedule::StepDecay::new(3, -1.0))),
        ("one-cycle schedule", "1", |training| training.schedule(schedule::OneCycle::new(9).rising(1.0))),
    ];
    for (setting, value, with) in cases {
        let mut params = Params::seeded(1);
        let g = Graph::new();
        let (_, _, loss) = classifier(&g, &mut params, 8);
        let error = with(g.train(loss, Adam::new(0.1))).compile(&Device::cpu(), &params).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        let message = error.to_string();
        assert!(message.contains(setting) && message.contains(&format!("is {value}")), "{message}");
    }
}

#[test]
fn reading_what_is_not_computed_says_what_to_ask_for() {
    let direct = Direct::new();
    let g = Graph::new();
    let (mut step, inputs) = direct.compile(&g, &Device::cpu(), Sgd::new(0.1), |training| training);
    run(&mut step, &inputs, &gradients(1, 1.0)).unwrap();
    let message = step.read_layer_norms().unwrap_err().to_string();
    assert!(message.contains("Training::layer_norms"), "{message}");
    let message = step.state().average("p0").unwrap_err().to_string();
    assert!(message.contains("Training::average"), "{message}");
    let h = Graph::new();
    let early = direct.compile(&h, &Device::cpu(), Sgd::new(0.1), Training::layer_norms).0;
    assert!(early.read_layer_norms().unwrap_err().to_string().contains("run a step"));
}

/// The mean of all gradients that were added up, also where another step with another number of runs goes on.
#[test]
fn an_update_may_be_finished_by_a_step_of_other_runs() {
    let mut params = Params::seeded(1);
    let w = params.add("w", [3], Init::Zeros);
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        for (runs, begun, others, more) in [(4, 3, 2, 1), (2, 1, 4, 3), (5, 2, 3, 1), (3, 1, 3, 2)] {
            let state = State::new(device, &params).unwrap();
            let g = Graph::new();
            let x = g.input("x", [3]);
            let loss = (g.param(&w) * x).sum(..);
            let compile = |runs: u32| g.train(loss, Sgd::new(1.0)).accumulate(runs).compile_on(&state).unwrap();
            let (mut first, mut second) = (compile(runs), compile(others));
            for update in 0..2u8 {
                let before = state.parameter("w").unwrap().to_vec();
                let fed = |run: u8| [f32::from(run) + 1.0, -2.0, f32::from(run * run) - f32::from(update)];
                for run in 0..begun + more {
                    assert_eq!(
                        state.parameter("w").unwrap().to_vec(),
                        before,
                        "{name}: nothing changes before the last"
                    );
                    let step = if run < begun { &mut first } else { &mut second };
                    step.run([x.feed(&fed(run))]).unwrap();
                }
                for (place, (now, before)) in state.parameter("w").unwrap().to_vec().iter().zip(before).enumerate() {
                    let mean = (0..begun + more).map(|run| fed(run)[place]).sum::<f32>() / f32::from(begun + more);
                    assert!((before - now - mean).abs() < 1e-5, "{name} {runs} {others}: {before} {now} {mean}");
                }
            }
        }
    }
}

/// Norms come with the update: before the first there are none, and nothing that looks as if gradients vanished.
#[test]
fn norms_are_read_after_an_update() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let (mut step, inputs) =
            direct.compile(&g, device, Sgd::new(0.1), |training| training.accumulate(3).gradient_norm().layer_norms());
        for _ in 0..2 {
            run(&mut step, &inputs, &gradients(1, 1.0)).unwrap();
            for error in [step.read_gradient_norm().unwrap_err(), step.read_layer_norms().unwrap_err()] {
                assert!(
                    error.kind() == ErrorKind::NotKept && error.to_string().contains("accumulate"),
                    "{name}: {error}"
                );
            }
        }
        run(&mut step, &inputs, &gradients(1, 1.0)).unwrap();
        let want = norm(&gradients(1, 1.0));
        assert!((f64::from(step.read_gradient_norm().unwrap()) - want).abs() < 1e-5 * want, "{name}");
        assert_eq!(step.read_layer_norms().unwrap().len(), LENGTHS.len());
        // Those of the last update stay until the next.
        run(&mut step, &inputs, &gradients(2, 9.0)).unwrap();
        assert!((f64::from(step.read_gradient_norm().unwrap()) - want).abs() < 1e-5 * want, "{name}");
    }
}

/// Where everything is frozen there is nothing to measure, which is no mistake.
#[test]
fn nothing_to_train_has_no_norms() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let mut params = Params::seeded(1);
        let (w, cell) = (params.add("w", [3], Init::Constant(2.0)), params.add_cell("cell", [1], Init::Zeros));
        params.set_frozen(&w, true).unwrap();
        let g = Graph::new();
        let loss = g.param(&w).sum(..);
        g.assign(&cell, g.param(&cell) + 1.0);
        let training = g.train(loss, Lamb::new(0.1)).clip_norm(1.0).gradient_norm().layer_norms().average(0.9);
        let mut step = training.compile(device, &params).unwrap();
        step.run_many(3, []).unwrap();
        assert_eq!(step.read_gradient_norm().unwrap(), 0.0, "{name}");
        assert_eq!(step.read_layer_norms().unwrap(), [], "{name}");
        assert_eq!(step.read_updates_left_out().unwrap(), 0, "{name}");
        assert_eq!(step.state().parameter("w").unwrap().to_vec(), [2.0; 3], "{name}");
        assert_eq!(step.state().parameter("cell").unwrap().item(), 3.0, "{name}");
    }
}

/// A batch that spoils the gradients spoils what cells would get as well: running statistics stay as they were.
#[test]
fn cells_stay_where_an_update_is_left_out() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        // Many parameters take the norm in two dispatches.
        for (runs, width) in [(1, 3), (2, 3), (1, 600), (2, 600)] {
            let mut params = Params::seeded(1);
            let layer = nn::BatchNorm::new(&mut params, "layer", 2);
            let wide = params.add("wide", [width, 30], Init::Constant(1.0));
            let g = Graph::new();
            let x = g.input("x", [4, 2]);
            let loss = layer.forward(x).square().sum(..) + g.param(&wide).square().sum(..);
            let training = g.train(loss, Sgd::new(0.01)).clip_norm(1.0).accumulate(runs);
            let mut step = training.compile(device, &params).unwrap();
            let (good, mut bad) = ([1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 0.0, 7.0f32], [1.0f32; 8]);
            bad[3] = f32::NAN;
            let cells = |step: &Step| {
                let read = |name| step.state().parameter(name).unwrap().to_vec();
                (read("layer.running_mean"), read("layer.running_var"))
            };
            step.run_many(runs, [x.feed(&good)]).unwrap();
            let before = cells(&step);
            assert_ne!(before.0, [0.0; 2], "{name}");
            let what = format!("{name}, {runs} runs for an update, width {width}");
            // The bad one comes first: all runs of the update leave cells alone.
            step.run([x.feed(&bad)]).unwrap();
            assert_eq!(cells(&step), before, "{what}");
            step.run_many(runs - 1, [x.feed(&good)]).unwrap();
            assert_eq!(cells(&step), before, "{what}");
            assert_eq!(step.read_updates_left_out().unwrap(), 1, "{what}");
            // And the next update is as any other.
            step.run([x.feed(&good)]).unwrap();
            assert_ne!(cells(&step), before, "{what}");
            assert!(cells(&step).0.iter().all(|value| value.is_finite()), "{what}");
        }
    }
}

/// Squares leave the range of single precision long before norms do.
#[test]
fn norms_by_layer_have_the_whole_range() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let (mut step, inputs) = direct.compile(&g, device, Sgd::new(0.0), Training::layer_norms);
        for scale in [1e-30, 1e-22, 1e-18, 1.0, 1e17, 1e22, 1e30] {
            let mut fed = gradients(1, scale);
            // Zeros beside, and values of all sizes in one parameter.
            fed[1][3..20].fill(0.0);
            fed[3][..5000].fill(0.0);
            fed[3][7000..9000].iter_mut().for_each(|g| *g *= 1e-7);
            run(&mut step, &inputs, &fed).unwrap();
            for (layer, fed) in step.read_layer_norms().unwrap().iter().zip(&fed) {
                let want = norm(std::slice::from_ref(fed));
                assert!(
                    (f64::from(layer.gradient) - want).abs() <= 1e-5 * want,
                    "{name}, {scale:e}: {layer:?}, {want:e}"
                );
            }
        }
        for bad in [f32::INFINITY, f32::NAN] {
            let mut fed = gradients(1, 1e25);
            fed[3][12_345] = bad;
            run(&mut step, &inputs, &fed).unwrap();
            let norms = step.read_layer_norms().unwrap();
            assert!(norms[3].gradient.is_nan() == bad.is_nan() && !norms[3].gradient.is_finite(), "{name}: {norms:?}");
            assert!(norms[1].gradient.is_finite(), "{name}");
        }
    }
}

/// A parameter that is averaged later has stood still till then; averages that have gone on apart stay apart.
#[test]
fn averages_that_begin_later_are_of_as_many_updates() {
    let mut params = Params::seeded(1);
    let (p, q) = (params.add("p", [1], Init::Zeros), params.add("q", [1], Init::Zeros));
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let state = State::new(device, &params).unwrap();
        let compile = |of: &[&Param]| {
            let g = Graph::new();
            let loss = of.iter().fold(g.full([1], 0.0), |sum, param| sum + g.param(param)).sum(..);
            g.train(loss, Sgd::new(1.0)).only(of).average(0.5).compile_on(&state).unwrap()
        };
        let average = |name: &str| state.average(name).unwrap().item();
        let (mut alone, mut both) = (compile(&[&p]), compile(&[&p, &q]));
        alone.run_many(2, []).unwrap();
        both.run_many(2, []).unwrap();
        // p was -1, -2, -3, -4, and q 0, 0, -1, -2, with shares of 1, 2, 4 and 8 in 15.
        assert!((average("p") + 49.0 / 15.0).abs() < 1e-5, "{name}: {}", average("p"));
        assert!((average("q") + 20.0 / 15.0).abs() < 1e-5, "{name}: {}", average("q"));
        alone.run([]).unwrap();
        let before = weights(&state);
        let error = both.run([]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        let text = error.to_string();
        assert!(text.contains("`p` is of 5 updates") && text.contains("`q` of 4"), "{text}");
        assert_eq!(weights(&state), before, "{name}");
    }
}
