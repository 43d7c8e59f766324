//! Updates that make numbers that are not finite, and optimizers of a user that do.

use super::found;
use crate::common::devices;
use retrograd::base::Real;
use retrograd::fuse::Role::{Change, Read};
use retrograd::optim::{Adam, Optimizer, Sgd};
use retrograd::plan::{Phase, StepScalars, Update, UpdateRule};
use retrograd::record::{Text, libraries};
use retrograd::schedule::Schedule;
use retrograd::{ErrorKind, Graph, Init, Params, Result};
use std::sync::Arc;

#[test]
fn an_update_that_overflows_is_told_with_the_parameter_or_state() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let first = params.add("first", [3, 5], Init::Constant(1.0));
        let second = params.add("second", [2, 7], Init::Constant(1.0));
        let g = Graph::new();
        let scale = g.input("scale", [2, 7]);
        let loss = (g.param(&second) * scale).sum(..) + g.param(&first).sum(..);
        let mut data = vec![1.0; 14];
        data[11] = 1e30;
        let optimizers: [(Box<dyn Optimizer>, &str, &str); 2] = [
            (Box::new(Sgd::new(1e20)), "parameter `second`", "sgd of"),
            (Box::new(Adam::new(1e-3)), "of parameter `second`", "adam of"),
        ];
        for (optimizer, tensor, work) in optimizers {
            let mut step = g.train(loss, optimizer).check_numbers(1).compile(&device, &params).unwrap();
            step.run([scale.feed(&data)]).unwrap();
            let found = found(&step, &device);
            assert_eq!((found.phase, found.step), (Some(Phase::Update), 1), "{found}");
            assert!(found.tensor.ends_with(tensor), "{found}");
            assert_eq!((&found.element[..], &found.shape[..]), (&[1, 4][..], &[2, 7][..]), "{found}");
            assert!(found.work.as_ref().unwrap().starts_with(work), "{found}");
            assert!(found.value.is_infinite(), "{found}");
            assert!(found.to_string().contains("clip"), "{found}");
        }
    }
}

/// A learning rate that is too high for one update.
#[derive(Debug)]
struct Spike(u32);

impl Schedule for Spike {
    fn factor(&self, update: u32) -> f64 {
        if update + 1 == self.0 { 1e41 } else { 1.0 }
    }
}

#[test]
fn a_step_of_many_is_told_by_its_number_however_long_ago() {
    for device in devices() {
        // The first step that is looked at after it knows only that it was so before.
        for (every, step_number, phase) in
            [(1, 7, Some(Phase::Update)), (7, 7, Some(Phase::Update)), (4, 8, None), (16, 16, None)]
        {
            let mut params = Params::seeded(1);
            let weight = params.add("weight", [300], Init::Constant(1.0));
            let g = Graph::new();
            let loss = (g.param(&weight) * 8.0).sum(..);
            let training = g.train(loss, Sgd::new(1e-3)).schedule(Spike(7)).check_numbers(every);
            let mut step = training.compile(&device, &params).unwrap();
            step.run_many(16, []).unwrap();
            // What is found first stays, whatever runs after it.
            for _ in 0..3 {
                step.run([]).unwrap();
            }
            step.run_many(5, []).unwrap();
            let error = step.read_history(loss).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NonFinite);
            let found = found(&step, &device);
            assert_eq!((found.step, found.phase), (step_number, phase), "{}, {every}: {found}", device.name());
            assert!(found.tensor.contains("`weight`") && found.element == [0], "{found}");
        }
    }
}

/// What stands where gradients are added up is looked at only where it counts.
#[test]
fn accumulated_gradients_are_looked_at_where_they_are_used() {
    for device in devices() {
        let run = |every: u32, bad: u32| {
            let mut params = Params::seeded(1);
            let weight = params.add("weight", [9], Init::Constant(1.0));
            let g = Graph::new();
            let x = g.input("x", [9]);
            let loss = (g.param(&weight) * x * x).sum(..);
            let training = g.train(loss, Sgd::new(1e-3)).accumulate(2).clip_norm(1.0).check_numbers(every);
            let mut step = training.compile(&device, &params).unwrap();
            for number in 1..=4 {
                let mut data = [1.0f32; 9];
                if number == bad {
                    data[4] = 1e30;
                }
                step.run([x.feed(&data)]).unwrap();
            }
            step.first_non_finite().unwrap()
        };
        // The second run spoils the sum, the update is left out, and the third begins a sum of its own.
        assert_eq!(run(3, 2), None, "{}", device.name());
        let found = run(4, 3).unwrap();
        assert_eq!((found.step, found.phase, &found.element[..]), (4, None, &[4][..]), "{found}");
        assert_eq!(found.tensor, "accumulated gradient of parameter `weight`");
        let found = run(1, 3).unwrap();
        assert_eq!((found.step, found.phase, &found.element[..]), (3, Some(Phase::Forward), &[0][..]), "{found}");
    }
}

/// Steps along the sign of the gradient, by a division that is NaN where the gradient is 0: as in the padding of parameters.
#[derive(Clone, Copy, Debug)]
struct Signs;

impl UpdateRule for Signs {
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], _states: &mut [&mut [T]]) {
        let rate = T::real(step.learning_rate);
        for (w, &g) in weight.iter_mut().zip(gradient) {
            *w = *w - rate * g / g.abs();
        }
    }
}

impl Optimizer for Signs {
    fn learning_rate(&self) -> f64 {
        0.5
    }
    fn scalars(&self, _count: u32, _learning_rate: f64) -> [f64; 4] {
        [0.0; 4]
    }
    fn update(&self) -> Result<Update> {
        let source = "\
// w = w - rate g / |g|

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;

struct Changed {
    weight: f32,
}

fn change(gradient: f32, weight: f32) -> Changed {
    if ((bitcast<u32>(gradient) & 0x7fffffffu) == 0u) {
        return Changed(bitcast<f32>(step.count | 0x7fc00000u));
    }
    return Changed(weight - step.learning_rate * gradient / abs(gradient));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    weight[i] = change(gradient[i], weight[i]).weight;
}

";

        Ok(Update {
            name: "signs",
            text: Text::new(source, &[&libraries::STEP]),
            variables: vec![Read.of("gradient"), Change.of("weight")],
            states: Vec::new(),
            trust_ratio: false,
            host: Arc::new(*self),
        })
    }
}

#[test]
fn the_padding_of_parameters_is_not_looked_at_and_what_lies_behind_it_is() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let first = params.add("first", [5], Init::Constant(1.0));
        let second = params.add("second", [66], Init::Constant(1.0));
        let g = Graph::new();
        let x = g.input("x", [66]);
        let loss = g.param(&first).sum(..) + (g.param(&second) * x).sum(..);
        let mut step = g.train(loss, Signs).check_numbers(1).compile(&device, &params).unwrap();
        let mut data = [1.0f32; 66];
        for _ in 0..3 {
            step.run([x.feed(&data)]).unwrap();
        }
        assert_eq!(step.first_non_finite().unwrap(), None, "{}", device.name());
        assert_eq!(step.state().parameter("second").unwrap().to_vec(), [-0.5; 66]);
        data[65] = 0.0;
        step.run([x.feed(&data)]).unwrap();
        let found = found(&step, &device);
        assert_eq!(
            (found.step, found.tensor.as_str(), &found.element[..]),
            (4, "parameter `second`", &[65][..]),
            "{found}"
        );
        assert_eq!(found.work.as_deref(), Some("signs of first, second"));
    }
}
