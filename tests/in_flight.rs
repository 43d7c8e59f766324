//! What is done while work is under way, by this thread or others: a clear outcome, never a wait without end, never a wrong
//! number.

mod common;

use common::device;
use retrograd::optim::{Adam, Sgd};
use retrograd::{Device, ErrorKind, Graph, HostData, HostTensor, Init, Params, PendingRead, Result, State, Step, nn};
use std::sync::{Arc, Barrier};

/// A device that no other test uses, where the adapter is there.
fn device_of_its_own(name: &'static str) -> Option<Device> {
    device(name).map(|device| device.reopen().unwrap())
}

/// The sum of what is fed and of a weight, which falls by the learning rate with every step.
fn counting<'g>(g: &'g Graph, params: &mut Params) -> (retrograd::Tensor<'g>, retrograd::Tensor<'g>) {
    let w = params.add("w", [1], Init::Constant(100.0));
    let x = g.input("x", [4]);
    (x, (x.sum(..) + g.param(&w).sum(..)).keep())
}

#[test]
fn what_is_read_is_the_value_at_the_time_of_asking() {
    for device in common::devices() {
        let (g, mut params) = (Graph::new(), Params::seeded(1));
        let (x, loss) = counting(&g, &mut params);
        let mut step = g.train(loss, Sgd::new(1.0)).compile(&device, &params).unwrap();
        let mut pending: Vec<(PendingRead, f32)> = Vec::new();
        for i in 0..20 {
            step.run([x.feed(&[i as f32; 4])]).unwrap();
            // The loss, and the weight after the update; the next feed and step do not wait for either.
            pending.push((step.read_async(loss).unwrap(), (4 * i + 100 - i) as f32));
        }
        // Read in another order than asked for, some never, and after the step and its state are gone.
        drop(step);
        pending.truncate(18);
        pending.reverse();
        for (number, (read, wanted)) in pending.into_iter().enumerate() {
            let got = if number % 2 == 0 { read.wait() } else { pollster::block_on(read.finish()) };
            assert_eq!(got.unwrap().item(), wanted, "{}", device.name());
        }
    }
}

#[test]
fn everything_may_be_dropped_while_work_is_under_way() {
    for name in ["vulkan", "gl"] {
        let Some(device) = device_of_its_own(name) else { continue };
        let (g, mut params) = (Graph::new(), Params::seeded(1));
        let (x, loss) = counting(&g, &mut params);
        let mut step = g.train(loss, Sgd::new(1.0)).snapshots(1).compile(&device, &params).unwrap();
        step.run_many(40, [x.feed(&[0.0f32; 4])]).unwrap();
        let state = step.state().clone();
        let history = step.read_history_async(loss).unwrap();
        step.run([x.feed(&[1.0f32; 4])]).unwrap();
        drop(step);
        drop(device);
        // A state, and a read, keep the device.
        assert_eq!(history.wait().unwrap().to_vec(), (0..40).map(|i| (100 - i) as f32).collect::<Vec<f32>>(), "{name}");
        assert_eq!(state.parameter("w").unwrap().to_vec(), [59.0]);
        let snapshot = state.snapshot().unwrap();
        drop(state);
        // The last handle goes while a step is under way.
        let state = snapshot.restore(&device_of_its_own(name).unwrap()).unwrap();
        let mut step = g.train(loss, Sgd::new(1.0)).compile_on(&state).unwrap();
        drop(state);
        step.run_many(40, [x.feed(&[0.0f32; 4])]).unwrap();
    }
}

#[test]
fn whatever_is_done_after_a_device_was_destroyed_is_an_error_at_once() {
    for name in ["vulkan", "gl"] {
        let Some(device) = device_of_its_own(name) else { continue };
        let (g, mut params) = (Graph::new(), Params::seeded(1));
        let (x, loss) = counting(&g, &mut params);
        let mut step = g.train(loss, Adam::new(0.1)).compile(&device, &params).unwrap();
        let feed = [1.0f32; 4];
        step.run_many(3, [x.feed(&feed)]).unwrap();
        let (before, history) = (step.read_async(loss).unwrap(), step.read_history_async(loss).unwrap());
        let begin = std::time::Instant::now();
        device.destroy();
        let folder = tempfile::tempdir().unwrap();
        let outcomes: Vec<(&str, Result<()>)> = vec![
            ("a read that was under way", before.wait().map(drop)),
            ("a history that was under way", pollster::block_on(history.finish()).map(drop)),
            ("run", step.run([x.feed(&feed)])),
            ("run_many", step.run_many(3, [x.feed(&feed)])),
            ("profile", step.profile([x.feed(&feed)]).map(drop)),
            ("read", step.read(loss).map(drop)),
            ("wait", step.wait()),
            ("wait of the device", device.wait()),
            ("save", step.save(folder.path().join("step.safetensors"))),
            ("snapshot", step.take_snapshot()),
            ("parameter", step.state().parameter("w").map(drop)),
            ("set_parameter", step.state().set_parameter("w", HostTensor::new([1], HostData::F32(vec![0.0])).unwrap())),
            ("reset_optimizer", step.state().reset_optimizer()),
            ("a state", State::new(&device, &params).map(drop)),
            ("compile", g.train(loss, Adam::new(0.1)).compile(&device, &params).map(drop)),
            ("compile_on", g.train(loss, Adam::new(0.1)).compile_on(step.state()).map(drop)),
        ];
        for (what, outcome) in outcomes {
            let error = outcome.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::DeviceLost, "{name}: {what}: {error}");
            assert!(error.to_string().contains("destroyed by the program"), "{name}: {what}: {error}");
        }
        assert_eq!(step.state().steps(), 3, "nothing was counted");
        assert!(begin.elapsed().as_secs() < 5);
        // What the device is told twice it is told once.
        device.destroy();
        assert_eq!(step.run([x.feed(&feed)]).unwrap_err().kind(), ErrorKind::DeviceLost);
    }
}

#[test]
fn a_device_that_is_destroyed_by_another_thread_ends_a_training_with_an_error() {
    for name in ["vulkan", "gl"] {
        let Some(device) = device_of_its_own(name) else { continue };
        let begun = Arc::new(Barrier::new(2));
        let (own, there) = (device.clone(), Arc::clone(&begun));
        let training = std::thread::spawn(move || -> Result<()> {
            let (g, mut params) = (Graph::new(), Params::seeded(1));
            let (x, loss) = counting(&g, &mut params);
            let mut step = g.train(loss, Sgd::new(1e-3)).compile(&own, &params)?;
            step.run([x.feed(&[0.0f32; 4])])?;
            there.wait();
            for i in 0..1_000_000 {
                step.run([x.feed(&[0.0f32; 4])])?;
                if i % 7 == 0 {
                    assert!(step.read(loss)?.item() > 0.0);
                }
            }
            Ok(())
        });
        begun.wait();
        std::thread::sleep(std::time::Duration::from_millis(30));
        device.destroy();
        let error = training.join().expect("it does not panic").expect_err("it does not go on");
        assert_eq!(error.kind(), ErrorKind::DeviceLost, "{name}: {error}");
    }
}

#[test]
fn threads_share_a_device_each_with_its_own_numbers_and_errors() {
    for device in common::devices() {
        let threads: Vec<_> = (0..3)
            .map(|own: i32| {
                let device = device.clone();
                std::thread::spawn(move || {
                    let (g, mut params) = (Graph::new(), Params::seeded(1));
                    let (x, loss) = counting(&g, &mut params);
                    let mut step = g.train(loss, Sgd::new(1.0)).compile(&device, &params).unwrap();
                    for i in 0..25 {
                        step.run([x.feed(&[own as f32; 4])]).unwrap();
                        assert_eq!(step.read(loss).unwrap().item(), (4 * own + 100 - i) as f32);
                        // A mistake of one thread is none of another.
                        assert_eq!(step.run([x.feed(&[0.0f32; 3])]).unwrap_err().kind(), ErrorKind::Feed);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// Steps of Adam are told their number: two that took the same one would give other weights.
#[test]
fn threads_that_train_one_state_take_turns() {
    const EACH: u32 = 20;
    for device in common::devices() {
        let mut params = Params::seeded(1);
        let layer = nn::Linear::new(&mut params, "layer", 4, 3);
        let state = State::new(&device, &params).unwrap();
        let compile = |state: &State| -> Step {
            let g = Graph::new();
            let loss = layer.forward(g.full([2, 4], 0.5)).dropout(0.4).square().mean(..);
            g.train(loss, Adam::new(0.01)).compile_on(state).unwrap()
        };
        let mut steps: Vec<Step> = (0..2).map(|_| compile(&state)).collect();
        let saved = std::thread::scope(|scope| {
            for step in &mut steps {
                scope.spawn(move || {
                    for i in 0..EACH / 2 {
                        if i % 2 == 0 { step.run([]).and_then(|()| step.run([])) } else { step.run_many(2, []) }
                            .unwrap();
                    }
                });
            }
            // Meanwhile another thread copies the state: every copy is of a moment between two steps.
            let state = state.clone();
            scope.spawn(move || (0..10).map(|_| state.snapshot().unwrap()).collect::<Vec<_>>()).join().unwrap()
        });
        assert_eq!(state.steps(), 2 * EACH);
        let alone = State::new(&device, &params).unwrap();
        let mut step = compile(&alone);
        let weights = |state: &State| state.parameter("layer.weight").unwrap().to_vec();
        let mut expected = vec![weights(&alone)];
        for _ in 0..2 * EACH {
            step.run([]).unwrap();
            expected.push(weights(&alone));
        }
        assert_eq!(weights(&state), expected[2 * EACH as usize], "{}", device.name());
        for snapshot in saved {
            let restored = snapshot.restore(&Device::cpu()).unwrap();
            assert_eq!(
                weights(&restored),
                expected[snapshot.steps() as usize],
                "{}: {}",
                device.name(),
                snapshot.steps()
            );
        }
    }
}
