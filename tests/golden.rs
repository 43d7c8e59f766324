//! The golden set: cases computed by `PyTorch` in float64, on the reference, the CPU device, Vulkan and GL.
//!
//! The folder is `tests/golden`, or `RETROGRAD_GOLDEN`. Ops that the set names and the crate lacks are
//! counted and listed.

mod common;

use common::{Distance, device, distance, on_device, on_reference, within};
use libtest_mimic::{Arguments, Failed, Trial};
use retrograd::ops::{AttentionSettings, CellWeights, ConvSettings, PoolSettings};
use retrograd::optim::{Adagrad, Adam, AdamW, Adamax, NAdam, Optimizer, RAdam, RmsProp, Sgd};
use retrograd::plan::StepScalars;
use retrograd::record::NodeId;
use retrograd::{DType, Graph, HostData, HostTensor, Init, Params, Tensor};
use safetensors::SafeTensors;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// How many cases of an op an engine ran, and its largest errors.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    cases: usize,
    worst: Distance,
}

const ENGINES: [&str; 4] = ["reference", "cpu", "vulkan", "gl"];

/// By op and engine.
static TALLIES: Mutex<BTreeMap<(String, &str), Tally>> = Mutex::new(BTreeMap::new());

struct Set {
    cases: Vec<Json>,
    bytes: Vec<u8>,
}

fn load() -> &'static Set {
    let folder = std::env::var("RETROGRAD_GOLDEN")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden").into());
    let read = |name: &str| {
        std::fs::read(format!("{folder}/{name}")).unwrap_or_else(|error| panic!("{folder}/{name}: {error}"))
    };
    let index: Json = serde_json::from_slice(&read("cases.json")).expect("cases.json is JSON");
    let cases = index["cases"].as_array().expect("cases.json lists cases").clone();
    Box::leak(Box::new(Set { cases, bytes: read("cases.safetensors") }))
}

fn main() {
    let arguments = Arguments::from_args();
    let set = load();
    let mut trials = Vec::new();
    let mut lacking: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ops: BTreeMap<&str, Vec<&'static Json>> = BTreeMap::new();
    for case in &set.cases {
        let op = case["op"].as_str().expect("a case names its op");
        ops.entry(op).or_default().push(case);
    }
    for (op, cases) in ops {
        if !cases.iter().all(|case| knows(case)) {
            lacking.insert(op, cases.len());
            continue;
        }
        for engine in ENGINES {
            let missing = ["vulkan", "gl"].contains(&engine) && device(engine).is_none();
            let cases = cases.clone();
            let run = move || cases.iter().try_for_each(|case| check(set, engine, case));
            trials.push(Trial::test(format!("golden_{engine}::{op}"), run).with_ignored_flag(missing));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        print_table(&TALLIES.lock().expect("no trial panics while it holds this"));
        let count: usize = lacking.values().sum();
        let list: Vec<String> = lacking.iter().map(|(op, count)| format!("{op} ({count})")).collect();
        if count > 0 {
            println!("  lacking: {count} cases of {} ops: {}", lacking.len(), list.join(", "));
        }
    }
    conclusion.exit();
}

/// The largest relative error of every op on every engine, and of all.
fn print_table(tallies: &BTreeMap<(String, &str), Tally>) {
    let row = |name: &str, tally: &dyn Fn(&str) -> Tally| {
        let cells = ENGINES.map(|engine| match tally(engine) {
            Tally { cases: 0, .. } => format!("{:>10}", "-"),
            Tally { worst, .. } => format!("{:>10.1e}", worst.relative),
        });
        println!(
            "  {name:<34} {:>5} {}",
            ENGINES.map(|engine| tally(engine).cases).iter().max().unwrap(),
            cells.concat()
        );
    };
    println!("golden cases, and their largest relative errors:");
    println!("  {:<34} cases {}", "op", ENGINES.map(|engine| format!("{engine:>10}")).concat());
    let ops: BTreeSet<&str> = tallies.keys().map(|(op, _)| op.as_str()).collect();
    for op in &ops {
        row(op, &|engine| tallies.get(&((*op).to_owned(), engine)).copied().unwrap_or_default());
    }
    row(&format!("all {} ops", ops.len()), &|engine| {
        let own = tallies.iter().filter(|((_, of), _)| *of == engine);
        own.fold(Tally::default(), |all, (_, tally)| Tally {
            cases: all.cases + tally.cases,
            worst: all.worst.join(tally.worst),
        })
    });
}

/// Whether this program knows how to say an op of the set with the crate.
fn knows(case: &Json) -> bool {
    if case["op"].as_str().is_some_and(|op| op.starts_with("optim_")) {
        return optimizer(case).is_some();
    }
    // The inputs only stand in for those of the case: shapes may not fit, which gives invalid tensors.
    let g = Graph::new();
    let inputs = case["inputs"].as_object().into_iter().flatten();
    let inputs = inputs.map(|(name, _)| (name.clone(), g.input(name, [1]))).collect();
    build(case, &g, &inputs).is_some()
}

/// One tensor of the set, in double precision, with its shape.
fn tensor(set: &Set, name: &str) -> Option<(Vec<usize>, Vec<f64>)> {
    let tensors = SafeTensors::deserialize(&set.bytes).expect("cases.safetensors is valid");
    let view = tensors.tensor(name).ok()?;
    let data = match view.dtype() {
        safetensors::Dtype::F64 => bytemuck::pod_collect_to_vec::<u8, f64>(view.data()),
        safetensors::Dtype::F32 => {
            bytemuck::pod_collect_to_vec::<u8, f32>(view.data()).into_iter().map(f64::from).collect()
        }
        safetensors::Dtype::I32 => {
            bytemuck::pod_collect_to_vec::<u8, i32>(view.data()).into_iter().map(f64::from).collect()
        }
        other => panic!("{name} has elements of type {other:?}"),
    };
    Some((view.shape().to_vec(), data))
}

fn host(shape: &[usize], data: &[f64], integers: bool) -> HostTensor {
    let data = if integers {
        HostData::I32(data.iter().map(|&x| x as i32).collect())
    } else {
        HostData::F32(data.iter().map(|&x| x as f32).collect())
    };
    HostTensor::new(shape, data).expect("the file's shapes fit")
}

fn check(set: &Set, engine: &'static str, case: &Json) -> Result<(), Failed> {
    let id = case["id"].as_str().expect("a case has an id");
    let op = case["op"].as_str().expect("a case names its op");
    let pairs = if op.starts_with("optim_") { trajectory(set, engine, case)? } else { evaluate(set, engine, case)? };
    // The two cases near a point where everything vanishes are judged by relative error alone.
    let alone = case["tag"].as_str().is_some_and(|tag| tag.contains("by relative error alone"));
    let mut worst = Distance::default();
    for (name, got, want) in &pairs {
        let distance = match (engine, alone) {
            // PyTorch's own results carry rounding and cut-offs of this size where values vanish or
            // saturate (softplus is linear above 20, tanh is one), so shares below one count as one.
            ("reference", false) => within(got, want, |want, greatest| 1e-11 * want + 1e-11 * greatest.max(1.0)),
            ("reference", true) => distance(got, want, 1e-11, 0.0),
            (_, true) => distance(got, want, 1e-5, 0.0),
            (_, false) => distance(got, want, 2e-5, 2e-6),
        };
        if distance.excess > 1.0 || distance.excess.is_nan() {
            return Err(format!(
                "{id} {name}: {distance:?}\n  got  {:?}\n  want {:?}",
                &got[..got.len().min(8)],
                &want[..want.len().min(8)]
            )
            .into());
        }
        worst = worst.join(distance);
    }
    let mut tallies = TALLIES.lock().expect("no trial panics while it holds this");
    let tally = tallies.entry((op.to_owned(), engine)).or_default();
    tally.cases += 1;
    tally.worst = tally.worst.join(worst);
    Ok(())
}

type Pairs = Vec<(String, Vec<f64>, Vec<f64>)>;

/// Value and gradients of a case on an engine, beside what they should be.
fn evaluate(set: &Set, engine: &'static str, case: &Json) -> Result<Pairs, Failed> {
    let id = case["id"].as_str().unwrap_or_default();
    let g = Graph::new();
    let mut inputs: BTreeMap<String, Tensor<'_>> = BTreeMap::new();
    let mut feeds: Vec<(Tensor<'_>, HostTensor)> = Vec::new();
    for (name, dtype) in case["inputs"].as_object().expect("a case has inputs") {
        let (shape, data) =
            tensor(set, &format!("{id}/in/{name}")).ok_or_else(|| format!("{id}/in/{name} is missing"))?;
        let integers = dtype.as_str() == Some("i32");
        let input = if integers { g.labels(name, shape.clone()) } else { g.input(name, shape.clone()) };
        feeds.push((input, host(&shape, &data, integers)));
        inputs.insert(name.clone(), input);
    }
    let output = build(case, &g, &inputs).ok_or("the op is not known")?;
    if !output.is_valid() {
        return Err(retrograd::Error::recording(g.recording().faults).to_string().into());
    }
    // Nodes carry the line of this program that recorded them, however deep inside the library.
    if let Some(node) = g.recording().nodes.iter().find(|node| !node.place.location.starts_with(file!())) {
        return Err(format!("{id}: {} says that it was recorded at {}", node.label(), node.place.location).into());
    }
    let (_, want) = tensor(set, &format!("{id}/out")).ok_or_else(|| format!("{id}/out is missing"))?;
    let mut wanted = vec![("out".to_owned(), output, want)];
    let grads: Vec<&str> =
        case["grads"].as_array().map(|grads| grads.iter().filter_map(Json::as_str).collect()).unwrap_or_default();
    if output.dtype() == DType::F32 && !grads.is_empty() {
        let (_, data) = tensor(set, &format!("{id}/upstream")).ok_or_else(|| format!("{id}/upstream is missing"))?;
        let upstream = g.input("upstream", output.shape());
        feeds.push((upstream, host(&output.shape(), &data, false)));
        let of: Vec<Tensor<'_>> = grads.iter().map(|name| inputs[*name]).collect();
        for (name, gradient) in grads.iter().zip(g.vector_jacobian(&[(output, upstream)], &of)) {
            let (_, want) =
                tensor(set, &format!("{id}/grad/{name}")).ok_or_else(|| format!("{id}/grad/{name} is missing"))?;
            wanted.push((format!("gradient of {name}"), gradient, want));
        }
    }
    let tensors: Vec<Tensor<'_>> = wanted.iter().map(|(_, tensor, _)| *tensor).collect();
    let got = if engine == "reference" {
        let leaves: BTreeMap<NodeId, HostTensor> =
            feeds.iter().map(|(input, data)| (input.id().node, data.clone())).collect();
        on_reference(&g, &tensors, &leaves, [0, 0])
    } else {
        let device = device(engine).ok_or("the device is missing")?;
        on_device(device, &g, &tensors, &feeds)
    };
    Ok(wanted.into_iter().zip(got).map(|((name, _, want), got)| (name, got, want)).collect())
}

#[allow(clippy::too_many_lines)] // one line per op
fn build<'g>(case: &Json, g: &'g Graph, inputs: &BTreeMap<String, Tensor<'g>>) -> Option<Tensor<'g>> {
    let attrs = &case["attrs"];
    let input = |name: &str| inputs[name];
    let number = |name: &str| attrs[name].as_f64().unwrap_or_else(|| panic!("attribute {name} is a number"));
    let axes = |name: &str| -> Vec<isize> {
        match &attrs[name] {
            Json::Array(list) => list.iter().filter_map(|axis| axis.as_i64().map(|axis| axis as isize)).collect(),
            Json::Number(axis) => vec![axis.as_i64().unwrap_or_default() as isize],
            _ => Vec::new(),
        }
    };
    let extents = |name: &str| -> Vec<usize> { axes(name).into_iter().map(|extent| extent as usize).collect() };
    let reduced = |keep: fn(Tensor<'g>, &[isize]) -> Tensor<'g>, gone: fn(Tensor<'g>, &[isize]) -> Tensor<'g>| {
        let all: Vec<isize> = (0..input("x").rank() as isize).collect();
        let over = if attrs["dim"].is_null() { all } else { axes("dim") };
        if attrs["keepdim"].as_bool() == Some(true) { keep(input("x"), &over) } else { gone(input("x"), &over) }
    };
    let over = |errors: Tensor<'g>| match attrs["reduction"].as_str() {
        Some("sum") => errors.sum(..),
        Some("batchmean") => errors.sum(..) / errors.shape()[0] as f64,
        _ => errors.mean(..),
    };
    let op = case["op"].as_str().unwrap_or_default();
    Some(match op {
        "neg" => -input("x"),
        "exp" => input("x").exp(),
        "log" => input("x").log(),
        "sqrt" => input("x").sqrt(),
        "rsqrt" => input("x").rsqrt(),
        "reciprocal" => input("x").reciprocal(),
        "square" => input("x").square(),
        "abs" => input("x").abs(),
        "sin" => input("x").sin(),
        "cos" => input("x").cos(),
        "tanh" => input("x").tanh(),
        "sigmoid" => input("x").sigmoid(),
        "relu" => input("x").relu(),
        "silu" => input("x").silu(),
        "softplus" => input("x").softplus(),
        "gelu_erf" => input("x").gelu_erf(),
        "gelu_tanh" => input("x").gelu_tanh(),
        "erf" => input("x").erf(),
        "log1p" => input("x").log1p(),
        "expm1" => input("x").expm1(),
        "hardswish" => input("x").hardswish(),
        "mish" => input("x").mish(),
        "softsign" => input("x").softsign(),
        "logsigmoid" => input("x").logsigmoid(),
        "leaky_relu" => input("x").leaky_relu(number("negative_slope")),
        "elu" => input("x").elu(number("alpha")),
        "clamp" => input("x").clamp(number("min"), number("max")),
        "powf" => input("x").powf(number("exponent")),
        "affine" => input("x").affine(number("scale"), number("shift")),
        "add" => input("a") + input("b"),
        "sub" => input("a") - input("b"),
        "mul" => input("a") * input("b"),
        "div" => input("a") / input("b"),
        "maximum" => input("a").maximum(input("b")),
        "minimum" => input("a").minimum(input("b")),
        "pow" => input("a").pow(input("b")),
        "where" => input("cond").where_cond(input("a"), input("b")),
        "fork" => input("x") * input("x") + input("x").sin() * input("x"),
        "fork_self_matmul" => input("x").matmul(input("x")),
        "matmul" | "matmul_batched" => input("a").matmul(input("b")),
        "matmul_nt" => input("a").matmul(input("b").transpose()),
        "matmul_tn" => input("a").transpose().matmul(input("b")),
        "linear" => input("x").matmul(input("weight").transpose()) + input("bias"),
        "linear_relu" => (input("x").matmul(input("weight").transpose()) + input("bias")).relu(),
        "sum" => reduced(|x, axes| x.sum_keep(axes), |x, axes| x.sum(axes)),
        "mean" => reduced(|x, axes| x.mean_keep(axes), |x, axes| x.mean(axes)),
        "amax" => reduced(|x, axes| x.amax_keep(axes), |x, axes| x.amax(axes)),
        "amin" => reduced(|x, axes| x.amin_keep(axes), |x, axes| x.amin(axes)),
        "logsumexp" => input("x").logsumexp(&axes("dim")[..]),
        "var" => input("x").var(&axes("dim")[..], number("correction") as usize),
        "norm2" => input("x").norm2(),
        "argmax" => input("x").argmax(axes("dim")[0]),
        "softmax" => input("x").softmax(axes("dim")[0]),
        "log_softmax" => input("x").log_softmax(axes("dim")[0]),
        "cross_entropy" => input("x").cross_entropy(input("target")),
        "cross_entropy_smooth" => input("x").cross_entropy_smooth(input("target"), number("label_smoothing")),
        "cross_entropy_probs" => input("x").cross_entropy_probabilities(input("target")),
        "categorical_cross_entropy" => input("p").categorical_cross_entropy(input("target")),
        "mse_loss" => over(input("x").squared_error(input("target"))),
        "l1_loss" => over(input("x").absolute_error(input("target"))),
        "huber_loss" => over(input("x").huber_error(input("target"), number("delta"))),
        "binary_cross_entropy" => over(input("x").binary_cross_entropy_error(input("target"))),
        "binary_cross_entropy_with_logits" => over(input("x").binary_cross_entropy_with_logits_error(input("target"))),
        "kl_div" => over(input("x").log_softmax(-1).kl_divergence(input("target"))),
        "reshape" => input("x").reshape(extents("shape")).sin(),
        "permute" => input("x").permute(axes("dims")).sin(),
        "broadcast_to" => input("x").broadcast_to(extents("shape")).sin(),
        "slice" => {
            let ranges = attrs["ranges"].as_array().expect("ranges per axis");
            let part = |range: &Json, place: usize| range[place].as_u64().expect("a range has three numbers") as usize;
            let cut = |x: Tensor<'g>, (axis, range): (usize, &Json)| {
                x.slice_step(axis as isize, part(range, 0)..part(range, 1), part(range, 2))
            };
            ranges.iter().enumerate().fold(input("x"), cut).sin()
        }
        "pad" => {
            let (first, last) = (extents("first_dim"), extents("last_dim"));
            input("x").pad(&[(first[0], first[1]), (last[0], last[1])]).sin()
        }
        "concat" => g.concat(&[input("a"), input("b"), input("c")], axes("dim")[0]).sin(),
        "stack" => g.stack(&[input("a"), input("b")], axes("dim")[0]).sin(),
        "flip" => input("x").flip(&axes("dim")[..]).sin(),
        "cumsum" => input("x").cumsum(axes("dim")[0]),
        "embedding" => input("weight").embedding(input("index")),
        "gather" => input("x").gather(axes("dim")[0], input("index")).sin(),
        "index_select" => input("x").index_select(axes("dim")[0], input("index")).sin(),
        "scatter_add" => input("x").scatter_add(axes("dim")[0], input("index"), input("src")).sin(),
        "layer_norm" => input("x").layer_norm(input("weight"), input("bias"), number("eps")),
        "rms_norm" => input("x").rms_norm(input("weight"), number("eps")),
        "group_norm" => input("x").group_norm(number("groups") as usize, input("weight"), input("bias"), number("eps")),
        "batch_norm_train" => input("x").batch_norm(input("weight"), input("bias"), number("eps")).output,
        "batch_norm_eval" => {
            input("x").batch_norm_with(input("mean"), input("var"), input("weight"), input("bias"), number("eps"))
        }
        "conv1d" => {
            let settings = ConvSettings::new().stride(number("stride") as usize).padding(number("padding") as usize);
            let y = input("x").conv1d(input("weight"), &settings);
            y + input("bias").unsqueeze(-1)
        }
        "conv2d" => {
            let settings = ConvSettings::new()
                .stride(number("stride") as usize)
                .padding(number("padding") as usize)
                .dilation(number("dilation") as usize)
                .groups(number("groups") as usize);
            input("x").conv2d(input("weight"), &settings) + input("bias").unsqueeze(-1).unsqueeze(-1)
        }
        "conv_transpose2d" => {
            let settings = ConvSettings::new().stride(number("stride") as usize).padding(number("padding") as usize);
            let more = number("output_padding") as usize;
            let y = input("x").conv_transpose2d(input("weight"), &settings, [more, more]);
            y + input("bias").unsqueeze(-1).unsqueeze(-1)
        }
        "max_pool2d" | "avg_pool2d" => {
            let settings = PoolSettings::new(number("kernel") as usize)
                .stride(number("stride") as usize)
                .padding(number("padding") as usize);
            if op == "max_pool2d" {
                input("x").max_pool2d(settings)
            } else {
                input("x").avg_pool2d(settings, attrs["count_include_pad"].as_bool() == Some(true))
            }
        }
        "adaptive_avg_pool2d" => {
            let output = extents("output");
            input("x").adaptive_avg_pool2d([output[0], output[1]])
        }
        "upsample_nearest2d" => {
            let factor = number("scale") as usize;
            input("x").upsample_nearest2d([factor, factor])
        }
        "scaled_dot_product_attention" => {
            let settings =
                AttentionSettings { causal: attrs["is_causal"].as_bool() == Some(true), ..AttentionSettings::new() };
            input("q").attention(input("k"), input("v"), &settings)
        }
        "lstm_cell" | "gru_cell" => {
            let weights = CellWeights {
                input: input("w_ih"),
                hidden: input("w_hh"),
                input_bias: Some(input("b_ih")),
                hidden_bias: Some(input("b_hh")),
            };
            if op == "gru_cell" {
                input("x").gru_cell(input("h"), &weights)
            } else {
                let (hidden, cell) = input("x").lstm_cell(input("h"), input("c"), &weights);
                g.concat(&[hidden, cell], 1)
            }
        }
        "tril" => input("x").tril(attrs["diagonal"].as_i64().unwrap_or(0) as i32),
        _ => return None,
    })
}

fn optimizer(case: &Json) -> Option<Box<dyn Optimizer>> {
    let attrs = &case["attrs"];
    let number = |name: &str| attrs[name].as_f64().unwrap_or_default();
    let beta = |place: usize| attrs["betas"][place].as_f64().unwrap_or_default();
    Some(match case["op"].as_str().unwrap_or_default() {
        "optim_sgd" | "optim_sgd_momentum" | "optim_sgd_nesterov_wd" => {
            let sgd = Sgd::new(number("lr")).momentum(number("momentum")).weight_decay(number("weight_decay"));
            Box::new(if attrs["nesterov"].as_bool() == Some(true) { sgd.nesterov() } else { sgd })
        }
        "optim_adamw" => Box::new(
            AdamW::new(number("lr"))
                .betas(beta(0), beta(1))
                .epsilon(number("eps"))
                .weight_decay(number("weight_decay")),
        ),
        "optim_adam" | "optim_adam_wd" => Box::new(
            Adam::new(number("lr")).betas(beta(0), beta(1)).epsilon(number("eps")).weight_decay(number("weight_decay")),
        ),
        "optim_rmsprop" => {
            let rmsprop = RmsProp::new(number("lr")).alpha(number("alpha")).epsilon(number("eps"));
            let rmsprop = rmsprop.momentum(number("momentum")).weight_decay(number("weight_decay"));
            Box::new(if attrs["centered"].as_bool() == Some(true) { rmsprop.centered() } else { rmsprop })
        }
        "optim_adagrad" => Box::new(
            Adagrad::new(number("lr"))
                .rate_decay(number("lr_decay"))
                .epsilon(number("eps"))
                .initial_sum(number("initial_accumulator_value"))
                .weight_decay(number("weight_decay")),
        ),
        "optim_adamax" => Box::new(
            Adamax::new(number("lr"))
                .betas(beta(0), beta(1))
                .epsilon(number("eps"))
                .weight_decay(number("weight_decay")),
        ),
        "optim_nadam" => Box::new(
            NAdam::new(number("lr"))
                .betas(beta(0), beta(1))
                .epsilon(number("eps"))
                .momentum_decay(number("momentum_decay"))
                .weight_decay(number("weight_decay")),
        ),
        "optim_radam" => Box::new(
            RAdam::new(number("lr"))
                .betas(beta(0), beta(1))
                .epsilon(number("eps"))
                .weight_decay(number("weight_decay")),
        ),
        _ => return None,
    })
}

/// The weights after every step of minimising sum(a (w - b)^2).
fn trajectory(set: &Set, engine: &'static str, case: &Json) -> Result<Pairs, Failed> {
    let id = case["id"].as_str().unwrap_or_default();
    let part = |name: &str| {
        tensor(set, &format!("{id}/{name}")).ok_or_else(|| Failed::from(format!("{id}/{name} is missing")))
    };
    let ((shape, a), (_, b), (_, w0), (out_shape, want)) = (part("in/a")?, part("in/b")?, part("in/w0")?, part("out")?);
    let optimizer = optimizer(case).ok_or("the optimizer is not known")?;
    let rate = optimizer.learning_rate();
    let mut got = Vec::new();
    if engine == "reference" {
        let update = optimizer.update().map_err(|error| error.to_string())?;
        let mut weight = w0;
        let mut states = vec![vec![0.0; weight.len()]; update.states.len()];
        for count in 1..=out_shape[0] as u32 {
            let gradient: Vec<f64> = (0..weight.len()).map(|i| 2.0 * a[i] * (weight[i] - b[i])).collect();
            let step = StepScalars {
                count,
                learning_rate: rate,
                scalars: optimizer.scalars(count, rate),
                ..StepScalars::default()
            };
            update.host.apply_f64(
                &step,
                &gradient,
                &mut weight,
                &mut states.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
            );
            got.extend(&weight);
        }
    } else {
        let device = device(engine).ok_or("the device is missing")?;
        let g = Graph::new();
        let mut params = Params::seeded(0);
        let weight = params.add("w", shape.clone(), Init::Values(w0.iter().map(|&w| w as f32).collect()));
        let (in_a, in_b) = (g.input("a", shape.clone()), g.input("b", shape.clone()));
        let loss = (in_a * (g.param(&weight) - in_b).square()).sum(..);
        let mut step = g.train(loss, optimizer).compile(device, &params).map_err(|error| error.to_string())?;
        let (a, b) = (host(&shape, &a, false), host(&shape, &b, false));
        for _ in 0..out_shape[0] {
            step.run([in_a.feed(&a), in_b.feed(&b)]).map_err(|error| error.to_string())?;
            let weights = step.state().parameter("w").map_err(|error| error.to_string())?;
            got.extend(weights.to_vec().into_iter().map(f64::from));
        }
    }
    Ok(vec![("weights".into(), got, want)])
}
