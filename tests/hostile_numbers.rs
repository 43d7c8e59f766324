//! NaN, infinities, the largest, the smallest and negative zero as feeds of every case of every op, one at a time: results and
//! gradients are NaN, infinite and finite where the reference says so, on every device.
//!
//! The reference is evaluated in float32 and in float64. Where they are of different kinds, such as where an intermediate
//! result overflows in one of them, either kind is right; and what the largest numbers overflow to, infinity or NaN, depends on
//! the order of evaluation. Sines of them are NaN in kernels. Denormal numbers may be taken for zero, as WGSL allows.
//!
//! `RETROGRAD_TEST_SEED` repeats a run.

mod common;

use common::device;
use retrograd::base::{Value, threefry};
use retrograd::ops::OPS;
use retrograd::record::{Case, EvalContext, Leaf, NodeId, TensorId};
use retrograd::reference::{Precision, RecordedCase, evaluate};
use retrograd::{Device, ErrorKind, Generator, Graph, HostData, HostTensor, Params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is put among the data, by name.
const HOSTILE: [(&str, f32); 9] = [
    ("NaN", f32::NAN),
    ("inf", f32::INFINITY),
    ("-inf", f32::NEG_INFINITY),
    ("max", f32::MAX),
    ("-max", -f32::MAX),
    ("1e38", 1e38),
    ("denormal", 1e-40),
    ("-denormal", -1e-40),
    ("-0", -0.0),
];

/// Cases of ops that treat NaN and infinity in another way than their reference. What a query does not see is multiplied by 0
/// in the reference, which makes NaN of it, while kernels leave it out, or add up 0 times NaN in blocks: keys and values that no
/// query sees have to be finite, as `Tensor::attention` says. And scores so large that neighbouring numbers are more than 1
/// apart have no softmax that two ways to add them up agree upon.
const UNSEEN: [(&str, &str); 5] = [
    ("attention", "fused, causal"),
    ("attention", "fused, masked"),
    ("attention", "fused, one mask for all"),
    ("attention", "fused, causal and masked"),
    ("attention", "fused, long and causal"),
];

/// Software adapters take cases of so many elements, the host of ten times as many; larger ones have the same functions.
const SMALL: usize = 1500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Nan,
    Infinite,
    NegativeInfinite,
    Finite,
}

fn kind(x: f32) -> Kind {
    match x {
        x if x.is_nan() => Kind::Nan,
        f32::INFINITY => Kind::Infinite,
        f32::NEG_INFINITY => Kind::NegativeInfinite,
        _ => Kind::Finite,
    }
}

type Data = BTreeMap<NodeId, HostTensor>;

/// All results of a case in this precision, flat, as single precision.
fn reference<T: Precision>(g: &Graph, ids: &[TensorId], data: &Data, seed: [u32; 2]) -> Vec<Vec<f32>> {
    let evaluation = evaluate::<T>(&g.recording(), ids, &EvalContext { seed }, |id, _, leaf| {
        Ok(Arc::new(match leaf {
            Leaf::Constant(tensor) => Value::from_host(tensor),
            _ => Value::from_host(&data[&id]),
        }))
    })
    .expect("every input has a value");
    ids.iter().map(|&id| evaluation.get(id).expect("it was wanted").to_host().to_vec()).collect()
}

/// Data with another number at a place of an input.
fn with(data: &Data, node: NodeId, place: usize, number: f32) -> Data {
    let mut data = data.clone();
    let mut values = data[&node].to_vec();
    values[place] = number;
    let tensor = HostTensor::new(data[&node].shape().clone(), HostData::F32(values)).expect("it has as many elements");
    data.insert(node, tensor);
    data
}

/// Sweeps a case on a device: what it was fed, and in what it differs.
fn differences(case: &Case, device: &Device, generator: &mut Generator) -> BTreeSet<(&'static str, String)> {
    let g = Graph::new();
    let recorded = RecordedCase::new(case, &g).unwrap_or_else(|error| panic!("{error}"));
    let clean = recorded.draw(case, generator);
    let results = recorded.results();
    let ids: Vec<TensorId> = results.iter().map(|result| result.id()).collect();
    let params = Params::seeded(0);
    let mut step = g.infer(&results).compile(device, &params).unwrap_or_else(|error| panic!("{error}"));
    // Kernels give NaN for sines of numbers so large that their place within a period is not known.
    let turns = g.recording().nodes.iter().any(|node| ["sin", "cos"].contains(&node.name()));
    let mut found = BTreeSet::new();
    let mut runs = 0;
    let floats: Vec<NodeId> = recorded
        .inputs
        .iter()
        .map(|input| input.id().node)
        .filter(|node| matches!(clean[node].data(), HostData::F32(_)))
        .collect();
    for (name, number) in HOSTILE {
        for &node in &floats {
            let place = generator.below(clean[&node].shape().elements());
            let data = with(&clean, node, place, number);
            let feeds: Vec<_> = recorded.inputs.iter().map(|input| input.feed(&data[&input.id().node])).collect();
            step.run(feeds).unwrap_or_else(|error| panic!("{error}"));
            runs += 1;
            let seed = threefry([0, 0], [runs, 0x5354_4550]);
            let mut wanted = vec![reference::<f32>(&g, &ids, &data, seed), reference::<f64>(&g, &ids, &data, seed)];
            if name.ends_with("denormal") {
                let zero = with(&clean, node, place, 0.0_f32.copysign(number));
                wanted.push(reference::<f32>(&g, &ids, &zero, seed));
            }
            for (output, &result) in results.iter().enumerate() {
                let got = match step.read(result) {
                    Ok(got) => got.to_vec(),
                    // An index that was computed of it is refused, which is what it should be.
                    Err(error) if error.kind() == ErrorKind::Index => continue,
                    Err(error) => panic!("{error}"),
                };
                let greatest =
                    wanted[0][output].iter().filter(|x| x.is_finite()).fold(0.0f32, |most, x| most.max(x.abs()));
                for (element, &got) in got.iter().enumerate() {
                    let all: Vec<f32> = wanted.iter().map(|wanted| wanted[output][element]).collect();
                    let overflows = number.abs() >= 1e38 && number.is_finite();
                    // Drivers reassociate, as WGSL allows: what is not finite may become another that is not.
                    let loose = overflows || !device.is_cpu();
                    let same = all.iter().any(|&want| {
                        kind(want) == kind(got)
                            || (loose && !want.is_finite() && !got.is_finite())
                            || (overflows && !got.is_finite() && want.abs() > 1e33)
                            || (overflows && turns && got.is_nan())
                    });
                    // Numbers beside what is not finite are what they would be without.
                    let near = |want: f32| (got - want).abs() <= 1e-3 * want.abs() + 1e-4 * greatest;
                    let close = number.is_finite() || !got.is_finite() || all.iter().any(|&want| near(want));
                    if !same || !close {
                        found.insert((name, format!("output {output} is {got:e} for {all:?}")));
                        break;
                    }
                }
            }
        }
    }
    found
}

fn sweep(name: &'static str) {
    let Some(device) = device(name) else { return };
    let seed = std::env::var("RETROGRAD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |time| time.subsec_nanos().into())
    });
    let only = std::env::var("RETROGRAD_TEST_OP").ok();
    let mut table = Vec::new();
    for op in OPS.iter().filter(|op| only.as_ref().is_none_or(|only| only == op.name)) {
        for case in (op.cases)() {
            let elements: usize = case.inputs.iter().map(|input| input.shape.elements()).sum();
            if elements > if device.is_cpu() { 10 * SMALL } else { SMALL } {
                continue;
            }
            for (fed, difference) in differences(&case, device, &mut Generator::named(seed, &case.name)) {
                let known =
                    UNSEEN.contains(&(op.name, case.name.as_str())) && fed != "-0" && !fed.ends_with("denormal");
                if !known {
                    table.push(format!("{:<14} {:<32} {fed:<10} {difference}", op.name, case.name));
                }
            }
        }
    }
    assert!(table.is_empty(), "{name}, RETROGRAD_TEST_SEED={seed}: {} differences\n{}", table.len(), table.join("\n"));
}

#[test]
fn hostile_numbers_on_the_host() {
    sweep("cpu");
}

#[test]
fn hostile_numbers_on_vulkan() {
    sweep("vulkan");
}

#[test]
fn hostile_numbers_on_gl() {
    sweep("gl");
}

/// A step takes as many elements as its input has, and neither more nor fewer, nor none.
#[test]
fn feeds_of_another_length_are_refused() {
    let g = Graph::new();
    let x = g.input("x", [2, 3]);
    let mut step = g.infer(&[x.sum(..)]).compile(&Device::cpu(), &Params::seeded(0)).expect("it is right");
    for length in [0, 1, 5, 7, 1 << 16] {
        let error = step.run([x.feed(&vec![0.5f32; length])]).expect_err("it takes 6 elements");
        assert_eq!(error.kind(), ErrorKind::Feed, "{error}");
        assert!(error.to_string().contains(&format!("it takes 6 elements and was fed {length}")), "{error}");
    }
    for rows in [0, 1, 3] {
        let error = step.run([x.feed(&ndarray::Array2::<f32>::zeros((rows, 3)))]).expect_err("it has two rows");
        assert!(error.to_string().contains(&format!("it was fed an array of shape [{rows}, 3]")), "{error}");
    }
    assert!(!g.input("empty", [0, 3]).is_valid(), "a batch of no rows is refused when it is recorded");
}
