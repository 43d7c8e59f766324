//! A number that is not finite is told where it came to be.

use super::{found, is_at, rows, tensor};
use crate::common::devices;
use retrograd::optim::{Adam, Sgd};
use retrograd::plan::Phase;
use retrograd::{Device, ErrorKind, Graph, Init, Params};

#[test]
fn a_logarithm_of_a_negative_number_is_told_where_it_is_stored() {
    let (rows, weights) = rows();
    for device in devices() {
        for fused in [true, false] {
            let mut params = Params::seeded(1);
            let weight = params.add("weight", [5, 3], Init::Values(weights.clone()));
            let g = Graph::new();
            let x = g.input("x", [4, 5]);
            let logs = x.matmul(g.param(&weight)).log();
            let line = line!() - 1;
            let loss = logs.keep().mean(..);
            let training = g.train(loss, Sgd::new(0.1)).check_numbers(1);
            let training = if fused { training } else { training.without_fusion() };
            let mut step = training.compile(&device, &params).unwrap();
            step.run([x.feed(&rows)]).unwrap();
            let found = found(&step, &device);
            let what = format!("{}, fused {fused}: {found}", device.name());
            assert_eq!((found.step, found.phase), (1, Some(Phase::Forward)), "{what}");
            assert_eq!((found.tensor.as_str(), &found.element[..]), ("log f32[4, 3]", &[2, 1][..]), "{what}");
            assert!(found.value.is_nan() && is_at(&found, file!(), line) && found.others > 0, "{what}");
            let dispatch = &step.plan().dispatches[found.dispatch.unwrap()];
            assert_eq!(dispatch.phase, Phase::Forward);
            // Where the op is one of several of a kernel, all are named.
            assert_eq!(dispatch.nodes.len() > 1, fused, "{what}");
            assert_eq!(found.ops.iter().any(|op| op.starts_with("matmul")), fused, "{what}");

            let error = step.read(loss).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NonFinite);
            let text = error.to_string();
            for part in
                ["step 1", "(forward)", "NaN", "log f32[4, 3]", "[2, 1]", "tests/numbers/located.rs:", "learning rate"]
            {
                assert!(text.contains(part), "{part} is missing: {text}");
            }
        }
    }
}

#[test]
fn what_is_not_stored_is_told_by_the_ops_of_its_kernel() {
    for device in devices() {
        let g = Graph::evaluation();
        let x = g.input("x", [7, 3]);
        let y = (x - 1.0).log() * 2.0;
        let line = line!() - 1;
        let mut step = g.infer(&[y]).check_numbers(1).compile(&device, &Params::seeded(1)).unwrap();
        let mut data = vec![2.0; 21];
        data[16] = 1.0;
        step.run([x.feed(&data)]).unwrap();
        let found = found(&step, &device);
        assert_eq!((&found.element[..], found.value), (&[5, 1][..], f32::NEG_INFINITY), "{found}");
        assert!(found.ops.iter().any(|op| op.starts_with("log at tests/numbers/located.rs")), "{found}");
        assert!(is_at(&found, file!(), line) && found.ops.len() >= 2, "{found}");
        assert!(found.to_string().contains("-infinity"), "{found}");
    }
}

/// The root at 0 is finite, and its slope is not.
#[test]
fn an_infinite_gradient_is_told_with_its_parameter_and_forward_op() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let other = params.add("other", [100, 3], Init::Zeros);
        let weight = params.add("weight", [2, 40], Init::Values((0..80u8).map(|i| f32::from(i % 77)).collect()));
        let g = Graph::new();
        let roots = g.param(&weight).sqrt() * 0.5;
        let line = line!() - 1;
        let loss = roots.sum(..) + g.param(&other).sum(..);
        let training = g.train(loss, Sgd::new(0.1)).check_numbers(1);
        let mut step = training.compile(&device, &params).unwrap();
        step.run([]).unwrap();
        let found = found(&step, &device);
        assert_eq!(found.phase, Some(Phase::Backward), "{found}");
        assert_eq!((&found.element[..], found.value), (&[0, 0][..], f32::INFINITY), "{found}");
        assert!(found.tensor.contains("gradient of parameter `weight`"), "{found}");
        assert!(found.origin.as_ref().unwrap().starts_with("sqrt at"), "{found}");
        assert!(is_at(&found, file!(), line), "{found}");
        // The weight has it as well.
        assert!(found.others > 0, "{found}");
    }
}

/// What is masked away in the forward list comes back as 0 times infinity.
#[test]
fn a_gradient_that_a_mask_does_not_stop_is_told() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [6], Init::Values(vec![1.0, 4.0, 9.0, 0.0, 16.0, 25.0]));
        let g = Graph::new();
        let w = g.param(&weight);
        let loss = w.gt(g.full([1], 0.5)).where_cond(w.sqrt(), g.full([1], 0.0)).sum(..);
        let mut step = g.train(loss, Sgd::new(0.1)).check_numbers(1).compile(&device, &params).unwrap();
        step.run([]).unwrap();
        let found = found(&step, &device);
        assert_eq!(found.phase, Some(Phase::Backward), "{found}");
        assert_eq!(found.element, [3], "{found}");
        assert!(found.value.is_nan(), "{found}");
    }
}

#[test]
fn what_was_there_before_the_step_is_not_blamed_on_an_op() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [4, 3], Init::Constant(0.5));
        let bias = params.add("bias", [3], Init::Constant(0.5));
        let g = Graph::new();
        let x = g.input("x", [2, 4]);
        let loss = (x.matmul(g.param(&weight)) + g.param(&bias)).square().mean(..);
        let mut step = g.train(loss, Adam::new(1e-3)).check_numbers(1).compile(&device, &params).unwrap();
        let good = vec![1.0f32; 8];
        step.run([x.feed(&good)]).unwrap();
        assert_eq!(step.first_non_finite().unwrap(), None);

        // Fed.
        let mut bad = good.clone();
        bad[6] = f32::INFINITY;
        let saved = step.state().to_safetensors();
        let saved = pollster::block_on(saved).unwrap();
        step.run([x.feed(&bad)]).unwrap();
        let fed = found(&step, &device);
        assert_eq!((fed.step, fed.phase, fed.dispatch), (2, None, None), "{fed}");
        assert_eq!(fed.tensor, "input `x` f32[2, 4]");
        assert_eq!((&fed.element[..], fed.value), (&[1, 2][..], f32::INFINITY), "{fed}");
        assert!(fed.to_string().contains("input `x` f32[2, 4] was fed infinity"), "{fed}");

        // Every read tells it until the next run, which begins anew.
        assert_eq!(step.read(loss).unwrap_err().kind(), ErrorKind::NonFinite);
        assert_eq!(step.read(loss).unwrap_err().to_string(), fed.to_string());
        step.state().load_safetensors(&saved).unwrap();
        step.run([x.feed(&good)]).unwrap();
        assert!(step.read(loss).unwrap().item().is_finite(), "{}", device.name());

        // Set.
        let mut values = vec![0.5; 12];
        values[7] = -f32::NAN;
        step.state().set_parameter("weight", tensor(&[4, 3], values)).unwrap();
        step.run([x.feed(&good)]).unwrap();
        let set = found(&step, &device);
        assert_eq!(
            (set.phase, set.tensor.as_str(), &set.element[..]),
            (None, "parameter `weight`", &[2, 1][..]),
            "{set}"
        );
        assert!(set.to_string().contains("parameter `weight` was NaN before the step"), "{set}");
    }
}

/// A NaN at the first, the last, and places between of tensors whose ends lie anywhere in what one invocation, or one
/// workgroup, looks at.
#[test]
fn every_element_is_looked_at() {
    for device in devices() {
        for length in [1usize, 3, 4, 5, 31, 32, 33, 63, 65, 2047, 2048, 2049, 100_003] {
            let g = Graph::evaluation();
            let x = g.input("x", [length]);
            let mut step = g.infer(&[x + 1.0]).check_numbers(1).compile(&device, &Params::seeded(1)).unwrap();
            let mut places = vec![length - 1, 0, length / 2, length.saturating_sub(2), length / 3];
            places.dedup();
            for place in places {
                let mut data = vec![f32::MAX; length];
                data[place] = f32::NAN;
                // Later ones do not matter.
                data[(place + length / 2).min(length - 1).max(place)] = f32::NAN;
                step.run([x.feed(&data)]).unwrap();
                let found = found(&step, &device);
                assert_eq!(found.element, [place], "{}, {length}: {found}", device.name());
            }
            step.run([x.feed(&vec![f32::MIN_POSITIVE / 8.0; length])]).unwrap();
            assert_eq!(step.first_non_finite().unwrap(), None);
        }
    }
}

#[test]
fn a_batch_of_a_dataset_is_told_as_data() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [3, 1], Init::Constant(0.1));
        let g = Graph::new();
        let x = g.input("x", [2, 3]);
        let loss = x.matmul(g.param(&weight)).square().mean(..);
        let mut data = vec![1.0; 24];
        data[17] = f32::NAN;
        let data = tensor(&[8, 3], data);
        let training = g.train(loss, Sgd::new(1e-3)).dataset_in_order([x.feed(&data)]).check_numbers(1);
        let mut step = training.compile(&device, &params).unwrap();
        step.run_epoch([]).unwrap();
        let found = found(&step, &device);
        assert_eq!((found.step, found.phase, &found.element[..]), (3, Some(Phase::Batch), &[1, 2][..]), "{found}");
        assert!(found.tensor.starts_with("input `x`"), "{found}");
    }
}

#[test]
fn infinite_constants_are_named_where_they_matter_and_not_otherwise() {
    for device in devices() {
        let g = Graph::evaluation();
        let x = g.input("x", [2, 3]);
        let limits = g.constant(tensor(&[3], vec![1.0, f32::INFINITY, 2.0]));
        let smaller = x.minimum(limits);
        let mut step = g.infer(&[smaller]).check_numbers(1).compile(&device, &Params::seeded(1)).unwrap();
        step.run([x.feed(&[1.0f32; 6])]).unwrap();
        assert_eq!(step.first_non_finite().unwrap(), None, "{}", device.name());
        let mut step = g.infer(&[x * limits]).check_numbers(1).compile(&device, &Params::seeded(1)).unwrap();
        step.run([x.feed(&[1.0f32; 6])]).unwrap();
        let found = found(&step, &device);
        assert_eq!((&found.element[..], found.constants.len()), (&[0, 1][..], 1), "{found}");
        assert!(found.to_string().contains("whose element [1] is inf"), "{found}");
    }
}

#[test]
fn a_file_is_not_replaced_before_the_finding_is_told() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [2], Init::Constant(1.0));
    let g = Graph::new();
    let x = g.input("x", [2]);
    let loss = (g.param(&weight) * x).sum(..);
    let mut step = g.train(loss, Sgd::new(0.1)).check_numbers(2).compile(&Device::cpu(), &params).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    step.run([x.feed(&[1.0f32, f32::NAN])]).unwrap();
    assert_eq!(step.save(&file).unwrap_err().kind(), ErrorKind::NonFinite);
    assert!(!file.exists());
    step.save(&file).unwrap();
    // Not looked at, and nothing is found.
    step.state().set_parameter("weight", tensor(&[2], vec![1.0; 2])).unwrap();
    step.run([x.feed(&[1.0f32; 2])]).unwrap();
    step.run([x.feed(&[1.0f32, f32::NAN])]).unwrap();
    assert!(step.read(loss).unwrap().item().is_nan());
}

#[test]
fn mistakes_are_told() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [2], Init::Constant(1.0));
    let g = Graph::new();
    let loss = g.param(&weight).sum(..);
    let error = g.train(loss, Sgd::new(0.1)).check_numbers(0).compile(&Device::cpu(), &params).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert!(error.to_string().contains("`check_numbers` is 0 and must be at least 1"), "{error}");
    let step = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    let error = step.first_non_finite().unwrap_err();
    assert!(error.to_string().contains("Training::check_numbers"), "{error}");
}
