//! An op of one's own, with its own WGSL: a moving average, y[t] = decay y[t - 1] + (1 - decay) x[t] along the last axis.
//!
//! Its derivative is the same with time running the other way: dx[t] = decay dx[t + 1] + (1 - decay) g[t] for the gradient g
//! of y. So one op with a direction is all, and second derivatives come by themselves. It passes every check that the
//! library's own ops pass; then a small network that uses it learns to tell how restless a signal was lately.

mod support;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use retrograd::base::{DType, Real, TensorType, Value};
use retrograd::ndarray::Axis;
use retrograd::record::{
    Attributes, Case, CaseInput, Cotangents, EvalContext, Kernel, LowerContext, Lowering, Op, Reference, Text, Vjp,
    grid,
};
use retrograd::{Device, Generator, Graph, Params, Tensor, nn::Linear, optim::Adam};
use std::time::Instant;
use support::Outcome;

/// The kernel: complete as it stands, for a tensor of one element. `Text` puts other constants into it.
const MOVING_AVERAGE: &str = "
const ROWS: u32 = 1u;
const COLUMNS: u32 = 1u;
const GRID_WIDTH: u32 = 1u;
const DECAY: f32 = 0.5f;
const BACKWARDS: u32 = 0u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (row >= ROWS) {
        return;
    }
    var average = 0.0f;
    for (var time = 0u; time < COLUMNS; time++) {
        let column = select(time, COLUMNS - 1u - time, BACKWARDS == 1u);
        average = DECAY * average + (1.0f - DECAY) * x[row * COLUMNS + column];
        y[row * COLUMNS + column] = average;
    }
}
";

/// Rows longer than this would be too long a loop for some drivers.
const LONGEST: usize = 60_000;

#[derive(Clone, Copy, Debug)]
struct MovingAverage {
    decay: f64,
    backwards: bool,
}

impl Op for MovingAverage {
    fn name(&self) -> &'static str {
        "moving_average"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let x = inputs[0];
        if x.dtype != DType::F32 || x.shape.rank() == 0 || x.shape.last() > LONGEST {
            return Err(format!("it needs f32 with an axis of at most {LONGEST} elements at the end, not {x}"));
        }
        if !(0.0..1.0).contains(&self.decay) {
            return Err(format!("the decay must be at least 0 and below 1, and is {}", self.decay));
        }
        Ok(vec![x.clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let g = cx.cotangent();
        Cotangents::one(g.graph().record(Self { backwards: !self.backwards, ..*self }, &[g]))
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let shape = &cx.inputs[0].shape;
        let rows = shape.elements() / shape.last();
        let workgroups = grid(rows.div_ceil(64));
        let text = Text::new(MOVING_AVERAGE, &[])
            .unsigned("ROWS", rows)
            .unsigned("COLUMNS", shape.last())
            .unsigned("GRID_WIDTH", workgroups[0] as usize)
            .float("DECAY", self.decay)
            .unsigned("BACKWARDS", self.backwards.into());
        Lowering::Kernel(Kernel::of_shader("moving_average", text, workgroups, 1, 1))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("decay", self.decay).with("backwards", self.backwards)
    }
}

/// What the op means, in either precision: the judge of the kernel, and what the CPU device runs.
impl Reference for MovingAverage {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (decay, rest) = (T::real(self.decay), T::real(1.0 - self.decay));
        let mut y = inputs[0].real().clone();
        let last = Axis(y.ndim() - 1);
        for mut row in y.lanes_mut(last) {
            if self.backwards {
                row.invert_axis(Axis(0));
            }
            let mut average = T::zero();
            // Not `mapv_inplace`, which goes through memory in any order.
            for x in &mut row {
                average = decay * average + rest * *x;
                *x = average;
            }
        }
        vec![Value::Real(y)]
    }
}

/// The moving average along the last axis.
#[track_caller]
fn moving_average(x: Tensor<'_>, decay: f64) -> Tensor<'_> {
    x.graph().record(MovingAverage { decay, backwards: false }, &[x])
}

/// Ways to call the op with which every check sweeps it: odd sizes, many rows, a view. The sine makes the gradient depend
/// on the values.
fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::uniform(shape, -1.0, 1.0)];
    vec![
        Case::new("rows", input(&[3, 7]), |x| moving_average(x[0], 0.8).sin()),
        Case::new("one element", input(&[1]), |x| moving_average(x[0], 0.5).sin()),
        Case::new("many rows", input(&[5, 65, 3]), |x| moving_average(x[0], 0.9).sin()),
        Case::new("long rows", input(&[2, 1025]), |x| moving_average(x[0], 0.99).sin()),
        Case::new("no memory", input(&[4, 5]), |x| moving_average(x[0], 0.0).sin()),
        Case::new("a view", input(&[65, 4]), |x| moving_average(x[0].transpose(), 0.7).sin()),
    ]
}

#[derive(Parser)]
#[command(about = "Checks an op with its own WGSL, and trains a network that uses it")]
struct Options {
    /// Seed of the checks, the signals and the initial parameters
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Training steps
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

const BATCH: usize = 64;
const LENGTH: usize = 48;
const HIDDEN: usize = 8;
const DECAY: f64 = 0.9;

/// Signals `[BATCH, LENGTH]` whose amplitude changes, and the moving average of their absolute values at the end.
fn signals(generator: &mut Generator) -> (Vec<f32>, Vec<f32>) {
    let (mut signals, mut restless) = (Vec::new(), Vec::new());
    for _ in 0..BATCH {
        let change = generator.below(LENGTH);
        let amplitudes = [generator.uniform(0.1, 2.0), generator.uniform(0.1, 2.0)];
        let mut average = 0.0;
        for time in 0..LENGTH {
            let x = generator.normal(0.0, amplitudes[usize::from(time >= change)]);
            average = DECAY * average + (1.0 - DECAY) * x.abs();
            signals.push(x as f32);
        }
        restless.push(average as f32);
    }
    (signals, restless)
}

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

fn run(options: &Options) -> Outcome<()> {
    let started = Instant::now();
    let device = Device::best()?;
    println!("device: {}", device.name());
    let cases = cases();
    for case in &cases {
        case.check(&device, options.seed)?;
    }
    println!("moving_average passes {} cases: gradient, and kernel against reference", cases.len());

    let mut params = Params::seeded(options.seed);
    let up = Linear::new(&mut params, "up", 1, HIDDEN);
    let down = Linear::new(&mut params, "down", HIDDEN, 1);
    let g = Graph::new();
    let x = g.input("signals", [BATCH, LENGTH]);
    let y = g.input("restless", [BATCH, 1]);
    let features = up.forward(x.unsqueeze(-1)).relu().permute([0, 2, 1]);
    let latest = moving_average(features, DECAY).slice(-1, LENGTH - 1..LENGTH).squeeze(-1);
    let loss = down.forward(latest).mse_loss(y);
    let mut step = g.train(loss, Adam::new(1e-2)).compile(&device, &params)?;

    let bar = ProgressBar::new(options.steps);
    bar.set_style(ProgressStyle::with_template("{bar:40} step {pos}/{len}  loss {msg}")?);
    let mut generator = Generator::named(options.seed, "signals");
    let mut first = None;
    for number in 0..options.steps {
        let (signals, restless) = signals(&mut generator);
        step.run([x.feed(&signals), y.feed(&restless)])?;
        if number % 50 == 0 {
            let loss = step.read(loss)?.item();
            first.get_or_insert(loss);
            bar.set_message(format!("{loss:.5}"));
            bar.set_position(number);
        }
    }
    bar.finish_and_clear();
    let (first, last) = (first.unwrap_or(f32::NAN), step.read(loss)?.item());
    println!("loss {first:.5} at first, {last:.5} after {} steps", options.steps);
    if options.json {
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{}",
            serde_json::json!({
                "device": device.name(), "seconds": seconds, "cases": cases.len(), "first_loss": first, "loss": last
            })
        );
    }
    Ok(())
}
