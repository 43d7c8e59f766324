//! The same steps by the crate's own optimizers, where their formulas can be turned into those of ONNX: weights, gradients
//! and states come from the test, and so do the weights and states that are expected after one step.

use crate::common::device;
use crate::data::Data;
use crate::model::Test;
use retrograd::optim::{Adam, Optimizer, Sgd};
use retrograd::plan::StepScalars;
use retrograd::{Graph, Init, Params};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// What an output should be, by name, and what it is.
pub type Pairs = Vec<(String, Vec<f64>, Data)>;

/// A test of an optimizer, in the crate's terms.
pub struct Trained<'a> {
    optimizer: Box<dyn Optimizer>,
    parts: Parts<'a>,
}

/// Weights, gradients and states of a test.
struct Parts<'a> {
    /// The names of the states in a checkpoint.
    states: Vec<&'static str>,
    test: &'a Test,
}

impl<'a> Trained<'a> {
    /// The optimizer of a test, where the crate has one. Before the first step, at count 0, ONNX corrects nothing; the crate
    /// counts from 1, and its correction is put into the rate.
    pub fn of(test: &'a Test) -> Option<Self> {
        let [node] = &test.graph.nodes[..] else { return None };
        let first = |number: usize| test.inputs.get(number).and_then(|data| data.values.first().copied());
        let attribute = |name: &str| node.attributes.iter().find(|attribute| attribute.name == name);
        let number = |name: &str| attribute(name).map_or(0.0, |attribute| f64::from(attribute.float));
        let (rate, count) = (first(0)?, first(1)?);
        let (alpha, beta, decay) = (number("alpha"), number("beta"), number("norm_coefficient"));
        if node.domain != "ai.onnx.preview.training" || count != 0.0 {
            return None;
        }
        let (optimizer, states): (Box<dyn Optimizer>, _) = match node.op.as_str() {
            "Adam" => {
                let (first, second) = (1.0 - alpha, (1.0 - beta).sqrt());
                let adam = Adam::new(rate * first / second).betas(alpha, beta).epsilon(number("epsilon") / second);
                (Box::new(adam.weight_decay(decay)), vec!["adam.mean", "adam.square"])
            }
            "Momentum" => {
                let sgd = Sgd::new(rate).momentum(alpha).weight_decay(decay);
                let nesterov = attribute("mode").is_some_and(|mode| mode.string == b"nesterov");
                (Box::new(if nesterov { sgd.nesterov() } else { sgd }), vec!["sgd.velocity"])
            }
            _ => return None,
        };
        Some(Self { optimizer, parts: Parts { states, test } })
    }

    /// One step by the optimizer's rule in double precision.
    pub fn on_reference(self) -> Result<Pairs, String> {
        let parts = self.parts;
        let update = self.optimizer.update().map_err(|error| error.to_string())?;
        let rate = self.optimizer.learning_rate();
        let scalars = self.optimizer.scalars(1, rate);
        let step = StepScalars { count: 1, learning_rate: rate, scalars, ..StepScalars::default() };
        let mut pairs = Pairs::new();
        for number in 0..parts.tensors() {
            let mut weight = parts.input(0, number).values.clone();
            let mut states: Vec<Vec<f64>> =
                (0..parts.states.len()).map(|state| parts.input(2 + state, number).values.clone()).collect();
            let mut slices: Vec<&mut [f64]> = states.iter_mut().map(Vec::as_mut_slice).collect();
            update.host.apply_f64(&step, &parts.input(1, number).values, &mut weight, &mut slices);
            for (part, got) in [weight].into_iter().chain(states).enumerate() {
                pairs.push(parts.pair(part, number, got));
            }
        }
        Ok(pairs)
    }

    /// One step of training on a device, of a loss with these gradients: the sum of all weights times them.
    pub fn on_device(self, engine: &'static str) -> Result<Pairs, String> {
        let parts = self.parts;
        let device = device(engine).ok_or("the device is missing")?;
        let g = Graph::new();
        let mut params = Params::seeded(0);
        let mut loss = g.scalar(0.0);
        let mut feeds = Vec::new();
        for number in 0..parts.tensors() {
            let (weight, gradient) = (parts.input(0, number), parts.input(1, number));
            let values = weight.values.iter().map(|&value| value as f32).collect();
            let weight = params.add(&format!("x{number}"), weight.shape.clone(), Init::Values(values));
            let slope = g.input(&format!("g{number}"), gradient.shape.clone());
            loss = loss + (g.param(&weight) * slope).sum(..);
            feeds.push(slope.feed(&gradient.to_host()).into_owned());
        }
        let text = |error: retrograd::Error| error.to_string();
        let mut step = g.train(loss, self.optimizer).compile(device, &params).map_err(text)?;
        step.state().load_safetensors(&parts.checkpoint()?).map_err(text)?;
        step.run(feeds).map_err(text)?;
        let bytes = pollster::block_on(step.state().to_safetensors()).map_err(text)?;
        let saved = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
        let mut pairs = Pairs::new();
        for number in 0..parts.tensors() {
            for part in 0..=parts.states.len() {
                let view = saved.tensor(&parts.name(part, number)).map_err(|error| error.to_string())?;
                let got = bytemuck::pod_collect_to_vec::<u8, f32>(view.data());
                pairs.push(parts.pair(part, number, got.into_iter().map(f64::from).collect()));
            }
        }
        Ok(pairs)
    }
}

impl Parts<'_> {
    fn tensors(&self) -> usize {
        (self.test.inputs.len() - 2) / (2 + self.states.len())
    }

    /// Of the inputs, weights (0), gradients (1) and states (2 ..); of the outputs, weights (0) and states (1 ..).
    fn input(&self, part: usize, number: usize) -> &Data {
        &self.test.inputs[2 + part * self.tensors() + number]
    }

    fn pair(&self, part: usize, number: usize, got: Vec<f64>) -> (String, Vec<f64>, Data) {
        let place = part * self.tensors() + number;
        (self.test.graph.outputs[place].name.clone(), got, self.test.outputs[place].clone())
    }

    /// The name of a weight (part 0) or of one of its states in a checkpoint.
    fn name(&self, part: usize, number: usize) -> String {
        match part {
            0 => format!("x{number}"),
            _ => format!("optimizer/{}/x{number}", self.states[part - 1]),
        }
    }

    /// Weights and states before the step, as a checkpoint holds them.
    fn checkpoint(&self) -> Result<Vec<u8>, String> {
        let mut tensors = Vec::new();
        for number in 0..self.tensors() {
            for part in 0..=self.states.len() {
                // Gradients stand between weights and states.
                let data = self.input(if part == 0 { 0 } else { part + 1 }, number);
                tensors.push((self.name(part, number), data.shape.clone(), data.to_host()));
            }
        }
        let mut views = Vec::new();
        for (name, shape, host) in &tensors {
            let view = TensorView::new(Dtype::F32, shape.clone(), host.data().bytes());
            views.push((name.clone(), view.map_err(|error| error.to_string())?));
        }
        safetensors::serialize(views, None).map_err(|error| error.to_string())
    }
}
