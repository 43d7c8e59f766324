//! Fused plans agree with unfused ones, and each of their dispatches with the reference: on random graphs of ops with forks,
//! broadcasts, views, shared operands, reductions, products and their gradients.
//!
//! `RETROGRAD_TEST_SEED` repeats a run, and `RETROGRAD_TEST_GRAPHS` says how many graphs are drawn: 500 on the
//! host, and a tenth of that on software Vulkan, which compiles every kernel.

mod common;
#[path = "common/graphs.rs"]
mod graphs;

use common::{device, within};
use graphs::draw;
use retrograd::base::{Real, TensorType, Value};
use retrograd::optim::Sgd;
use retrograd::plan::Profile;
use retrograd::record::{Argument, Cotangents, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp};
use retrograd::{DType, Device, ErrorKind, Graph, HostTensor, Init, Params, Tensor};

use std::sync::atomic::{AtomicU64, Ordering};
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn first_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    setting("RETROGRAD_TEST_SEED", now.map_or(1, |time| time.subsec_nanos().into()))
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

/// Runs a graph whose tensors exceed a binding in parts, and as a whole; the reason, where they differ.
fn parts(device: &Device, seed: u64, ops: usize) -> Result<(), String> {
    let g = Graph::new();
    let drawn = draw(&g, seed, ops);
    // Outputs are read as a whole: of each a sum, which tells of all its elements, and not only of how many there are.
    let mut totals = Vec::new();
    for output in drawn.outputs.iter().filter(|output| output.rank() > 0) {
        let weights = g.full(output.shape(), 0.5).cumsum(-1);
        totals.push((*output * weights).sum(..));
    }
    let run = |binding_bytes: Option<u64>| -> Result<Option<Vec<f64>>, String> {
        let mut profile = device.profile();
        profile.binding_bytes = binding_bytes.unwrap_or(profile.binding_bytes);
        let device = device.with_profile(profile).map_err(|error| error.to_string())?;
        let mut step = match g.infer(&totals).compile(&device, &Params::seeded(3)) {
            Err(error) if error.kind() == ErrorKind::Limit => return Ok(None),
            step => step.map_err(|error| error.to_string())?,
        };
        let feeds: Vec<_> = drawn.inputs.iter().map(|(tensor, data)| tensor.feed(data)).collect();
        step.run(feeds.clone()).map_err(|error| error.to_string())?;
        if binding_bytes.is_some() {
            let verification = step.verify(feeds).map_err(|error| error.to_string())?;
            if !verification.agrees() {
                return Err(verification.to_string());
            }
        }
        let read = |&total: &Tensor<'_>| step.read(total).map(|value| f64::from(value.item()));
        Ok(Some(totals.iter().map(read).collect::<Result<_, _>>().map_err(|error| error.to_string())?))
    };
    let Some(whole) = run(None)? else { return Err("the whole exceeds a binding".into()) };
    for most in [512, 256] {
        let Some(got) = run(Some(most))? else { continue };
        SPLIT.fetch_add(1, Ordering::Relaxed);
        let distance = within(&got, &whole, |want, greatest| 1e-4 * want + 3e-5 * greatest + 1e-4);
        if distance.excess > 1.0 || distance.excess.is_nan() {
            return Err(format!("with bindings of {most} bytes: {distance:?}, {got:?} and {whole:?}"));
        }
    }
    Ok(())
}

/// How many graphs ran in parts.
static SPLIT: AtomicU64 = AtomicU64::new(0);

#[test]
fn graphs_in_parts_agree_with_the_whole() {
    sweep(&Device::cpu(), setting("RETROGRAD_TEST_GRAPHS", 500) / 2, parts);
    if let Some(device) = device("vulkan") {
        // In parts this one has a product that nobody reads.
        parts(device, 441938078, 3).unwrap();
        sweep(device, setting("RETROGRAD_TEST_GRAPHS", 500) / 50, parts);
    }
    // Of graphs as small as these, many cannot be bound in parts: but not all.
    assert!(SPLIT.load(Ordering::Relaxed) > 20, "hardly any graph was in parts");
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
