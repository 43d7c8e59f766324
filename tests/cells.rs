//! Cells of the state, which steps write when all else is done; and indices that steps compute, which they check.

mod common;

use common::devices;
use retrograd::nn::BatchNorm;
use retrograd::optim::Sgd;
use retrograd::{Device, ErrorKind, Generator, Graph, Init, Param, Params, State, Tensor};

/// A step reads the old value of a cell, and the next one the new value; inference changes nothing.
#[test]
fn cells_change_when_a_step_ends() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [3], Init::Constant(1.0));
        let count = params.add_cell("count", [1], Init::Constant(5.0));
        let g = Graph::new();
        let now = g.param(&count).keep();
        let loss = (g.param(&weight) * now).square().sum(..);
        g.assign(&count, now + 1.0);
        let mut step = g.train(loss, Sgd::new(0.0)).compile(&device, &params).unwrap();
        for wanted in [5.0, 6.0, 7.0] {
            step.run([]).unwrap();
            assert_eq!(step.read(now).unwrap().item(), wanted, "{}", device.name());
            assert_eq!(step.state().parameter("count").unwrap().item(), wanted + 1.0);
        }
        step.run_many(4, []).unwrap();
        assert_eq!(step.state().parameter("count").unwrap().item(), 12.0);

        let g = Graph::new();
        let seen = g.param(&count) * 2.0;
        g.assign(&count, seen);
        let mut inference = g.infer(&[seen]).compile_on(step.state()).unwrap();
        inference.run([]).unwrap();
        assert_eq!(inference.read(seen).unwrap().item(), 24.0);
        assert_eq!(step.state().parameter("count").unwrap().item(), 12.0, "{}", device.name());
    }
}

/// A parameter, another cell, or a view of one: cells get the values that the step began with, also where parameters and
/// cells lie in several buffers.
#[test]
fn cells_take_what_parameters_and_other_cells_were() {
    for device in devices() {
        for binding_bytes in [None, Some(256)] {
            let mut profile = device.profile();
            profile.binding_bytes = binding_bytes.unwrap_or(profile.binding_bytes);
            let device = device.clone().with_profile(profile).unwrap();
            let mut params = Params::seeded(1);
            let weight = params.add("weight", [2, 3], Init::Values((0..6u8).map(f32::from).collect()));
            let mut cell =
                |name: &str, shape: &[usize], value: f64| params.add_cell(name, shape.to_vec(), Init::Constant(value));
            let (target, flat) = (cell("target", &[2, 3], -1.0), cell("flat", &[6], -1.0));
            let (turned, cut) = (cell("turned", &[3, 2], -1.0), cell("cut", &[3], -1.0));
            let (one, other) = (cell("one", &[3], 1.0), cell("other", &[3], 2.0));
            let g = Graph::new();
            let w = g.param(&weight);
            g.assign(&target, w);
            g.assign(&flat, w.detach().reshape([6]));
            g.assign(&turned, w.transpose());
            g.assign(&cut, w.slice(0, 1..2).reshape([3]));
            g.assign(&one, g.param(&other));
            g.assign(&other, g.param(&one));
            let mut step = g.train(w.sum(..), Sgd::new(1.0)).compile(&device, &params).unwrap();
            for run in 0..3u8 {
                step.run([]).unwrap();
                let read = |name: &str| step.state().parameter(name).unwrap().to_vec();
                let old = |places: &[u8]| -> Vec<f32> {
                    places.iter().map(|&place| f32::from(place) - f32::from(run)).collect()
                };
                let what = format!("{} run {run} {binding_bytes:?}", device.name());
                assert_eq!(read("target"), old(&[0, 1, 2, 3, 4, 5]), "{what}");
                assert_eq!(read("flat"), old(&[0, 1, 2, 3, 4, 5]), "{what}");
                assert_eq!(read("turned"), old(&[0, 3, 1, 4, 2, 5]), "{what}");
                assert_eq!(read("cut"), old(&[3, 4, 5]), "{what}");
                let swapped = if run % 2 == 0 { [2.0, 1.0] } else { [1.0, 2.0] };
                assert_eq!((read("one"), read("other")), (vec![swapped[0]; 3], vec![swapped[1]; 3]), "{what}");
            }
        }
    }
}

/// Running statistics of batch normalization, against the formula in double precision.
#[test]
fn batch_normalization_follows_the_batches() {
    let mut generator = Generator::new(7);
    let batches: Vec<Vec<f32>> =
        (0..5).map(|_| (0..6 * 2 * 5).map(|_| generator.uniform(-1.0, 3.0) as f32).collect()).collect();
    let (mut mean, mut variance) = ([0.0f64; 2], [1.0f64; 2]);
    for batch in &batches {
        for channel in 0..2 {
            let of_channel = |place: &usize| place / 5 % 2 == channel;
            let values: Vec<f64> = (0..60).filter(of_channel).map(|place| f64::from(batch[place])).collect();
            let average = values.iter().sum::<f64>() / 30.0;
            let spread = values.iter().map(|x| (x - average).powi(2)).sum::<f64>() / 29.0;
            mean[channel] = 0.9 * mean[channel] + 0.1 * average;
            variance[channel] = 0.9 * variance[channel] + 0.1 * spread;
        }
    }
    for device in devices() {
        let mut params = Params::seeded(1);
        let norm = BatchNorm::new(&mut params, "norm", 2);
        let g = Graph::new();
        let x = g.input("x", [6, 2, 5]);
        let loss = norm.forward(x).square().sum(..);
        let mut step = g.train(loss, Sgd::new(0.0)).compile(&device, &params).unwrap();
        for batch in &batches {
            step.run([x.feed(batch)]).unwrap();
        }
        let close = |name: &str, wanted: [f64; 2]| {
            for (got, wanted) in step.state().parameter(name).unwrap().to_vec().into_iter().zip(wanted) {
                assert!((f64::from(got) - wanted).abs() < 1e-5, "{name}: {got} {wanted} on {}", device.name());
            }
        };
        close("norm.running_mean", mean);
        close("norm.running_var", variance);

        // Evaluation normalizes by these.
        let g = Graph::evaluation();
        let x = g.input("x", [1, 2, 5]);
        let y = norm.forward(x);
        let mut evaluation = g.infer(&[y]).compile_on(step.state()).unwrap();
        evaluation.run([x.feed(&batches[0][..10])]).unwrap();
        for (place, got) in evaluation.read(y).unwrap().to_vec().into_iter().enumerate() {
            let channel = place / 5;
            let wanted = (f64::from(batches[0][place]) - mean[channel]) / (variance[channel] + 1e-5).sqrt();
            assert!((f64::from(got) - wanted).abs() < 1e-4, "{got} {wanted} on {}", device.name());
        }
    }
}

#[test]
fn cells_are_no_parameters() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [2], Init::Zeros);
    let cell = params.add_cell("cell", [2], Init::Zeros);
    assert!(params.set_frozen(&cell, false).unwrap_err().to_string().contains("`cell` is a cell"));
    let g = Graph::new();
    g.assign(&weight, g.param(&cell));
    g.assign(&cell, g.full([3], 1.0));
    g.assign(&cell, g.param(&weight));
    g.assign(&cell, g.param(&weight) * 2.0);
    let loss = g.param(&weight).sum(..);
    let device = retrograd::Device::cpu();
    let error = g.train(loss, Sgd::new(0.1)).only(&[&weight, &cell]).compile(&device, &params).unwrap_err().to_string();
    for wanted in [
        "only training changes: add a cell",
        "the cell is f32[2] and the value f32[3]",
        "gets another value in this recording already",
        "`cell` in `Training::only` is a cell",
    ] {
        assert!(error.contains(wanted), "{wanted}\n{error}");
    }
}

/// A bad index is told although later steps had good ones, whichever way they ran.
#[test]
fn computed_indices_of_earlier_steps_are_told_as_well() {
    for device in devices() {
        let g = Graph::new();
        let (table, x) = (g.input("table", [4, 2]), g.input("x", [3]));
        let sum = table.embedding(x.to_i32()).sum(..).keep();
        let mut step = g.infer(&[sum]).compile(&device, &Params::seeded(1)).unwrap();
        let rows = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0f32];
        let (good, bad) = ([3.0, 0.0, 1.0f32], [3.0, 0.0, 5.0f32]);
        let told = |result: retrograd::Result<retrograd::HostTensor>| {
            let text = result.unwrap_err().to_string();
            assert!(text.contains("position 2") && text.contains("0 .. 4"), "{text} on {}", device.name());
            text
        };
        step.run([table.feed(&rows), x.feed(&bad)]).unwrap();
        for _ in 0..200 {
            step.run([table.feed(&rows), x.feed(&good)]).unwrap();
        }
        told(step.read(sum));
        // It was told; what came after is fine.
        assert_eq!(step.read(sum).unwrap().item(), 1.0 + 2.0 + 3.0 + 6.0 + 7.0);
        step.run_many(3, [table.feed(&rows), x.feed(&bad)]).unwrap();
        assert!(told(step.read_history(sum)).contains("step 1 of 3"));
        step.run_many(3, [table.feed(&rows), x.feed(&bad)]).unwrap();
        step.run([table.feed(&rows), x.feed(&good)]).unwrap();
        told(step.read(sum));
        step.read(sum).unwrap();
    }
}

/// What a state does not hold is named, whether it is read, gets a value, or is to be trained.
#[test]
fn parameters_that_a_state_lacks_are_reported() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [2], Init::Zeros);
    let state = State::new(&Device::cpu(), &params).unwrap();
    let (late, counter) = (params.add("late", [2], Init::Zeros), params.add_cell("counter", [2], Init::Zeros));
    let mut others = Params::seeded(1);
    let foreign = others.add_cell("foreign", [2], Init::Zeros);
    let refused = |record: &dyn for<'g> Fn(&'g Graph) -> Tensor<'g>, only: &[&Param]| {
        let g = Graph::new();
        let loss = record(&g).sum(..);
        let training = g.train(loss, Sgd::new(0.1));
        let training = if only.is_empty() { training } else { training.only(only) };
        training.compile_on(&state).unwrap_err().to_string()
    };
    let advice = "added to its `Params` after the state was made";
    let error = refused(&|g| g.param(&weight) * g.param(&late), &[]);
    assert!(error.contains("parameter `late`") && error.contains(advice), "{error}");
    let error = refused(&|g| g.param(&weight), &[&weight, &late]);
    assert!(error.contains("`late` in `Training::only`") && error.contains(advice), "{error}");
    let assigned = |cell: &Param| {
        let g = Graph::new();
        g.assign(cell, g.param(&weight) + 1.0);
        g.train(g.param(&weight).sum(..), Sgd::new(0.1)).compile_on(&state).unwrap_err().to_string()
    };
    let error = assigned(&counter);
    assert!(error.contains("assign to `counter`") && error.contains(advice), "{error}");
    let error = assigned(&foreign);
    assert!(error.contains("assign to `foreign`") && error.contains("another `Params`"), "{error}");
    let g = Graph::new();
    let error = g.infer(&[g.param(&late) * 2.0]).compile_on(&state).unwrap_err().to_string();
    assert!(error.contains("parameter `late`") && error.contains(advice), "{error}");
}

/// An index that a step computes is found on the device, with its position; what it selects is NaN.
#[test]
fn computed_indices_are_checked() {
    for device in devices() {
        let g = Graph::new();
        let (table, x) = (g.input("table", [4, 2]), g.input("x", [3]));
        let taken = table.embedding(x.to_i32());
        let mut step = g.infer(&[taken]).compile(&device, &Params::seeded(1)).unwrap();
        let rows = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0f32];
        step.run([table.feed(&rows), x.feed(&[3.0, 0.0, 1.0f32])]).unwrap();
        assert_eq!(step.read(taken).unwrap().to_vec(), [6.0, 7.0, 0.0, 1.0, 2.0, 3.0], "{}", device.name());
        for (bad, position) in [([3.0, 4.0, 9.0f32], 1), ([-1.0, 0.0, 0.0], 0)] {
            step.run([table.feed(&rows), x.feed(&bad)]).unwrap();
            let error = step.read(taken).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Index);
            let text = error.to_string();
            assert!(
                text.contains("embedding at tests/cells.rs")
                    && text.contains(&format!("position {position} "))
                    && text.contains("0 .. 4"),
                "{text}"
            );
        }
    }
}

/// Constants are checked when they are recorded, and what is fed when it is fed.
#[test]
fn other_indices_are_checked_before() {
    let g = Graph::new();
    let x = g.input("x", [5, 2]);
    let constant = g.constant(retrograd::HostTensor::new([2], retrograd::HostData::I32(vec![4, 5])).unwrap());
    let taken: Tensor<'_> = x.index_select(0, constant);
    let error = g.infer(&[taken]).compile(&retrograd::Device::cpu(), &Params::seeded(1)).unwrap_err().to_string();
    assert!(error.contains("index 5 at position 1 of a constant lies outside of 0 .. 5"), "{error}");

    let g = Graph::new();
    let (x, index) = (g.input("x", [5, 2]), g.labels("index", [3, 2]));
    let taken = x.gather(0, index);
    let mut step = g.infer(&[taken]).compile(&retrograd::Device::cpu(), &Params::seeded(1)).unwrap();
    let error = step.run([x.feed(&[0.0f32; 10]), index.feed(&[0, 1, 2, 3, 5, 0])]).unwrap_err().to_string();
    assert!(error.contains('5'), "{error}");
}
