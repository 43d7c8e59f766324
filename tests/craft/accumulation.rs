//! Several runs make one update.

use super::{classifier, compare, data, weights};
use crate::common::device;
use pollster::block_on;
use retrograd::optim::{Adam, Sgd};
use retrograd::{Graph, Init, Params, State, Step, nn, schedule};

#[test]
fn accumulated_runs_are_one_step_on_the_large_batch() {
    const PARTS: usize = 4;
    // With an epsilon that keeps the rounding of sums in another order from counting in full where gradients vanish.
    let optimizer = Adam::new(0.05).epsilon(1e-2);
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let (large, small) = (Graph::new(), Graph::new());
        let (mut params, mut others) = (Params::seeded(4), Params::seeded(4));
        let (x, y, loss) = classifier(&large, &mut params, 8 * PARTS);
        let mut whole = large
            .train(loss, optimizer)
            .clip_norm(0.5)
            .average(0.8)
            .layer_norms()
            .schedule(schedule::Exponential::new(0.7))
            .compile(device, &params)
            .unwrap();
        let (sx, sy, loss) = classifier(&small, &mut others, 8);
        let mut parts = small
            .train(loss, optimizer)
            .clip_norm(0.5)
            .average(0.8)
            .layer_norms()
            .schedule(schedule::Exponential::new(0.7))
            .accumulate(PARTS as u32)
            .compile(device, &others)
            .unwrap();
        for update in 0..3 {
            let (rows, labels) = data(8 * PARTS, 100 + update);
            let before = weights(parts.state());
            whole.run([x.feed(&rows), y.feed(&labels)]).unwrap();
            for (place, (rows, labels)) in rows.chunks(8 * 5).zip(labels.chunks(8)).enumerate() {
                let rate = parts.learning_rate().unwrap();
                assert!(
                    (rate - 0.05 * 0.7f64.powi(update as i32)).abs() < 1e-12,
                    "the schedule counts updates: {rate}"
                );
                parts.run([sx.feed(rows), sy.feed(labels)]).unwrap();
                if place + 1 < PARTS {
                    assert_eq!(weights(parts.state()), before, "{name}: nothing changes before the last run");
                }
            }
            compare(&format!("{name}, update {update}"), &weights(parts.state()), &weights(whole.state()));
            let (one, other) = (whole.read_gradient_norm().unwrap(), parts.read_gradient_norm().unwrap());
            assert!((one - other).abs() < 1e-5 * one, "{name}: {one} and {other}");
            for (one, other) in whole.read_layer_norms().unwrap().iter().zip(parts.read_layer_norms().unwrap()) {
                assert!((one.gradient - other.gradient).abs() < 1e-5 * one.gradient.max(1e-3), "{one:?} {other:?}");
            }
            let average = |step: &Step| step.state().average("up.weight").unwrap().to_vec();
            let (one, other) = (average(&whole), average(&parts));
            assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: averages");
        }
        assert_eq!((parts.state().steps(), whole.state().steps()), (12, 3));
    }
}

#[test]
fn accumulation_goes_on_after_a_checkpoint_and_in_replayed_runs() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let mut params = Params::seeded(4);
        let layer = nn::Linear::new(&mut params, "layer", 5, 3);
        let (x, y) = (g.input("x", [8, 5]), g.labels("y", [8]));
        // Dropout shows whether random streams go on as well.
        let loss = layer.forward(x.dropout(0.5)).cross_entropy(y);
        let compile = || g.train(loss, Adam::new(0.05)).accumulate(3).average(0.9).compile(device, &params).unwrap();
        let (rows, labels) = data(8, 1);
        let feeds = [x.feed(&rows), y.feed(&labels)];
        let (mut straight, mut replayed, mut first, mut second) = (compile(), compile(), compile(), compile());
        for _ in 0..8 {
            straight.run(&feeds).unwrap();
        }
        replayed.run_many(5, &feeds).unwrap();
        replayed.run_many(3, &feeds).unwrap();
        // In the middle of an update.
        first.run_many(4, &feeds).unwrap();
        second.state().load_safetensors(&block_on(first.state().to_safetensors()).unwrap()).unwrap();
        second.run_many(4, &feeds).unwrap();
        for other in [&replayed, &second] {
            assert_eq!(weights(other.state()), weights(straight.state()), "{name}");
            let average = |step: &Step| step.state().average("layer.weight").unwrap().to_vec();
            assert_eq!(average(other), average(&straight), "{name}");
            assert_eq!(other.state().steps(), 8);
        }
        // What was begun can be given up: the next three runs make one update, from nothing.
        straight.state().reset_optimizer().unwrap();
        let before = weights(straight.state());
        straight.run_many(2, &feeds).unwrap();
        assert_eq!(weights(straight.state()), before, "{name}");
        straight.run(&feeds).unwrap();
        assert_ne!(weights(straight.state()), before, "{name}");
    }
}

/// The mean of all gradients that were added up, also where another step with another number of runs goes on.
#[test]
fn an_update_may_be_finished_by_a_step_of_other_runs() {
    let mut params = Params::seeded(1);
    let w = params.add("w", [3], Init::Zeros);
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        for (runs, begun, others, more) in [(4, 3, 2, 1), (2, 1, 4, 3), (5, 2, 3, 1), (3, 1, 3, 2)] {
            let state = State::new(device, &params).unwrap();
            let g = Graph::new();
            let x = g.input("x", [3]);
            let loss = (g.param(&w) * x).sum(..);
            let compile = |runs: u32| g.train(loss, Sgd::new(1.0)).accumulate(runs).compile_on(&state).unwrap();
            let (mut first, mut second) = (compile(runs), compile(others));
            for update in 0..2u8 {
                let before = state.parameter("w").unwrap().to_vec();
                let fed = |run: u8| [f32::from(run) + 1.0, -2.0, f32::from(run * run) - f32::from(update)];
                for run in 0..begun + more {
                    assert_eq!(
                        state.parameter("w").unwrap().to_vec(),
                        before,
                        "{name}: nothing changes before the last"
                    );
                    let step = if run < begun { &mut first } else { &mut second };
                    step.run([x.feed(&fed(run))]).unwrap();
                }
                for (place, (now, before)) in state.parameter("w").unwrap().to_vec().iter().zip(before).enumerate() {
                    let mean = (0..begun + more).map(|run| fed(run)[place]).sum::<f32>() / f32::from(begun + more);
                    assert!((before - now - mean).abs() < 1e-5, "{name} {runs} {others}: {before} {now} {mean}");
                }
            }
        }
    }
}
