//! Schedules against closed formulas, and in the steps of a training.

mod common;

use common::device;
use retrograd::optim::{Adam, Groups, Sgd};
use retrograd::schedule::{Constant, Cosine, Exponential, Linear, OneCycle, Schedule, StepDecay, from_fn};
use retrograd::train::{EarlyStopping, ReduceOnPlateau};
use retrograd::{Graph, HostData, HostTensor, Init, Param, Params, State};

fn check(schedule: &dyn Schedule, want: impl Fn(f64) -> f64, updates: std::ops::Range<u32>) {
    for update in updates {
        let (got, want) = (schedule.factor(update), want(f64::from(update)));
        assert!((got - want).abs() < 1e-12, "{schedule:?} at {update}: {got} instead of {want}");
    }
}

#[test]
fn factors_follow_the_formulas() {
    let pi = std::f64::consts::PI;
    check(&Constant, |_| 1.0, 0..5);
    check(&StepDecay::new(3, 0.5), |t| 0.5f64.powf((t / 3.0).floor()), 0..20);
    check(&Exponential::new(0.9), |t| 0.9f64.powf(t), 0..20);
    check(&Linear::new(10).lowest(0.2), |t| 1.0 - 0.08 * t, 0..11);
    check(&Linear::new(10).lowest(0.2), |_| 0.2, 10..30);
    check(&Cosine::new(8).lowest(0.1), |t| 0.1 + 0.45 * (1.0 + (pi * t / 8.0).cos()), 0..9);
    check(&Cosine::new(8).lowest(0.1), |_| 0.1, 8..20);
    check(&from_fn(|update| 1.0 / f64::from(update + 1)), |t| 1.0 / (t + 1.0), 0..9);
    let warm = Cosine::new(8).after_warmup(4);
    check(&warm, |t| (t + 1.0) / 4.0, 0..4);
    check(&warm, |t| 0.5 * (1.0 + (pi * (t - 4.0) / 8.0).cos()), 4..13);
    check(&Constant.after_warmup(0), |_| 1.0, 0..3);
    // What it rises to is where the other begins.
    check(&OneCycle::new(20).after_warmup(4), |t| 0.04 * (t + 1.0) / 4.0, 0..4);
    check(&OneCycle::new(20).after_warmup(4), |_| 1.0, 9..10);
}

#[test]
fn one_cycle_rises_and_falls() {
    // With PyTorch's formula: the rise ends at 0.3 * 20 - 1 = 5, the fall at 19.
    let cycle = OneCycle::new(20);
    let wave = |from: f64, to: f64, share: f64| to + (from - to) / 2.0 * ((std::f64::consts::PI * share).cos() + 1.0);
    check(&cycle, |t| wave(0.04, 1.0, t / 5.0), 0..6);
    check(&cycle, |t| wave(1.0, 4e-6, (t - 5.0) / 14.0), 5..20);
    check(&cycle, |_| 4e-6, 19..30);
    assert!((cycle.factor(0) - 0.04).abs() < 1e-12 && (cycle.factor(5) - 1.0).abs() < 1e-12);
    // Few updates, or a share of less than one, leave nothing to rise in.
    for updates in 1..5 {
        let short = OneCycle::new(updates);
        assert!((0..9).all(|update| (0.0..=1.0).contains(&short.factor(update))), "{updates}");
    }
}

/// With SGD and a gradient of 1 the weight falls by the learning rate: it tells the rates of all steps.
#[test]
fn every_step_has_its_own_rate() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [1], Init::Zeros);
    let other = params.add("other", [1], Init::Zeros);
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let x = g.input("x", [2, 1]);
        let loss = (g.param(&weight) + g.param(&other)).sum(..) + (x.mean(..) * 0.0);
        let rows = HostTensor::new([6, 1], HostData::F32(vec![1.0; 6])).unwrap();
        let compile = || {
            g.train(loss, groups())
                .schedule(Cosine::new(40).after_warmup(3))
                .dataset([x.feed(&rows)])
                .compile(device, &params)
                .unwrap()
        };
        let mut step = compile();
        let schedule = Cosine::new(40).after_warmup(3);
        let fallen = |steps: u32, rate: f64| -> f64 { (0..steps).map(|t| rate * schedule.factor(t)).sum() };
        let check = |step: &retrograd::Step, steps: u32| {
            assert_eq!(step.state().steps(), steps);
            for (parameter, rate) in [("weight", 0.5), ("other", 5.0)] {
                let (got, want) = (step.state().parameter(parameter).unwrap().item(), -fallen(steps, rate));
                assert!((f64::from(got) - want).abs() < 1e-5 * want.abs(), "{name} {parameter}: {got} for {want}");
            }
            let rate = step.learning_rate().unwrap();
            assert!((rate - 0.5 * schedule.factor(steps)).abs() < 1e-12, "{name}: {rate}");
        };
        step.run([]).unwrap();
        check(&step, 1);
        assert_eq!(step.run_epoch([]).unwrap(), 2);
        check(&step, 3);
        step.run_many(20, []).unwrap();
        check(&step, 23);
        // A checkpoint tells how many steps there were, and so the rate.
        let bytes = pollster::block_on(step.state().to_safetensors()).unwrap();
        let mut next = compile();
        next.state().load_safetensors(&bytes).unwrap();
        next.run_epoch([]).unwrap();
        check(&next, 24);
    }
}

fn groups() -> Groups<Sgd> {
    Groups::new(Sgd::new(0.5)).group_at_rate("fast", 10.0, |name, _| name == "other", |sgd| sgd)
}

/// What a schedule follows is how often its parameters were updated, not how many steps ran on the state.
#[test]
fn schedules_follow_the_updates_of_their_parameters() {
    let mut params = Params::seeded(1);
    let (one, other) = (params.add("one", [1], Init::Zeros), params.add("other", [1], Init::Zeros));
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let state = State::new(device, &params).unwrap();
        let (g, h, k) = (Graph::new(), Graph::new(), Graph::new());
        let schedule = || Exponential::new(0.5);
        let alone = |g: &Graph, param: &Param| {
            g.train(g.param(param).sum(..), Sgd::new(1.0))
                .only(&[param])
                .schedule(schedule())
                .compile_on(&state)
                .unwrap()
        };
        // Two that take turns.
        let (mut first, mut second) = (alone(&g, &one), alone(&h, &other));
        for update in 0..4 {
            for step in [&mut first, &mut second] {
                assert_eq!(step.learning_rate(), Some(0.5f64.powi(update)));
                step.run([]).unwrap();
            }
        }
        let read = |name: &str| state.parameter(name).unwrap().item();
        assert_eq!((read("one"), read("other")), (-1.875, -1.875), "{name}");
        // Several runs for an update, after updates by one run each.
        let training = k.train(k.param(&one).sum(..), Sgd::new(1.0)).only(&[&one]).schedule(schedule()).accumulate(3);
        let mut third = training.compile_on(&state).unwrap();
        third.run_many(4, []).unwrap();
        assert_eq!((read("one"), third.learning_rate()), (-1.9375, Some(0.03125)), "{name}");
        // What was begun is given up; the schedule goes on where it was.
        state.reset_optimizer().unwrap();
        third.run_many(2, []).unwrap();
        assert_eq!((read("one"), third.learning_rate()), (-1.9375, Some(0.03125)), "{name}");
        third.run([]).unwrap();
        assert_eq!((read("one"), third.learning_rate()), (-1.96875, Some(0.015_625)), "{name}");
        // The other parameter has its own count, which a checkpoint holds.
        let bytes = pollster::block_on(state.to_safetensors()).unwrap();
        state.restart_schedules();
        assert_eq!((second.learning_rate(), third.learning_rate()), (Some(1.0), Some(1.0)), "{name}");
        state.load_safetensors(&bytes).unwrap();
        assert_eq!((second.learning_rate(), third.learning_rate()), (Some(0.0625), Some(0.015_625)), "{name}");
    }
}

#[test]
fn a_rate_set_by_hand_is_what_factors_are_of() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [1], Init::Zeros);
    let g = Graph::new();
    let training = g.train(g.param(&weight).sum(..), Adam::new(0.5)).schedule(Exponential::new(0.5));
    let mut step = training.compile(&retrograd::Device::cpu(), &params).unwrap();
    step.run_many(2, []).unwrap();
    assert_eq!(step.learning_rate(), Some(0.125));
    step.set_learning_rate(1.0).unwrap();
    assert_eq!(step.learning_rate(), Some(0.25));
}

#[test]
fn a_schedule_that_gives_no_rate_is_an_error() {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [1], Init::Zeros);
    let g = Graph::new();
    let schedule = from_fn(|update| if update == 2 { f64::NAN } else { 1.0 });
    let training = g.train(g.param(&weight).sum(..), Adam::new(0.5)).schedule(schedule);
    let mut step = training.compile(&retrograd::Device::cpu(), &params).unwrap();
    step.run_many(2, []).unwrap();
    let before = step.state().parameter("weight").unwrap();
    let error = step.run([]).unwrap_err().to_string();
    assert!(error.contains("NaN") && error.contains("update 2"), "{error}");
    assert_eq!(step.state().parameter("weight").unwrap(), before);
    assert_eq!(step.state().steps(), 2);
    assert!(step.learning_rate().unwrap().is_nan());
}

#[test]
fn early_stopping_waits_for_patience() {
    let mut stopping = EarlyStopping::new(3).min_delta(0.1);
    let losses = [1.0, 0.5, 0.45, f64::NAN, 0.3, 0.35, 0.29, 0.3];
    let stops: Vec<bool> = losses.iter().map(|&loss| stopping.observe(loss)).collect();
    assert_eq!(stops, [false, false, false, false, false, false, false, true]);
    assert_eq!((stopping.best(), stopping.is_best()), (Some(0.3), false));
    let mut stopping = EarlyStopping::new(1).higher_is_better();
    assert!(!stopping.observe(0.5) && stopping.is_best());
    assert!(!stopping.observe(0.6) && stopping.is_best());
    assert!(stopping.observe(0.6));
    // Nothing but NaN is no progress.
    let mut stopping = EarlyStopping::new(2);
    assert!(!stopping.observe(f64::NAN) && !stopping.is_best());
    assert!(stopping.observe(f64::NAN));
    assert_eq!(stopping.best(), None);
}

#[test]
fn plateaus_lower_the_rate() {
    let mut plateau = ReduceOnPlateau::new(0.1, 1).unwrap().cooldown(1).lowest(0.005);
    let losses = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.6, 0.6, 0.6];
    let factors: Vec<f64> = losses.iter().map(|&loss| plateau.observe(loss)).collect();
    let want = [1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.005, 0.005];
    assert!(factors.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12), "{factors:?}");
    assert!((plateau.factor() - 0.005).abs() < 1e-12);
    // A floor above the factor does not lift it, and NaN is no floor.
    for lowest in [2.0, 1.0, f64::INFINITY] {
        let mut plateau = ReduceOnPlateau::new(0.1, 0).unwrap().lowest(lowest);
        let factors: Vec<f64> = [1.0; 4].into_iter().map(|loss| plateau.observe(loss)).collect();
        assert_eq!(factors, [1.0; 4], "{lowest}");
    }
    let mut plateau = ReduceOnPlateau::new(0.5, 0).unwrap().lowest(f64::NAN).min_delta(f64::NAN);
    let factors: Vec<f64> = [1.0, 0.9, 0.8, 0.8].into_iter().map(|loss| plateau.observe(loss)).collect();
    assert_eq!(factors, [1.0, 1.0, 1.0, 0.5]);
    for factor in [0.0, 1.0, f64::NAN] {
        assert!(ReduceOnPlateau::new(factor, 1).unwrap_err().to_string().contains("factor is"), "{factor}");
    }
}
