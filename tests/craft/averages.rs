//! Running averages of weights.

use super::{Direct, LENGTHS, compare, gradients, run, weights};
use crate::common::device;
use pollster::block_on;
use retrograd::optim::{Lamb, Optimizer, Sgd};
use retrograd::{Device, ErrorKind, Graph, HostData, HostTensor, Init, Param, Params, State, Step, Tensor};

#[test]
fn averages_are_those_of_the_weights() {
    const DECAY: f64 = 0.7;
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        for optimizer in [Box::new(Sgd::new(0.3)) as Box<dyn Optimizer>, Box::new(Lamb::new(0.1))] {
            let g = Graph::new();
            let (mut step, inputs) = direct.compile(&g, device, optimizer, |training| training.average(DECAY));
            let h = Graph::new();
            let outputs: Vec<Tensor<'_>> = direct.parameters.iter().map(|p| h.param(p) * 1.0).collect();
            let mut evaluation = h.infer(&outputs).with_average().compile_on(step.state()).unwrap();
            let seen = |evaluation: &mut Step| -> Vec<Vec<f64>> {
                evaluation.run([]).unwrap();
                let read = |&output| evaluation.read(output).unwrap().to_vec().into_iter().map(f64::from).collect();
                outputs.iter().map(read).collect()
            };
            assert_eq!(seen(&mut evaluation), direct.initial(), "{name}: before the first update, the weights");
            let (mut sum, mut total) = (vec![Vec::new(); LENGTHS.len()], 0.0);
            for update in 0..5 {
                run(&mut step, &inputs, &gradients(update, 1.0)).unwrap();
                total = DECAY * total + 1.0;
                for (sum, weights) in sum.iter_mut().zip(weights(step.state())) {
                    sum.resize(weights.len(), 0.0);
                    sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum = DECAY * *sum + weight);
                }
            }
            let want: Vec<Vec<f64>> = sum.iter().map(|sum| sum.iter().map(|sum| sum / total).collect()).collect();
            compare(name, &seen(&mut evaluation), &want);
            // They are in checkpoints, from which evaluation can do without training.
            let bytes = block_on(step.state().to_safetensors()).unwrap();
            let state = State::new(device, &direct.params).unwrap();
            let error = h.infer(&outputs).with_average().compile_on(&state).unwrap_err();
            assert!(error.to_string().contains("Training::average"), "{error}");
            state.load_safetensors(&bytes).unwrap();
            let mut loaded = h.infer(&outputs).with_average().compile_on(&state).unwrap();
            compare(name, &seen(&mut loaded), &want);
            state.take_averages().unwrap();
            compare(name, &weights(&state), &want);
        }
    }
}

#[test]
fn parameters_without_averages_are_read_as_they_are() {
    let mut params = Params::seeded(3);
    let trained = params.add("trained", [2], Init::Constant(1.0));
    let frozen = params.add("frozen", [2], Init::Constant(1.0));
    let cell = params.add_cell("cell", [2], Init::Constant(1.0));
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let loss = g.param(&trained).sum(..);
        g.assign(&cell, g.param(&cell) + 1.0);
        let training = g.train(loss, Sgd::new(1.0)).only(&[&trained]).average(0.5);
        let mut step = training.compile(device, &params).unwrap();
        let h = Graph::new();
        let all = [&trained, &frozen, &cell].map(|param| h.param(param) + 0.0);
        let mut evaluation = h.infer(&all).with_average().compile_on(step.state()).unwrap();
        step.run_many(2, []).unwrap();
        step.state().set_parameter("frozen", HostTensor::new([2], HostData::F32(vec![7.0; 2])).unwrap()).unwrap();
        evaluation.run([]).unwrap();
        let seen = all.map(|tensor| evaluation.read(tensor).unwrap().to_vec()[0]);
        // Weights were 0 and -1, with shares of 1/3 and 2/3.
        assert!((seen[0] + 2.0 / 3.0).abs() < 1e-6, "{name}: {seen:?}");
        assert_eq!((seen[1], seen[2]), (7.0, 3.0), "{name}");
    }
}

#[test]
fn a_checkpoint_without_averages_begins_them_anew() {
    let direct = Direct::new();
    let (g, h) = (Graph::new(), Graph::new());
    let (mut plain, inputs) = direct.compile(&g, &Device::cpu(), Sgd::new(0.1), |training| training);
    run(&mut plain, &inputs, &gradients(1, 1.0)).unwrap();
    let (mut step, inputs) = direct.compile(&h, &Device::cpu(), Sgd::new(0.1), |training| training.average(0.9));
    run(&mut step, &inputs, &gradients(2, 1.0)).unwrap();
    step.state().load_safetensors(&block_on(plain.state().to_safetensors()).unwrap()).unwrap();
    assert_eq!(step.state().average("p1").unwrap(), plain.state().parameter("p1").unwrap());
    run(&mut step, &inputs, &gradients(3, 1.0)).unwrap();
    assert_eq!(step.state().average("p1").unwrap(), step.state().parameter("p1").unwrap(), "the first of them");
}

/// A parameter that is averaged later has stood still till then; averages that have gone on apart stay apart.
#[test]
fn averages_that_begin_later_are_of_as_many_updates() {
    let mut params = Params::seeded(1);
    let (p, q) = (params.add("p", [1], Init::Zeros), params.add("q", [1], Init::Zeros));
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let state = State::new(device, &params).unwrap();
        let compile = |of: &[&Param]| {
            let g = Graph::new();
            let loss = of.iter().fold(g.full([1], 0.0), |sum, param| sum + g.param(param)).sum(..);
            g.train(loss, Sgd::new(1.0)).only(of).average(0.5).compile_on(&state).unwrap()
        };
        let average = |name: &str| state.average(name).unwrap().item();
        let (mut alone, mut both) = (compile(&[&p]), compile(&[&p, &q]));
        alone.run_many(2, []).unwrap();
        both.run_many(2, []).unwrap();
        // p was -1, -2, -3, -4, and q 0, 0, -1, -2, with shares of 1, 2, 4 and 8 in 15.
        assert!((average("p") + 49.0 / 15.0).abs() < 1e-5, "{name}: {}", average("p"));
        assert!((average("q") + 20.0 / 15.0).abs() < 1e-5, "{name}: {}", average("q"));
        alone.run([]).unwrap();
        let before = weights(&state);
        let error = both.run([]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        let text = error.to_string();
        assert!(text.contains("`p` is of 5 updates") && text.contains("`q` of 4"), "{text}");
        assert_eq!(weights(&state), before, "{name}");
    }
}
