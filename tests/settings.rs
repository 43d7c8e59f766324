//! Whatever optimizers, schedules and trainings are set to, a step compiles and runs or says why not: NaN, infinities, negative
//! and huge numbers, alone and together. A panic is a failure, and so is a refusal that does not say what is wrong.
//!
//! `RETROGRAD_TEST_CASES` says how often each optimizer is tried.

mod common;

use common::hostile::{failures, number};
use proptest::prelude::*;
use retrograd::optim::{
    Adagrad, Adam, AdamW, Adamax, Decaying, Groups, Lamb, Lion, NAdam, RAdam, RmsProp, Sgd, without_decay_on_vectors,
};
use retrograd::schedule::{Constant, Cosine, Exponential, Linear, OneCycle, Schedule, StepDecay, from_fn};
use retrograd::train::{EarlyStopping, ReduceOnPlateau};
use retrograd::{Device, ErrorKind, Graph, Params, Shape, Tensor, Training, nn};

/// What everything is set to; each takes what it needs, from the front.
#[derive(Clone, Debug)]
struct Settings {
    numbers: Vec<f64>,
    counts: Vec<u32>,
    /// Which of the optimizer's settings are set, and which of the training's.
    set: u32,
    schedule: usize,
    grouped: usize,
}

impl Settings {
    fn asks(&self, number: u32) -> bool {
        self.set & 1 << number != 0
    }
}

fn count() -> impl Strategy<Value = u32> {
    let edges = [0, 1, 1 << 31, (1 << 24) + 1, u32::MAX - 1, u32::MAX];
    prop_oneof![3 => 0..6u32, 1 => proptest::sample::select(edges.to_vec())]
}

/// Most numbers make sense, so that what comes behind a check is reached as well.
fn settings() -> BoxedStrategy<Settings> {
    let mostly = prop_oneof![2 => 0.0..1.0f64, 1 => number()];
    (proptest::collection::vec(mostly, 16), proptest::collection::vec(count(), 6), any::<u32>(), 0..11usize, 0..4usize)
        .prop_map(|(numbers, counts, set, schedule, grouped)| Settings { numbers, counts, set, schedule, grouped })
        .boxed()
}

type Make = for<'g> fn(&'g Graph, Tensor<'g>, &Settings) -> Training<'g>;

/// Every optimizer, with whichever of its settings.
macro_rules! optimizers {
    ($($name:ident { $($number:literal: $setting:ident($($at:literal),*)),* $(,)? })*) => {
        &[$((stringify!($name), |g, loss, with| {
            let optimizer = $name::new(with.numbers[0]);
            $(let optimizer = if with.asks($number) { optimizer.$setting($(with.numbers[$at]),*) } else { optimizer };)*
            grouped(g, loss, optimizer, with)
        })),*]
    };
}

/// A training by an optimizer, alone or with another group.
fn grouped<'g>(
    g: &'g Graph,
    loss: Tensor<'g>,
    optimizer: impl Decaying + Clone + 'static,
    with: &Settings,
) -> Training<'g> {
    let vectors = |_: &str, shape: &Shape| shape.rank() < 2;
    match with.grouped {
        0 => g.train(loss, Groups::new(optimizer).group("vectors", vectors, |_| Sgd::new(with.numbers[10]))),
        1 => g.train(loss, Groups::new(optimizer).group_at_rate("vectors", with.numbers[10], vectors, |same| same)),
        2 => g.train(loss, without_decay_on_vectors(optimizer)),
        _ => g.train(loss, optimizer),
    }
}

static OPTIMIZERS: &[(&str, Make)] = optimizers! {
    Sgd { 0: momentum(1), 1: weight_decay(2), 2: nesterov() }
    Adam { 0: betas(1, 2), 1: epsilon(3), 2: weight_decay(4) }
    AdamW { 0: betas(1, 2), 1: epsilon(3), 2: weight_decay(4) }
    Adamax { 0: betas(1, 2), 1: epsilon(3), 2: weight_decay(4) }
    NAdam { 0: betas(1, 2), 1: epsilon(3), 2: weight_decay(4), 3: decoupled_weight_decay(5), 4: momentum_decay(6) }
    RAdam { 0: betas(1, 2), 1: epsilon(3), 2: weight_decay(4), 3: decoupled_weight_decay(5) }
    RmsProp { 0: alpha(1), 1: epsilon(2), 2: momentum(3), 3: weight_decay(4), 4: centered() }
    Adagrad { 0: rate_decay(1), 1: initial_sum(2), 2: epsilon(3), 3: weight_decay(4) }
    Lion { 0: betas(1, 2), 1: weight_decay(3) }
    Lamb { 0: betas(1, 2), 1: epsilon(3), 2: weight_decay(4) }
};

/// Gives a training a schedule, after a rise or at once.
fn scheduled<'g>(training: Training<'g>, with: &Settings) -> Training<'g> {
    fn rising<'g>(training: Training<'g>, schedule: impl Schedule + 'static, with: &Settings) -> Training<'g> {
        // Factors are told for every update, whatever the settings are.
        for update in with.counts.iter().copied() {
            let _ = schedule.factor(update);
        }
        if with.asks(30) {
            let warm = schedule.after_warmup(with.counts[1]);
            let _ = warm.factor(with.counts[0]);
            training.schedule(warm)
        } else {
            training.schedule(schedule)
        }
    }
    let [a, b, c] = [7, 8, 9].map(|place: usize| with.numbers[place]);
    let updates = with.counts[0];
    match with.schedule {
        0 => rising(training, Constant, with),
        1 => rising(training, StepDecay::new(updates, a), with),
        2 => rising(training, Exponential::new(a), with),
        3 => rising(training, Linear::new(updates).lowest(a), with),
        4 => rising(training, Cosine::new(updates).lowest(a), with),
        5 => rising(training, OneCycle::new(updates).rising(a).divisors(b, c), with),
        6 => rising(training, OneCycle::new(updates), with),
        7 => rising(training, from_fn(move |_| a), with),
        _ => training,
    }
}

/// An error of a caller's mistake, in words.
fn told(error: retrograd::Error) -> Result<(), TestCaseError> {
    let kinds = [ErrorKind::Argument, ErrorKind::Limit, ErrorKind::Recording];
    prop_assert!(kinds.contains(&error.kind()) && error.to_string().len() > 20, "{:?}: {error}", error.kind());
    Ok(())
}

fn try_settings(make: Make, with: &Settings) -> Result<(), TestCaseError> {
    let (mut params, g) = (Params::seeded(1), Graph::new());
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).square().mean(..);
    let mut training = scheduled(make(&g, loss, with), with);
    if with.asks(20) {
        training = training.clip_norm(with.numbers[11]);
    }
    if with.asks(21) {
        training = training.clip_value(with.numbers[12]);
    }
    if with.asks(22) {
        training = training.average(with.numbers[13]);
    }
    if with.asks(23) {
        training = training.accumulate(with.counts[2]);
    }
    if with.asks(24) {
        training = training.gradient_norm();
    }
    if with.asks(25) {
        training = training.layer_norms();
    }
    let mut step = match training.compile(&Device::cpu(), &params) {
        Ok(step) => step,
        Err(error) => return told(error),
    };
    for count in [0, 1, with.counts[3], with.counts[4]] {
        step.state().set_steps(count);
        step.run([x.feed(&[0.5f32; 12])]).or_else(told)?;
        step.run_many(2, [x.feed(&[0.5f32; 12])]).or_else(told)?;
        let rate = step.learning_rate();
        if let Err(error) = step.set_learning_rate(with.numbers[14]) {
            told(error)?;
            prop_assert_eq!(
                step.learning_rate().map(f64::to_bits),
                rate.map(f64::to_bits),
                "a rate that was refused was taken"
            );
        }
    }
    Ok(())
}

#[test]
fn optimizers_and_schedules_run_or_refuse() {
    let failed: Vec<String> = OPTIMIZERS
        .iter()
        .filter_map(|&(name, make)| failures(name, &settings(), |with| try_settings(make, &with)))
        .collect();
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), OPTIMIZERS.len(), failed.join("\n"));
}

/// What watches a measure takes any.
#[test]
fn watchers_of_measures_take_any_number() {
    let failed = failures("measures", &settings(), |with| {
        let [min_delta, factor, lowest] = [0, 1, 2].map(|place: usize| with.numbers[place]);
        let mut stopping = EarlyStopping::new(with.counts[0]).min_delta(min_delta);
        let mut plateau = match ReduceOnPlateau::new(factor, with.counts[1]) {
            Ok(plateau) => plateau.cooldown(with.counts[2]).lowest(lowest).min_delta(min_delta),
            Err(error) => return told(error),
        };
        if with.asks(0) {
            (stopping, plateau) = (stopping.higher_is_better(), plateau.higher_is_better());
        }
        for &value in &with.numbers {
            let _ = (stopping.observe(value), stopping.is_best(), stopping.best(), plateau.observe(value));
        }
        Ok(())
    });
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
}
