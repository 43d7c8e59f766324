//! Cells of the state, which steps write when all else is done; and indices that steps compute, which they check.

mod common;

use common::devices;
use retrograd::nn::BatchNorm;
use retrograd::optim::Sgd;
use retrograd::{ErrorKind, Generator, Graph, Init, Params, Tensor};

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
