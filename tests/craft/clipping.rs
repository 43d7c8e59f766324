//! Gradients are clipped by value and by norm, and updates without a norm left out.

use super::{Direct, Host, compare, doubles, gradients, norm, run, weights, with_craft};
use crate::common::device;
use pollster::block_on;
use retrograd::optim::{Adam, Lamb, Optimizer, Sgd};
use retrograd::{ErrorKind, Graph, Init, Params, Step, nn};

#[test]
fn gradients_are_clipped_by_norm_and_by_value() {
    let direct = Direct::new();
    // SGD tells the size of what it is given, which Adam would hide.
    let optimizer = Sgd::new(0.5).momentum(0.5);
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        for (by_norm, by_value) in [(Some(2.0), None), (None, Some(0.3)), (Some(2.0), Some(0.01)), (Some(1e9), None)] {
            let g = Graph::new();
            let (mut step, inputs) = direct.compile(&g, device, optimizer, |mut training| {
                if let Some(limit) = by_norm {
                    training = training.clip_norm(limit);
                }
                if let Some(limit) = by_value {
                    training = training.clip_value(limit);
                }
                training
            });
            let mut host = Host::new(&optimizer, direct.initial());
            // Far above the limit, and below it.
            for (seed, scale) in [(1, 1.0), (2, 1e-3), (3, 10.0)] {
                let fed = gradients(seed, scale);
                run(&mut step, &inputs, &fed).unwrap();
                let total = norm(&fed);
                let factor = by_norm.map_or(1.0, |limit: f64| (limit / (total + 1e-6)).min(1.0));
                let limit = by_value.unwrap_or(f64::INFINITY);
                host.step(&doubles(&fed, |g| (g * factor).clamp(-limit, limit)), 0.5);
                if by_norm.is_some() {
                    let seen = f64::from(step.read_gradient_norm().unwrap());
                    assert!(
                        (seen - total).abs() < 1e-5 * total,
                        "{name}: the norm before clipping, {seen} for {total}"
                    );
                }
            }
            compare(&format!("{name} {by_norm:?} {by_value:?}"), &weights(step.state()), &host.weights);
            if by_norm.is_some() {
                assert_eq!(step.read_updates_left_out().unwrap(), 0);
            }
        }
    }
}

#[test]
fn an_update_without_a_norm_is_left_out_and_counted() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        for limit in [1.0, f64::INFINITY] {
            for optimizer in [Box::new(Adam::new(0.1)) as Box<dyn Optimizer>, Box::new(Lamb::new(0.1))] {
                let g = Graph::new();
                let (mut step, inputs) =
                    direct.compile(&g, device, optimizer, |training| training.clip_norm(limit).average(0.9));
                run(&mut step, &inputs, &gradients(1, 1.0)).unwrap();
                let before = (weights(step.state()), step.state().average("p3").unwrap().to_vec());
                let moments = step.state().to_safetensors();
                let moments = block_on(moments).unwrap();
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut fed = gradients(2, 1.0);
                    fed[3][12_345] = bad;
                    run(&mut step, &inputs, &fed).unwrap();
                    let seen = step.read_gradient_norm().unwrap();
                    assert!(!seen.is_finite() && seen.is_nan() == bad.is_nan(), "{name}: {seen} for {bad}");
                }
                let after = (weights(step.state()), step.state().average("p3").unwrap().to_vec());
                assert_eq!(before, after, "{name}: nothing changes");
                for state in step.state().optimizer_states() {
                    let (old, new) = (&moments, block_on(step.state().to_safetensors()).unwrap());
                    let of = |bytes: &[u8]| {
                        let all = safetensors::SafeTensors::deserialize(bytes).unwrap();
                        all.tensor(&format!("optimizer/{state}/p3")).unwrap().data().to_vec()
                    };
                    assert_eq!(of(old), of(&new), "{name}: {state} does not change");
                }
                assert_eq!(step.read_updates_left_out().unwrap(), 3, "{name}");
                run(&mut step, &inputs, &gradients(3, 1.0)).unwrap();
                assert_ne!(weights(step.state()), before.0, "{name}: the next update is made");
                assert_eq!(step.read_updates_left_out().unwrap(), 3, "{name}");
            }
        }
    }
}

#[test]
fn clipping_by_value_keeps_nan_visible() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let (mut step, inputs) = direct.compile(&g, device, Sgd::new(1.0), |training| training.clip_value(0.25));
        let mut fed = gradients(2, 1.0);
        (fed[0][0], fed[0][1], fed[0][2]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        run(&mut step, &inputs, &fed).unwrap();
        let (was, is) = (&direct.initial()[0], &weights(step.state())[0]);
        assert!(is[0].is_nan(), "{name}");
        assert!((is[1] - (was[1] - 0.25)).abs() < 1e-6 && (is[2] - (was[2] + 0.25)).abs() < 1e-6, "{name}: {is:?}");
        let error = step.read_updates_left_out().unwrap_err();
        assert!(error.kind() == ErrorKind::NotKept && error.to_string().contains("clip_norm"), "{error}");
    }
}

#[test]
fn what_was_added_up_for_an_update_left_out_is_forgotten() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let (g, h) = (Graph::new(), Graph::new());
        let (mut bad, inputs) = direct.compile(&g, device, Sgd::new(1.0), with_craft);
        let (mut good, others) = direct.compile(&h, device, Sgd::new(1.0), with_craft);
        let mut fed = gradients(1, 1.0);
        fed[1][7] = f32::NAN;
        run(&mut bad, &inputs, &fed).unwrap();
        run(&mut bad, &inputs, &gradients(2, 1.0)).unwrap();
        for seed in [3, 4] {
            run(&mut bad, &inputs, &gradients(seed, 1.0)).unwrap();
            run(&mut good, &others, &gradients(seed, 1.0)).unwrap();
        }
        assert_eq!(bad.read_updates_left_out().unwrap(), 1, "{name}");
        assert_eq!(weights(bad.state()), weights(good.state()), "{name}");
    }
}

/// A batch that spoils the gradients spoils what cells would get as well: running statistics stay as they were.
#[test]
fn cells_stay_where_an_update_is_left_out() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        // Many parameters take the norm in two dispatches.
        for (runs, width) in [(1, 3), (2, 3), (1, 600), (2, 600)] {
            let mut params = Params::seeded(1);
            let layer = nn::BatchNorm::new(&mut params, "layer", 2);
            let wide = params.add("wide", [width, 30], Init::Constant(1.0));
            let g = Graph::new();
            let x = g.input("x", [4, 2]);
            let loss = layer.forward(x).square().sum(..) + g.param(&wide).square().sum(..);
            let training = g.train(loss, Sgd::new(0.01)).clip_norm(1.0).accumulate(runs);
            let mut step = training.compile(device, &params).unwrap();
            let (good, mut bad) = ([1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 0.0, 7.0f32], [1.0f32; 8]);
            bad[3] = f32::NAN;
            let cells = |step: &Step| {
                let read = |name| step.state().parameter(name).unwrap().to_vec();
                (read("layer.running_mean"), read("layer.running_var"))
            };
            step.run_many(runs, [x.feed(&good)]).unwrap();
            let before = cells(&step);
            assert_ne!(before.0, [0.0; 2], "{name}");
            let what = format!("{name}, {runs} runs for an update, width {width}");
            // The bad one comes first: all runs of the update leave cells alone.
            step.run([x.feed(&bad)]).unwrap();
            assert_eq!(cells(&step), before, "{what}");
            step.run_many(runs - 1, [x.feed(&good)]).unwrap();
            assert_eq!(cells(&step), before, "{what}");
            assert_eq!(step.read_updates_left_out().unwrap(), 1, "{what}");
            // And the next update is as any other.
            step.run([x.feed(&good)]).unwrap();
            assert_ne!(cells(&step), before, "{what}");
            assert!(cells(&step).0.iter().all(|value| value.is_finite()), "{what}");
        }
    }
}
