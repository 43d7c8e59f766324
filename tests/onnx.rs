//! The tests of single ops that the Python package `onnx` brings along, on the reference, the CPU device and Vulkan.
//!
//! `scripts/fetch_onnx_tests.sh` fetches them into `target/onnx-tests`; `RETROGRAD_ONNX_TESTS` names another folder. What
//! the crate cannot say is listed by reason, in a file that is compared (`tests/onnx/not_supported.md`).

#[path = "onnx/call.rs"]
mod call;
mod common;
#[path = "onnx/data.rs"]
mod data;
#[path = "onnx/model.rs"]
mod model;
#[path = "onnx/ops/mod.rs"]
mod ops;
#[path = "onnx/optimizers.rs"]
mod optimizers;
#[path = "onnx/proto.rs"]
mod proto;
#[path = "onnx/recorder.rs"]
mod recorder;
#[path = "onnx/report.rs"]
mod report;

use common::{Distance, device, on_device, on_reference, within};
use data::{Data, Kind, Stop};
use libtest_mimic::{Arguments, Failed, Trial};
use model::Test;
use optimizers::Trained;
use recorder::{Names, Recorder, Val};
use report::Report;
use retrograd::record::NodeId;
use retrograd::{Graph, HostTensor, Tensor};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

const ENGINES: [&str; 3] = ["reference", "cpu", "vulkan"];

fn main() {
    let arguments = Arguments::from_args();
    let Some(folder) = folder() else { return };
    let report: &'static Report = Box::leak(Box::new(Report::default()));
    let mut trials = Vec::new();
    for path in folders(&folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().trim_start_matches("test_").to_owned();
        // Recorded once to see whether everything can be said, and once more by every trial, as graphs stay on a thread.
        let test = model::read(&path).and_then(|test| {
            let g = Graph::new();
            let sayable = record(&g, &test).map(|_| ());
            match sayable {
                Err(Stop::Lacks(reason)) => Err(Stop::Lacks(reason)),
                // What fails while recording fails as a trial.
                _ => Ok(test),
            }
        });
        match test {
            Ok(test) => {
                let test = Arc::new(test);
                report.ran(&test);
                for engine in ENGINES {
                    let missing = engine == "vulkan" && device(engine).is_none();
                    let own = Arc::clone(&test);
                    let run = move || check(&own, engine, report);
                    trials.push(Trial::test(format!("onnx_{engine}::{name}"), run).with_ignored_flag(missing));
                    if Trained::of(&test).is_some() {
                        let name = format!("onnx_{engine}::{name}_by_the_optimizer");
                        let test = Arc::clone(&test);
                        let run = move || check_optimizer(&test, engine);
                        trials.push(Trial::test(name, run).with_ignored_flag(missing));
                    }
                }
            }
            Err(Stop::Lacks(reason)) => report.lacks(reason, name),
            Err(Stop::Fails(reason)) => {
                trials.push(Trial::test(format!("onnx::{name}"), move || Err(Failed::from(reason))));
            }
        }
    }
    trials.push(Trial::test("onnx::the_list_of_what_is_not_supported_is_what_it_was", || report.compare()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        report.print();
    }
    conclusion.exit();
}

/// Where the tests are. Without them nothing runs, which is said past the capture of test output; where everything has to
/// run, that is a failure.
fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("RETROGRAD_ONNX_TESTS");
    let folder = given.map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/target/onnx-tests").into(), PathBuf::from);
    if folder.join("node").is_dir() {
        return Some(folder);
    }
    let message = format!("there are no ONNX tests in {}: run scripts/fetch_onnx_tests.sh", folder.display());
    assert!(std::env::var_os("RETROGRAD_TEST_ONNX").is_none(), "RETROGRAD_TEST_ONNX is set, and {message}");
    let _ = writeln!(std::io::stderr(), "\n*** NOT RUN: {message}\n");
    None
}

/// The tests of single ops, and the models that differentiate.
fn folders(folder: &std::path::Path) -> Vec<PathBuf> {
    let list = |part: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder.join(part)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let named =
        |path: &PathBuf, start: &str| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let mut all: Vec<PathBuf> = list("node").into_iter().filter(|path| named(path, "test_")).collect();
    all.extend(list("simple").into_iter().filter(|path| named(path, "test_gradient_of_")));
    all.sort();
    all
}

/// The outputs of a test in a recording, and what its inputs are fed with.
type Recorded<'g> = (Vec<Val<'g>>, Vec<(Tensor<'g>, HostTensor)>);

fn record<'g>(g: &'g Graph, test: &Test) -> Result<Recorded<'g>, Stop> {
    let recorder = Recorder::new(g, test.versions.clone(), test.is_single().then(|| test.op()));
    let mut names = Names::new();
    for (input, data) in test.graph.inputs.iter().zip(&test.inputs) {
        names.insert(input.name.clone(), recorder.feed(&input.name, data));
    }
    recorder.record(&test.graph, &mut names)?;
    let outputs = Recorder::outputs(&test.graph, &names)?;
    for output in &outputs {
        if output.shape().contains(&0) {
            return data::lacks("tensors without elements");
        }
        let fed = |tensor: Tensor<'_>| recorder.feeds.borrow().iter().any(|(input, _)| input.id() == tensor.id());
        if output.tensor().is_none_or(fed) {
            return data::lacks("nothing to compute: the result is what is fed, or known when the graph is recorded");
        }
    }
    if outputs.len() != test.outputs.len() {
        return Err(Stop::Fails(format!("{} outputs, and {} are expected", outputs.len(), test.outputs.len())));
    }
    Ok((outputs, recorder.feeds.take()))
}

/// Runs a test on an engine, and compares type, shape and elements of every output.
fn check(test: &Test, engine: &'static str, report: &Report) -> Result<(), Failed> {
    let g = Graph::new();
    let (outputs, feeds) = match record(&g, test) {
        Ok(recorded) => recorded,
        Err(Stop::Lacks(reason) | Stop::Fails(reason)) => return Err(reason.into()),
    };
    let wanted: Vec<Tensor<'_>> = outputs.iter().filter_map(Val::tensor).collect();
    let got = if engine == "reference" {
        let fed: BTreeMap<NodeId, HostTensor> =
            feeds.iter().map(|(input, data)| (input.id().node, data.clone())).collect();
        on_reference(&g, &wanted, &fed, [0, 0])
    } else {
        on_device(device(engine).ok_or("the device is missing")?, &g, &wanted, &feeds)
    };
    let mut worst = Distance::default();
    for (number, ((output, got), want)) in outputs.iter().zip(&got).zip(&test.outputs).enumerate() {
        let name = &test.graph.outputs[number].name;
        if output.kind != want.kind || output.shape() != want.shape {
            let (kind, shape) = (output.kind, output.shape());
            return Err(format!("{name}: {kind:?}{shape:?}, and {:?}{:?} is expected", want.kind, want.shape).into());
        }
        worst = worst.join(compare(test, name, got, want)?);
    }
    report.passed(test, engine, worst);
    Ok(())
}

/// The same for one step of the crate's own optimizer.
fn check_optimizer(test: &Test, engine: &'static str) -> Result<(), Failed> {
    let trained = Trained::of(test).ok_or("the optimizer is not known")?;
    let pairs = if engine == "reference" { trained.on_reference()? } else { trained.on_device(engine)? };
    for (name, got, want) in &pairs {
        compare(test, name, got, want)?;
    }
    Ok(())
}

/// How far elements lie from those that are expected, or that they lie too far.
fn compare(test: &Test, name: &str, got: &[f64], want: &Data) -> Result<Distance, Failed> {
    let distance = match want.kind {
        Kind::Float => distance(test, got, &want.values),
        // Numbers of things are what they are.
        Kind::Int | Kind::Bool => within(got, &want.values, |_, _| 0.0),
    };
    if distance.excess <= 1.0 {
        return Ok(distance);
    }
    let first = |values: &[f64]| format!("{:?}", &values[..values.len().min(8)]);
    Err(format!("{name}: {distance:?}\n  got  {}\n  want {}", first(got), first(&want.values)).into())
}

/// Tests whose expected values are written with four digits.
const ROUNDED: [&str; 2] = ["averagepool_2d_ceil_last_window_starts_on_pad", "gridsample_bicubic"];

/// What the package's runner allows, 1e-3 |want| + 1e-7; and where expected values are right to single precision, which is
/// all but where they were rounded by hand, also 2e-5 |want| + 2e-6 max|want|, as for the golden set.
fn distance(test: &Test, got: &[f64], want: &[f64]) -> Distance {
    let runner = within(got, want, |want, _| 1e-3 * want + 1e-7);
    if ROUNDED.contains(&test.name.as_str()) {
        // What was rounded by hand says nothing of errors.
        return Distance { relative: 0.0, ..runner };
    }
    runner.join(within(got, want, |want, greatest| 2e-5 * want + 2e-6 * greatest))
}
