//! Optimizers on a device against their rule in double precision.

use retrograd::optim::{Adagrad, Adam, AdamW, Adamax, Lamb, Lion, NAdam, Optimizer, RAdam, RmsProp, Sgd};
use retrograd::plan::StepScalars;
use retrograd::reference::{Compared, Measured, worst};
use retrograd::{Device, Generator, Graph, Init, Params, Result, Step};

/// Enough for `RAdam`, which begins to divide by the variance in its sixth step.
const STEPS: u32 = 8;
/// What may be off: weights and states are written once, after few operations.
const TOLERANCE: f64 = 2e-5;
/// One element, odd sizes, and more than one chunk of the norms that LAMB takes.
const SHAPES: [&[usize]; 4] = [&[1], &[7, 3], &[65], &[130, 129]];

/// A way to use an optimizer.
pub struct Setting {
    /// The optimizer.
    pub optimizer: &'static str,
    /// What is set.
    pub name: &'static str,
    make: fn() -> Box<dyn Optimizer>,
}

macro_rules! settings {
    ($($optimizer:literal, $name:literal: $value:expr;)*) => {
        /// Every optimizer, with the settings that change its kernel.
        pub const ALL: &[Setting] =
            &[$(Setting { optimizer: $optimizer, name: $name, make: || Box::new($value) }),*];
    };
}

settings! {
    "sgd", "plain": Sgd::new(0.02);
    "sgd", "nesterov momentum, weight decay": Sgd::new(0.02).momentum(0.9).nesterov().weight_decay(0.01);
    "adam", "weight decay": Adam::new(0.03).weight_decay(0.02);
    "adamw", "weight decay": AdamW::new(0.03).weight_decay(0.1);
    "rmsprop", "weight decay": RmsProp::new(0.01).weight_decay(0.02);
    "rmsprop", "centered": RmsProp::new(0.01).centered();
    "rmsprop", "centered, momentum": RmsProp::new(0.01).centered().momentum(0.8).alpha(0.9);
    "adagrad", "rate decay, initial sum, weight decay":
        Adagrad::new(0.1).rate_decay(0.1).initial_sum(0.3).weight_decay(0.02);
    "adamax", "weight decay": Adamax::new(0.03).weight_decay(0.02);
    "nadam", "weight decay": NAdam::new(0.03).weight_decay(0.02);
    "nadam", "decoupled weight decay": NAdam::new(0.03).decoupled_weight_decay(0.1);
    "radam", "weight decay": RAdam::new(0.03).weight_decay(0.02);
    "radam", "decoupled weight decay": RAdam::new(0.03).decoupled_weight_decay(0.1);
    "lion", "weight decay": Lion::new(0.003).weight_decay(0.3);
    "lamb", "weight decay": Lamb::new(0.03).weight_decay(0.1);
}

/// A parameter's weights, and its optimizer states.
type Values = (Vec<f64>, Vec<Vec<f64>>);

impl Setting {
    /// Takes some steps on a device by gradients that are fed, and compares weights and states after each with what the rule
    /// makes of the device's own before it.
    pub fn measure_on(&self, device: &Device, seed: u64) -> Result<Measured> {
        let optimizer = (self.make)();
        let update = optimizer.update()?;
        let mut generator = Generator::named(seed, self.optimizer);
        let mut params = Params::seeded(seed);
        let g = Graph::new();
        let mut loss = g.full([1], 0.0);
        let mut inputs = Vec::new();
        for (place, shape) in SHAPES.iter().enumerate() {
            let weight = params.add(&format!("p{place}"), shape.to_vec(), Init::Uniform(-1.0, 1.0));
            let input = g.input(&format!("gradient{place}"), shape.to_vec());
            // Its gradient is what is fed, to the bit.
            loss = loss + (g.param(&weight) * input).sum(..);
            inputs.push((weight, input));
        }
        let mut step = g.train(loss, (self.make)()).compile(device, &params)?;
        let mut measured = Measured::default();
        for count in 1..=STEPS {
            let gradients: Vec<Vec<f32>> = SHAPES
                .iter()
                .map(|shape| (0..shape.iter().product()).map(|_| draw(&mut generator)).collect())
                .collect();
            let read = |step: &Step, place: usize| values(step, inputs[place].0.name(), &update.states);
            let before: Vec<Values> = (0..inputs.len()).map(|place| read(&step, place)).collect::<Result<_>>()?;
            let feeds: Vec<_> = inputs.iter().zip(&gradients).map(|((_, input), data)| input.feed(data)).collect();
            step.run(feeds)?;
            let rate = optimizer.learning_rate();
            let scalars = optimizer.scalars(count, rate);
            let scalars = StepScalars { count, learning_rate: rate, scalars, ..StepScalars::default() };
            for (place, (before, gradient)) in before.into_iter().zip(&gradients).enumerate() {
                let gradient: Vec<f64> = gradient.iter().copied().map(f64::from).collect();
                let (mut weight, mut states) = before.clone();
                let mut own: Vec<&mut [f64]> = states.iter_mut().map(Vec::as_mut_slice).collect();
                update.host.apply_f64(&scalars, &gradient, &mut weight, &mut own);
                let got = read(&step, place)?;
                let shape = SHAPES[place];
                let mut compare = |what: &str, before: &[f64], got: &[f64], want: &[f64]| {
                    let name = format!("{what} of a parameter {shape:?} after step {count}");
                    measured.results.push(compared(name, before, got, want));
                };
                compare("weight", &before.0, &got.0, &weight);
                for (number, state) in update.states.iter().enumerate() {
                    compare(state, &before.1[number], &got.1[number], &states[number]);
                }
            }
        }
        Ok(measured)
    }
}

/// Of both signs and so large that no mean of them, in so few steps, has a sign that rounding decides: Lion takes signs.
fn draw(generator: &mut Generator) -> f32 {
    let size = generator.uniform(0.75, 1.0) as f32;
    if generator.below(2) == 0 { size } else { -size }
}

/// Compares elements after a step. What a sum of two may be off depends on how large both are, and a weight that crosses zero
/// is small only after it: so what is allowed depends on what was before as well.
fn compared(name: String, before: &[f64], got: &[f64], want: &[f64]) -> Compared {
    let largest = before.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    let allowed = |want: f64, greatest: f64| TOLERANCE * want + TOLERANCE / 10.0 * greatest.max(largest);
    let (distance, worst) = worst(got, want, allowed);
    Compared { name, elements: want.len(), distance, worst }
}

fn values(step: &Step, name: &str, states: &[&str]) -> Result<Values> {
    let numbers = |tensor: retrograd::HostTensor| tensor.to_vec().into_iter().map(f64::from).collect();
    let weight = numbers(step.state().parameter(name)?);
    let states = states.iter().map(|state| Ok(numbers(step.state().optimizer_state(state, name)?)));
    Ok((weight, states.collect::<Result<_>>()?))
}
