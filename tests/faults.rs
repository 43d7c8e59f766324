//! Every point at which a device can fail, one after another: each ends in an error that names it, and training goes on.

mod common;

use common::device;
use retrograd::optim::Adam;
use retrograd::schedule::{Cosine, Schedule};
use retrograd::{Device, Error, ErrorKind, Failure, Graph, HostData, HostTensor, Params, Result, Snapshot, State, nn};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows of the dataset, its columns, and those of a batch.
const ROWS: usize = 24;
const COLUMNS: usize = 3;
const BATCH: usize = 4;
/// Elements of an input that is copied to the device in one piece of more than a megabyte.
const WIDE: usize = 300_000;

fn rows() -> Vec<f32> {
    (0..ROWS * COLUMNS).map(|i| (i as f32 * 0.7).sin()).collect()
}

fn labels() -> Vec<i32> {
    (0..ROWS as i32).map(|i| i % 2).collect()
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

/// Everything that allocates, from a state to a checkpoint. Returns the bits of everything that was read.
fn use_everything(device: &Device) -> Result<Vec<u32>> {
    let mut got = Vec::new();
    let mut params = Params::seeded(3);
    let layer = nn::Linear::new(&mut params, "layer", COLUMNS, 2);
    let state = State::new(device, &params)?;
    let g = Graph::new();
    let (x, y) = (g.input("x", [BATCH, COLUMNS]), g.labels("y", [BATCH]));
    let scores = layer.forward(x);
    let loss = scores.cross_entropy(y);
    let training = g.train(loss, Adam::new(0.05)).clip_norm(1.0).average(0.9).snapshots(2);
    let mut step = training.dataset([x.feed(&rows()), y.feed(&labels())]).compile_on(&state)?;
    step.run([])?;
    got.extend(bits(step.read(loss)?.to_vec()));
    step.run_many(3, [])?;
    got.extend(bits(step.read_history(loss)?.to_vec()));
    got.push(step.read_gradient_norm()?.to_bits());
    if device.name().contains("vulkan") {
        step.profile([])?;
    }
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let file = folder.path().join("step.safetensors");
    step.save(&file)?;
    step.load(&file)?;
    let h = Graph::evaluation();
    let (one, wide) = (h.input("one", [1, COLUMNS]), h.input("wide", [WIDE]));
    let score = layer.forward(one).sum(..) + wide.sum(..);
    let mut evaluation = h.infer(&[score]).with_average().compile_on(step.state())?;
    evaluation.run([one.feed(&[0.1f32, 0.2, 0.3]), wide.feed(&vec![0.5f32; WIDE])])?;
    got.extend(bits(evaluation.read(score)?.to_vec()));
    state.set_parameter("layer.weight", state.parameter("layer.weight")?)?;
    state.reset_optimizer()?;
    got.extend(bits(state.average("layer.bias")?.to_vec()));
    Ok(got)
}

/// Lets a failure strike at every point of [`use_everything`], one after another. Returns how many there were.
fn strike_everywhere(name: &'static str, failure: Failure, is_right: impl Fn(&Error) -> bool) -> Option<u32> {
    let first = device_of_its_own(name)?;
    let undisturbed = use_everything(&first).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut device = first;
    let (mut lost, mut kept) = (0, 0);
    for number in 0.. {
        device.fail_at(failure, number);
        let outcome = use_everything(&device);
        let (has_struck, _) = device.has_failed();
        if !has_struck {
            assert_eq!(
                outcome.unwrap_or_else(|error| panic!("{name}: nothing struck at {number}: {error}")),
                undisturbed
            );
            eprintln!(
                "{name}: {failure:?}: {number} points, {number} errors; the device went on after {kept}, was lost at {lost}"
            );
            return Some(number);
        }
        let error = outcome.expect_err(&format!("{name}: {failure:?} at {number} is an error"));
        eprintln!("  {number:3} {:?}: {error}", error.kind());
        assert!(is_right(&error), "{name}: {failure:?} at {number}: {:?}: {error}", error.kind());
        if error.kind() == ErrorKind::DeviceLost {
            let error = use_everything(&device).expect_err("a lost device stays lost");
            assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
            device = device.reopen().unwrap();
            lost += 1;
        } else {
            kept += 1;
        }
        let again = use_everything(&device);
        assert_eq!(again.unwrap_or_else(|error| panic!("{name}: after {number}: {error}")), undisturbed, "{name}");
    }
    None
}

/// A device that no other test uses, where the adapter is there.
fn device_of_its_own(name: &'static str) -> Option<Device> {
    device(name).map(|device| device.reopen().unwrap())
}

#[test]
fn every_allocation_without_memory_is_an_error_that_names_it() {
    for name in ["vulkan", "gl"] {
        let is_right = |error: &Error| {
            let text = error.to_string();
            let names = text.contains("allocating ") || text.contains(" bytes of ");
            match error.kind() {
                ErrorKind::OutOfMemory => names && text.contains("Out of Memory") && text.contains("goes on"),
                // What wgpu allocates by itself: it loses the device.
                ErrorKind::DeviceLost => names && text.contains("Not enough memory") && text.contains("Step::recover"),
                _ => false,
            }
        };
        let points = strike_everywhere(name, Failure::OutOfMemory, is_right);
        assert!(points.is_none_or(|points| points > 60), "{points:?}");
    }
}

#[test]
fn a_loss_at_every_submission_is_an_error_that_tells_what_was_done() {
    for name in ["vulkan", "gl"] {
        let is_right = |error: &Error| {
            let text = error.to_string();
            error.kind() == ErrorKind::DeviceLost
                && ["reading ", "running ", "allocating "].iter().any(|done| text.contains(done))
                && text.contains("a test wanted it")
        };
        let points = strike_everywhere(name, Failure::Lost, is_right);
        assert!(points.is_none_or(|points| points > 10), "{points:?}");
    }
}

#[test]
fn a_loss_tells_in_which_steps_of_the_state_it_was() {
    for name in ["vulkan", "gl"] {
        for many in [false, true] {
            let Some(device) = device_of_its_own(name) else { continue };
            let mut params = Params::seeded(3);
            let layer = nn::Linear::new(&mut params, "layer", COLUMNS, 2);
            let g = Graph::new();
            let x = g.input("x", [BATCH, COLUMNS]);
            let loss = layer.forward(x).square().mean(..);
            let mut step = g.train(loss, Adam::new(0.05)).compile(&device, &params).unwrap();
            let data = [0.5f32; BATCH * COLUMNS];
            for _ in 0..3 {
                step.run([x.feed(&data)]).unwrap();
            }
            device.destroy();
            let ran = if many { step.run_many(5, [x.feed(&data)]) } else { step.run([x.feed(&data)]) };
            let error = ran.unwrap_err();
            let place = if many { "running steps 4 to" } else { "running step 4: " };
            assert_eq!(error.kind(), ErrorKind::DeviceLost, "{name}: {error}");
            assert!(
                error.to_string().starts_with(place) && error.to_string().matches("running").count() == 1,
                "{error}"
            );
        }
    }
}

#[test]
fn every_map_that_fails_is_an_error_and_the_device_goes_on() {
    for name in ["vulkan", "gl"] {
        let is_right = |error: &Error| error.kind() == ErrorKind::Driver && error.to_string().contains("mapping ");
        let points = strike_everywhere(name, Failure::Map, is_right);
        assert!(points.is_none_or(|points| points > 10), "{points:?}");
    }
}

#[test]
fn every_kernel_that_is_rejected_is_named_and_the_device_goes_on() {
    for name in ["vulkan", "gl"] {
        let is_right =
            |error: &Error| error.kind() == ErrorKind::Driver && error.to_string().contains("compiling kernel `");
        let points = strike_everywhere(name, Failure::Kernel, is_right);
        assert!(points.is_none_or(|points| points > 5), "{points:?}");
    }
}

#[test]
fn a_loss_in_the_midst_of_a_wait_is_an_error() {
    for name in ["vulkan", "gl"] {
        let Some(mut device) = device_of_its_own(name) else { continue };
        for number in 0..8 {
            device.fail_at(Failure::Poll, number);
            let error = use_everything(&device).expect_err("it is lost");
            assert!(device.has_failed().0);
            assert_eq!(error.kind(), ErrorKind::DeviceLost, "{name}: {number}: {error}");
            assert!(error.to_string().contains("asked what is done"), "{name}: {number}: {error}");
            assert_eq!(use_everything(&device).unwrap_err().kind(), ErrorKind::DeviceLost);
            device = device.reopen().unwrap();
        }
        use_everything(&device).unwrap();
    }
}

#[test]
fn a_device_that_hangs_is_given_up_in_time() {
    for name in ["vulkan", "gl"] {
        let Some(mut device) = device_of_its_own(name) else { continue };
        for number in [0, 1, 5, 10] {
            device.set_watchdog(Duration::from_millis(300));
            device.fail_at(Failure::Hang, number);
            let error = use_everything(&device).expect_err("it hangs");
            assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
            let text = error.to_string();
            assert!(text.contains("not answered for 0.3 s") && text.contains("set_watchdog"), "{text}");
            eprintln!("{name}: {text}");
            // It is given up: nothing waits for it again.
            let begin = std::time::Instant::now();
            assert_eq!(use_everything(&device).unwrap_err().kind(), ErrorKind::DeviceLost);
            assert_eq!(device.wait().unwrap_err().kind(), ErrorKind::DeviceLost);
            assert!(begin.elapsed() < Duration::from_millis(300));
            device = device.reopen().unwrap();
            device.set_watchdog(Duration::from_secs(600));
            use_everything(&device).unwrap();
        }
    }
}

/// What a training comes to, and how often it was recovered.
#[derive(Debug)]
struct Trained {
    losses: Vec<u32>,
    weights: Vec<u32>,
    recoveries: u32,
}

const STEPS: usize = 15;

/// A training with everything that goes on from step to step: dropout, a schedule, averages, gradients that are added up,
/// passes over data. Goes on after every error: from a snapshot where the device was lost, and else by trying again.
fn train(mut device: Device, file: &std::path::Path) -> Result<Trained> {
    let mut params = Params::seeded(5);
    let (up, down) = (nn::Linear::new(&mut params, "up", COLUMNS, 6), nn::Linear::new(&mut params, "down", 6, 2));
    let g = Graph::new();
    let (x, y) = (g.input("x", [BATCH, COLUMNS]), g.labels("y", [BATCH]));
    let loss = down.forward(up.forward(x).relu().dropout(0.3)).cross_entropy(y);
    let training = || {
        let training = g.train(loss, Adam::new(0.05)).schedule(Cosine::new(10).after_warmup(2)).average(0.9);
        training.accumulate(2).snapshots(3).dataset([x.feed(&rows()), y.feed(&labels())])
    };
    let mut step = match training().compile(&device, &params) {
        Ok(step) => step,
        Err(error) => {
            if error.kind() == ErrorKind::DeviceLost {
                device = device.reopen()?;
            }
            training().compile(&device, &params)?
        }
    };
    let (mut losses, mut recoveries, mut read) = (vec![0; STEPS], 0, 0);
    while read < STEPS {
        let mut advance = || -> Result<()> {
            let done = step.state().steps() as usize;
            // What was run and not read yet is read first.
            if read == done {
                match done % 5 {
                    0 | 1 => step.run([])?,
                    2 => step.set_learning_rate(0.04).and_then(|()| step.run([]))?,
                    _ => step.run_many(2, [])?,
                }
            }
            let done = step.state().steps() as usize;
            let values = if done - read == 1 { step.read(loss)? } else { step.read_history(loss)? };
            losses[read..done].copy_from_slice(&bits(values.to_vec()));
            if done == 6 {
                step.save(file)?;
            }
            read = done;
            Ok(())
        };
        match advance() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::DeviceLost => {
                device = device.reopen()?;
                step.recover(&device)?;
                read = step.state().steps() as usize;
                recoveries += 1;
            }
            Err(error) if matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::Driver) => recoveries += 1,
            Err(error) => return Err(error),
        }
    }
    let weights = |step: &retrograd::Step| -> Result<Vec<u32>> {
        let mut all = bits(step.state().parameter("up.weight")?.to_vec());
        all.extend(bits(step.state().average("down.weight")?.to_vec()));
        Ok(all)
    };
    let weights = match weights(&step) {
        Ok(weights) => weights,
        Err(error) => {
            eprintln!("  reading the weights: {error}");
            if error.kind() == ErrorKind::DeviceLost {
                step.recover(&device.reopen()?)?;
                while (step.state().steps() as usize) < STEPS {
                    step.run([])?;
                }
            }
            recoveries += 1;
            weights(&step)?
        }
    };
    Ok(Trained { losses, weights, recoveries })
}

/// Lets a failure strike at points of a training, and compares with one that was not disturbed.
fn recover_everywhere(failure: Failure, every: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("step.safetensors");
    for name in ["vulkan", "gl"] {
        let Some(device) = device_of_its_own(name) else { continue };
        let undisturbed = train(device.clone(), &file).unwrap();
        assert_eq!(undisturbed.recoveries, 0);
        for (struck, number) in (0..).step_by(every).enumerate() {
            let device = device.reopen().unwrap();
            if failure == Failure::Hang {
                device.set_watchdog(Duration::from_millis(500));
            }
            device.fail_at(failure, number);
            let trained = train(device.clone(), &file).unwrap_or_else(|error| panic!("{name}: at {number}: {error}"));
            let (has_struck, _) = device.has_failed();
            assert_eq!(trained.losses, undisturbed.losses, "{name}: {failure:?} at {number}");
            assert_eq!(trained.weights, undisturbed.weights, "{name}: {failure:?} at {number}");
            if !has_struck {
                assert_eq!(trained.recoveries, 0);
                eprintln!(
                    "{name}: {failure:?}: struck at {struck} points, every {every}. of {number}, each with the same losses and weights"
                );
                break;
            }
        }
    }
}

#[test]
fn a_training_that_loses_its_device_goes_on_to_the_same_bits() {
    recover_everywhere(Failure::Lost, 1);
}

#[test]
fn a_training_whose_device_hangs_goes_on_to_the_same_bits() {
    recover_everywhere(Failure::Hang, 11);
}

#[test]
fn a_training_that_finds_no_memory_goes_on_to_the_same_bits() {
    recover_everywhere(Failure::OutOfMemory, 3);
}

/// Everything that a state holds and counts, in order.
fn held(state: &State) -> (BTreeMap<String, Vec<u8>>, BTreeMap<String, String>) {
    let bytes = pollster::block_on(state.to_safetensors()).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = tensors.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    (tensors, metadata.metadata().clone().unwrap().into_iter().collect())
}

/// The order of a pass over many rows is more than a megabyte, which a device may refuse and go on.
#[test]
fn an_order_that_finds_no_memory_is_sent_again_and_steps_before_it_count() {
    const MANY: usize = 300_000;
    for name in ["vulkan", "gl"] {
        let Some(device) = device_of_its_own(name) else { continue };
        let data: Vec<f32> = (0..MANY).map(|i| (i as f32 * 0.37).sin()).collect();
        let run = |failing: Option<u32>| {
            let mut params = Params::seeded(5);
            let w = params.add("w", [1], retrograd::Init::Constant(1.0));
            let g = Graph::new();
            let x = g.input("x", [MANY / 2]);
            let loss = (x * g.param(&w) - 0.5).square().mean(..);
            let mut step = g.train(loss, Adam::new(0.1)).dataset([x.feed(&data)]).compile(&device, &params).unwrap();
            failing.inspect(|&number| device.fail_at(Failure::OutOfMemory, number));
            // Two steps of one pass, and one of the next.
            let first = step.run_many(3, []);
            let done = step.state().steps();
            let (has_struck, _) = device.has_failed();
            assert_eq!(first.as_ref().map_or_else(Error::kind, |()| ErrorKind::OutOfMemory), ErrorKind::OutOfMemory);
            if done < 3 {
                step.run_many(3 - done, []).unwrap();
            }
            (bits(step.state().parameter("w").unwrap().to_vec()), has_struck.then_some(done))
        };
        let (undisturbed, none) = run(None);
        assert_eq!(none, None);
        // The histories of the loss; the order of either pass.
        let mut done = Vec::new();
        for number in [0, 1, 4] {
            let (weights, at) = run(Some(number));
            assert_eq!(weights, undisturbed, "{name}: {number}");
            done.extend(at);
        }
        assert!(done.contains(&0) && done.contains(&2), "{name}: {done:?}");
    }
}

#[test]
fn a_snapshot_is_the_state_on_every_device() {
    let mut params = Params::seeded(5);
    let layer = nn::Linear::new(&mut params, "layer", COLUMNS, 2);
    let g = Graph::new();
    let x = g.input("x", [BATCH, COLUMNS]);
    let loss = layer.forward(x).square().mean(..);
    let row: Vec<f32> = (0..BATCH * COLUMNS).map(|i| i as f32 * 0.1).collect();
    let mut step = g.train(loss, Adam::new(0.05)).compile(&Device::cpu(), &params).unwrap();
    step.run_many(3, [x.feed(&row)]).unwrap();
    let snapshot: Snapshot = step.state().snapshot().unwrap();
    let saved = held(step.state());
    for device in common::devices() {
        let state = snapshot.restore(&device).unwrap();
        assert_eq!((state.steps(), snapshot.steps()), (3, 3));
        assert_eq!(held(&state), saved, "{}", device.name());
        // A step moves there, and is the same step.
        let mut moved = g.train(loss, Adam::new(0.05)).compile(&device, &params).unwrap();
        moved.rebuild_on(&state).unwrap();
        moved.run([x.feed(&row)]).unwrap();
        assert_eq!((moved.state().steps(), step.state().steps()), (4, 3));
    }
    step.run([x.feed(&row)]).unwrap();
    // On the host nothing is lost, and recovering goes back all the same.
    step.take_snapshot().unwrap();
    let at_snapshot = step.state().parameter("layer.weight").unwrap();
    step.set_learning_rate(0.5).unwrap();
    step.run_many(2, [x.feed(&row)]).unwrap();
    step.recover(&Device::cpu()).unwrap();
    assert_eq!(step.state().parameter("layer.weight").unwrap(), at_snapshot);
    assert_eq!((step.state().steps(), step.learning_rate()), (4, Some(0.05)));
}

#[test]
fn evaluations_are_brought_along() {
    for name in ["vulkan", "gl"] {
        let Some(device) = device_of_its_own(name) else { continue };
        let mut params = Params::seeded(5);
        let layer = nn::Linear::new(&mut params, "layer", COLUMNS, 2);
        let g = Graph::new();
        let x = g.input("x", [BATCH, COLUMNS]);
        let loss = layer.forward(x).square().mean(..);
        let row: Vec<f32> = (0..BATCH * COLUMNS).map(|i| i as f32 * 0.1).collect();
        let mut step = g.train(loss, Adam::new(0.05)).average(0.9).snapshots(1).compile(&device, &params).unwrap();
        let h = Graph::evaluation();
        let one = h.input("one", [1, COLUMNS]);
        let score = layer.forward(one).sum(..);
        let mut evaluation = h.infer(&[score]).with_average().compile_on(step.state()).unwrap();
        step.run_many(2, [x.feed(&row)]).unwrap();
        let evaluate = |evaluation: &mut retrograd::Step| -> Result<f32> {
            evaluation.run([one.feed(&[1.0f32, 2.0, 3.0])])?;
            Ok(evaluation.read(score)?.item())
        };
        step.take_snapshot().unwrap();
        let before = evaluate(&mut evaluation).unwrap();
        device.destroy();
        let device = device.reopen().unwrap();
        step.recover(&device).unwrap();
        let error = evaluate(&mut evaluation).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
        let error = evaluation.recover(&device).unwrap_err();
        assert!(error.to_string().contains("rebuild_on(training.state())"), "{error}");
        evaluation.rebuild_on(step.state()).unwrap();
        assert_eq!(evaluate(&mut evaluation).unwrap(), before, "{name}");
    }
}

#[test]
fn what_cannot_be_recovered_says_why() {
    let device = Device::cpu();
    let mut params = Params::seeded(5);
    let layer = nn::Linear::new(&mut params, "layer", COLUMNS, 2);
    let g = Graph::new();
    let (x, y) = (g.input("x", [BATCH, COLUMNS]), g.labels("y", [BATCH]));
    let loss = layer.forward(x).cross_entropy(y);
    let error = g.train(loss, Adam::new(0.05)).snapshots(0).compile(&device, &params).unwrap_err();
    assert!(error.to_string().contains("`Training::snapshots` is 0"), "{error}");
    let (points, classes) = (rows(), labels());
    let data = [x.feed(&points), y.feed(&classes)];
    let mut step = g.train(loss, Adam::new(0.05)).dataset(data).compile(&device, &params).unwrap();
    let error = step.recover(&device).unwrap_err();
    assert!(error.to_string().contains("Step::take_snapshot"), "{error}");
    step.take_snapshot().unwrap();
    let error = step.recover(&device).unwrap_err();
    assert!(error.to_string().contains("Training::snapshots"), "{error}");
    step.run([]).unwrap();
    let other = State::new(&device, &Params::seeded(5)).unwrap();
    let error = step.rebuild_on(&other).unwrap_err();
    assert!(error.to_string().contains("other parameters"), "{error}");
    // A checkpoint that is loaded is what is gone back to, not what was there before.
    let data = [x.feed(&points), y.feed(&classes)];
    let mut step = g.train(loss, Adam::new(0.05)).dataset(data).snapshots(1000).compile(&device, &params).unwrap();
    step.run([]).unwrap();
    step.state().set_parameter("layer.bias", HostTensor::new([2], HostData::F32(vec![7.0, 8.0])).unwrap()).unwrap();
    step.run([]).unwrap();
    step.recover(&device).unwrap();
    assert_eq!(step.state().steps(), 1);
    assert_eq!(step.state().parameter("layer.bias").unwrap().to_vec(), [7.0, 8.0]);
    // So it is with what was frozen since.
    step.state().set_frozen("layer.bias", true).unwrap();
    step.run([]).unwrap();
    step.recover(&device).unwrap();
    let mut later = g.train(loss, Adam::new(0.05)).compile_on(step.state()).unwrap();
    later.run([x.feed(&points[..BATCH * COLUMNS]), y.feed(&classes[..BATCH])]).unwrap();
    assert_eq!(step.state().steps(), 2);
    assert_eq!(step.state().parameter("layer.bias").unwrap().to_vec(), [7.0, 8.0]);
}
