//! Fused plans agree with unfused ones, and each of their dispatches with the reference: on random graphs of ops with forks,
//! broadcasts, views, shared operands, reductions, products and their gradients.
//!
//! `RETROGRAD_TEST_SEED` repeats a run, and `RETROGRAD_TEST_GRAPHS` says how many graphs are drawn: 500 on the
//! host, and a tenth of that on software Vulkan, which compiles every kernel.

mod common;

use common::{device, within};
use retrograd::base::{Real, TensorType, Value};
use retrograd::optim::Sgd;
use retrograd::plan::Profile;
use retrograd::record::{
    Argument, CaseInput, Cotangents, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp,
};
use retrograd::{DType, Device, Generator, Graph, HostTensor, Init, Params, Tensor};

/// Most elements of a tensor: graphs stay quick, and shapes awkward.
const MOST: usize = 3000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn first_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    setting("RETROGRAD_TEST_SEED", now.map_or(1, |time| time.subsec_nanos().into()))
}

/// A random graph: what is fed, and what is compared.
struct Drawn<'g> {
    inputs: Vec<(Tensor<'g>, HostTensor)>,
    outputs: Vec<Tensor<'g>>,
}

/// A user's op without a function for the host: x plus its column.
#[derive(Debug)]
struct PlusColumn;

impl Op for PlusColumn {
    fn name(&self) -> &'static str {
        "plus_column"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent())
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let column = Argument::Coordinate(cx.inputs[0].shape.rank() - 1);
        Lowering::Pointwise(Pointwise::new("({0} + f32({1}))", vec![Argument::Input(0), column], &[]))
    }
}

impl Reference for PlusColumn {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let mut y = inputs[0].real().clone();
        let last = y.ndim() - 1;
        y.indexed_iter_mut().for_each(|(at, y)| *y = *y + T::real(at[last] as f64));
        vec![Value::Real(y)]
    }
}

#[test]
fn ops_without_a_function_for_the_host_run_by_their_reference() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let x = g.input("x", [2, 3]);
        let y = g.record(PlusColumn, &[x * 2.0]) * 10.0;
        let (total, front) = (y.sum(..), (x + 1.0).slice(0, 0..1).sum(..));
        let mut step = g.infer(&[y, total, front]).compile(device, &Params::seeded(0)).unwrap();
        step.run([x.feed(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])]).unwrap();
        assert_eq!(step.read(y).unwrap().to_vec(), [20.0, 50.0, 80.0, 80.0, 110.0, 140.0], "{name}");
        assert_eq!(step.read(total).unwrap().item(), 480.0, "{name}");
        // A slice from the front is dense, and not all that is computed.
        assert_eq!(step.read(front).unwrap().item(), 9.0, "{name}");
    }
}

#[test]
fn what_a_kernel_binds_twice_is_counted_twice() {
    let g = Graph::new();
    let x = g.input("x", [4, 4]);
    let others: Vec<Tensor<'_>> = (0..6).map(|number| g.input(&format!("in{number}"), [4, 4])).collect();
    let y = others.iter().fold(x.softmax(-1) * x, |sum, &other| sum + other);
    let mut params = Params::seeded(0);
    let w = params.add("w", [4, 4], Init::Zeros);
    let loss = (y * g.param(&w)).sum(..);
    g.train(loss, Sgd::new(0.1)).plan(&params, &Profile::webgpu_default()).unwrap();
}

/// Draws a graph of `ops` ops.
fn draw(g: &Graph, seed: u64, ops: usize) -> Drawn<'_> {
    let mut random = Generator::new(seed);
    let extents = [1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 33, 64, 65];
    let mut inputs = Vec::new();
    let rows = extents[random.below(extents.len())];
    let columns = extents[random.below(extents.len())];
    for (number, shape) in [vec![rows, columns], vec![columns], vec![rows, 1], vec![columns, 5], vec![rows, columns]]
        .into_iter()
        .enumerate()
    {
        let data = CaseInput::uniform(&shape[..], -1.0, 1.0).draw(&mut random);
        inputs.push((g.input(&format!("in{number}"), &shape[..]), data));
    }
    let mut pool: Vec<Tensor<'_>> = inputs.iter().map(|(tensor, _)| *tensor).collect();
    for _ in 0..ops {
        // Recent tensors are likelier: graphs become deep, with forks.
        let pick = |random: &mut Generator, pool: &[Tensor<'_>]| {
            let recent = pool.len().min(4);
            if random.below(3) > 0 { pool.len() - 1 - random.below(recent) } else { random.below(pool.len()) }
        };
        let x = pool[pick(&mut random, &pool)];
        let y = pool[pick(&mut random, &pool)];
        if let Some(made) = op(g, x, y, &mut random)
            && made.is_valid()
            && made.shape().elements() <= MOST
        {
            pool.push(made);
        }
    }
    // Two results, the last one and any other, bounded so that nothing overflows.
    let last = pool[pool.len() - 1];
    let other = pool[random.below(pool.len())];
    let mut loss = last.tanh().mean(..) + (other * 0.5).sigmoid().sum(..);
    let floats: Vec<Tensor<'_>> = inputs.iter().map(|(tensor, _)| *tensor).collect();
    for tensor in &floats {
        // Every input has a gradient, whatever was drawn.
        loss = loss + (*tensor * 0.25).mean(..);
    }
    let mut outputs = vec![loss, last];
    outputs.extend(g.gradients(loss, &floats));
    Drawn { inputs, outputs }
}

/// A random op on `x`, and on `y` where the shapes allow. Its results stay near the unit interval.
fn op<'g>(g: &'g Graph, x: Tensor<'g>, y: Tensor<'g>, random: &mut Generator) -> Option<Tensor<'g>> {
    let (shape, other) = (x.shape(), y.shape());
    let fits = shape.broadcast(&other).is_some();
    let axis = |random: &mut Generator| random.below(shape.rank().max(1)) as isize;
    Some(match random.below(32) {
        0 if fits => x + y,
        1 if fits => x * y,
        2 if fits => (x - y) * 0.5,
        3 if fits => x.maximum(y),
        4 if fits => x.gt(y).where_cond(x, y * 0.5),
        5 if fits => x / (y.square() + 1.0),
        6 => x.tanh(),
        7 => x.relu(),
        8 => x.gelu().tanh(),
        9 => x.sigmoid() - 0.25,
        10 => (x.tanh() * 0.5).exp() * 0.5,
        11 => x.affine(0.5, 0.125),
        12 => x.tanh().square(),
        13 => x.sin(),
        14 => x.softplus() * 0.5,
        15 => x.leaky_relu(0.1),
        16 if shape.rank() > 0 => x.mean_keep(axis(random)),
        17 if shape.rank() > 0 && random.below(2) == 0 => x.mean(axis(random)),
        17 => x.mean(..),
        18 if shape.rank() > 0 => x - x.mean_keep(-1),
        19 if shape.rank() > 0 => x.amax_keep(axis(random)),
        20 if shape.rank() > 0 => x.softmax(-1),
        21 if shape.rank() > 1 => x.transpose(),
        22 if shape.rank() > 0 => x.flip(axis(random)),
        23 => x.reshape([shape.elements()]),
        24 if shape.rank() > 0 => {
            let axis = axis(random);
            let extent = shape[axis as usize];
            let cut = random.below(extent);
            // From the front it is as dense as the whole.
            if random.below(2) == 0 { x.slice(axis, cut..extent) } else { x.slice(axis, 0..cut + 1) }
        }
        25 if shape.rank() > 0 => {
            let widths: Vec<(usize, usize)> = (0..shape.rank()).map(|_| (random.below(2), random.below(3))).collect();
            x.pad(&widths)
        }
        26 if shape.rank() > 1 && shape == other => g.concat(&[x, y], axis(random)),
        27 if shape.rank() == 2 && other.rank() == 2 && shape[1] == other[0] => x.matmul(y) * 0.25,
        28 if shape.rank() == 2 && other.rank() == 2 && shape[1] == other[1] => x.matmul(y.transpose()) * 0.25,
        29 if shape.rank() == 2 && other.rank() == 2 && shape[0] == other[0] => (x.transpose().matmul(y) * 0.25).tanh(),
        30 => x.dropout(0.25),
        31 if shape.rank() == 2 => x.tril(0),
        _ => return None,
    })
}

/// Runs a graph fused and unfused on a device; the reason, where they differ.
fn compare(device: &Device, seed: u64, ops: usize) -> Result<(), String> {
    let g = Graph::new();
    let drawn = draw(&g, seed, ops);
    let run = |fused: bool| -> Result<Vec<HostTensor>, String> {
        let step = g.infer(&drawn.outputs);
        let step = if fused { step } else { step.without_fusion() };
        let mut step = step.compile(device, &Params::seeded(3)).map_err(|error| error.to_string())?;
        let feeds: Vec<_> = drawn.inputs.iter().map(|(tensor, data)| tensor.feed(data)).collect();
        step.run(feeds).map_err(|error| error.to_string())?;
        drawn.outputs.iter().map(|&output| step.read(output).map_err(|error| error.to_string())).collect()
    };
    let (fused, unfused) = (run(true)?, run(false)?);
    for (number, (got, want)) in fused.iter().zip(&unfused).enumerate() {
        assert_eq!(got.tensor_type().dtype, DType::F32);
        let numbers = |tensor: &HostTensor| tensor.to_vec().into_iter().map(f64::from).collect::<Vec<f64>>();
        // What is left of sums that cancel is rounding: below 1e-6 it is not compared.
        let distance = within(&numbers(got), &numbers(want), |want, greatest| 1e-4 * want + 3e-5 * greatest + 1e-6);
        if distance.excess > 1.0 || distance.excess.is_nan() {
            return Err(format!("output {number} of {}: {distance:?}", fused.len()));
        }
    }
    Ok(())
}

/// Verifies a graph's plan dispatch by dispatch; the report, where one diverges.
fn verify(device: &Device, seed: u64, ops: usize) -> Result<(), String> {
    let g = Graph::new();
    let drawn = draw(&g, seed, ops);
    let mut step = g.infer(&drawn.outputs).compile(device, &Params::seeded(3)).map_err(|error| error.to_string())?;
    let feeds: Vec<_> = drawn.inputs.iter().map(|(tensor, data)| tensor.feed(data)).collect();
    let verification = step.verify(feeds).map_err(|error| error.to_string())?;
    if verification.agrees() { Ok(()) } else { Err(verification.to_string()) }
}

fn sweep(device: &Device, graphs: u64, check: fn(&Device, u64, usize) -> Result<(), String>) {
    let first = first_seed();
    for seed in first..first + graphs {
        let ops = 2 + (seed % 13) as usize;
        if let Err(reason) = check(device, seed, ops) {
            // The same draw with fewer ops is a prefix: the shortest that fails says most.
            let short = (1..=ops).find(|&ops| check(device, seed, ops).is_err()).unwrap_or(ops);
            let g = Graph::new();
            let drawn = draw(&g, seed, short);
            let plan = g.infer(&drawn.outputs).compile(device, &Params::seeded(3)).map(|step| step.plan().to_string());
            panic!(
                "a plan is wrong with RETROGRAD_TEST_SEED={seed} and {short} ops: {reason}\n{}",
                plan.unwrap_or_else(|error| error.to_string())
            );
        }
    }
}

#[test]
fn fused_plans_agree_with_unfused_ones_on_the_host() {
    sweep(&Device::cpu(), setting("RETROGRAD_TEST_GRAPHS", 500), compare);
}

#[test]
fn fused_plans_agree_with_unfused_ones_on_vulkan() {
    if let Some(device) = device("vulkan") {
        sweep(device, setting("RETROGRAD_TEST_GRAPHS", 500) / 10, compare);
    }
}

#[test]
fn every_dispatch_agrees_with_the_reference_on_the_host() {
    sweep(&Device::cpu(), setting("RETROGRAD_TEST_GRAPHS", 500) / 4, verify);
}

#[test]
fn every_dispatch_agrees_with_the_reference_on_vulkan() {
    if let Some(device) = device("vulkan") {
        sweep(device, setting("RETROGRAD_TEST_GRAPHS", 500) / 25, verify);
    }
}
