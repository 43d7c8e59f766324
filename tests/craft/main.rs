//! What a training does besides the optimizer's rule: clipping, accumulation, averages, norms by layer; each on the CPU
//! device and on software adapters, against the same in double precision on the host.

#[path = "../common/mod.rs"]
mod common;

mod accumulation;
mod averages;
mod clipping;
mod norms;
mod together;

use common::distance;
use retrograd::optim::Optimizer;
use retrograd::plan::StepScalars;
use retrograd::{Device, Generator, Graph, Init, Param, Params, Result, State, Step, Tensor, Training, nn};

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
