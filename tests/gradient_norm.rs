//! The global norm of all gradients.

mod common;

use common::device;
use retrograd::optim::Sgd;
use retrograd::plan::{Phase, Profile};
use retrograd::{Device, ErrorKind, Generator, Graph, Init, Params};

/// Parameters of these lengths, whose gradients are a vector that is fed times the parameter's number. Returns the norm
/// that a step computes, and that of the gradients as they should be.
fn norms(device: &Device, lengths: &[usize], frozen: &[usize]) -> (f32, f64) {
    let mut params = Params::seeded(3);
    let graph = Graph::new();
    let mut generator = Generator::new(lengths.len() as u64 + 11);
    let mut feeds = Vec::new();
    let mut squares = 0.0;
    let mut loss = graph.full([1], 0.0);
    let mut trained = Vec::new();
    for (number, &length) in lengths.iter().enumerate() {
        let parameter = params.add(&format!("p{number}"), [length], Init::Zeros);
        let scale = (number + 1) as f64;
        let x = graph.input(&format!("x{number}"), [length]);
        loss = loss + (graph.param(&parameter) * x * scale).sum_keep(0);
        let data: Vec<f32> = (0..length).map(|_| generator.uniform(-1.0, 1.0) as f32).collect();
        if !frozen.contains(&number) {
            squares += data.iter().map(|&x| (f64::from(x) * scale).powi(2)).sum::<f64>();
            trained.push(parameter);
        }
        feeds.push((x, data));
    }
    let trained: Vec<_> = trained.iter().collect();
    let training = graph.train(loss, Sgd::new(0.0)).only(&trained).gradient_norm();
    let mut step = training.compile(device, &params).unwrap();
    for _ in 0..2 {
        step.run(feeds.iter().map(|(x, data)| x.feed(data)).collect::<Vec<_>>()).unwrap();
    }
    (step.read_gradient_norm().unwrap(), squares.sqrt())
}

#[test]
fn it_is_the_root_of_the_sum_of_all_squares() {
    // One element; a few; some with gaps between them; so many that several workgroups add them.
    let cases: [(&[usize], &[usize]); 6] = [
        (&[1], &[]),
        (&[3, 65, 2], &[]),
        (&[100, 7, 1025, 13], &[1]),
        (&[5000, 3], &[]),
        (&[70_001, 64, 30_000], &[1]),
        (&[1_100_003], &[]),
    ];
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        for (lengths, frozen) in cases {
            let (got, want) = norms(device, lengths, frozen);
            assert!((f64::from(got) - want).abs() <= 1e-5 * want, "{name} {lengths:?}: {got} instead of {want}");
        }
    }
}

#[test]
fn gaps_between_trained_parameters_may_be_many() {
    let (lengths, frozen): (Vec<usize>, Vec<usize>) =
        ((0..80).map(|n| n + 1).collect(), (0..40).map(|n| 2 * n).collect());
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let (got, want) = norms(device, &lengths, &frozen);
        assert!((f64::from(got) - want).abs() <= 1e-5 * want, "{name}: {got} instead of {want}");
    }
}

#[test]
fn it_takes_one_dispatch_or_two() {
    let count = |length: usize| {
        let mut params = Params::seeded(1);
        let parameter = params.add("p", [length], Init::Values(vec![1.0; length]));
        let graph = Graph::new();
        let loss = graph.param(&parameter).square().sum(..);
        let plan = |training: retrograd::Training<'_>| {
            training.plan(&params, &Profile::webgpu_default()).unwrap().list(Phase::Update).count()
        };
        plan(graph.train(loss, Sgd::new(0.1)).gradient_norm()) - plan(graph.train(loss, Sgd::new(0.1)))
    };
    assert_eq!((count(100), count(4096), count(100_000)), (1, 1, 2));
}

#[test]
fn a_step_that_does_not_compute_it_says_so() {
    let mut params = Params::seeded(1);
    let parameter = params.add("p", [2], Init::Values(vec![1.0; 2]));
    let graph = Graph::new();
    let loss = graph.param(&parameter).square().sum(..);
    let mut step = graph.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    step.run([]).unwrap();
    let error = step.read_gradient_norm().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotKept);
    assert!(error.to_string().contains("Training::gradient_norm"), "{error}");
    let early = graph.train(loss, Sgd::new(0.1)).gradient_norm().compile(&Device::cpu(), &params).unwrap();
    assert!(early.read_gradient_norm().unwrap_err().to_string().contains("run a step"));
}
