//! Optimizers on devices against the rule in double precision, for many parameters of awkward sizes at once.

mod common;

use common::{device, distance};
use retrograd::optim::{
    Adagrad, Adam, AdamW, Adamax, Groups, Lamb, Lion, NAdam, Optimizer, RAdam, RmsProp, Sgd, without_decay_on_vectors,
};
use retrograd::plan::{Phase, Profile, StepScalars};
use retrograd::{Device, ErrorKind, Generator, Graph, Init, Param, Params, Shape};

const STEPS: u32 = 12;
/// One element, odd sizes, more than one chunk of norms, a matrix.
const SHAPES: [&[usize]; 6] = [&[1], &[7, 3], &[65], &[130, 129], &[5], &[1, 2, 3]];

fn optimizers() -> Vec<Box<dyn Optimizer>> {
    vec![
        Box::new(Sgd::new(0.02).momentum(0.9).nesterov().weight_decay(0.01)),
        Box::new(Adam::new(0.03).weight_decay(0.02)),
        Box::new(AdamW::new(0.03).weight_decay(0.1)),
        Box::new(RmsProp::new(0.01).weight_decay(0.02)),
        Box::new(RmsProp::new(0.01).centered()),
        Box::new(RmsProp::new(0.01).momentum(0.8)),
        Box::new(RmsProp::new(0.01).centered().momentum(0.8).alpha(0.9)),
        Box::new(Adagrad::new(0.1).rate_decay(0.1).initial_sum(0.3).weight_decay(0.02)),
        Box::new(Adamax::new(0.03).weight_decay(0.02)),
        Box::new(NAdam::new(0.03).weight_decay(0.02)),
        Box::new(NAdam::new(0.03).decoupled_weight_decay(0.1)),
        Box::new(RAdam::new(0.03).weight_decay(0.02)),
        Box::new(RAdam::new(0.03).decoupled_weight_decay(0.1)),
        Box::new(Lion::new(0.003).weight_decay(0.3)),
        Box::new(Lamb::new(0.03).weight_decay(0.1)),
        Box::new(Lamb::new(0.03)),
    ]
}

/// Parameters, each with what its gradient is made of.
struct Problem {
    params: Params,
    parameters: Vec<Param>,
    targets: Vec<Vec<f32>>,
}

fn problem() -> Problem {
    let mut params = Params::seeded(5);
    let mut generator = Generator::new(17);
    let mut numbers = |shape: &[usize]| -> Vec<f32> {
        (0..shape.iter().product()).map(|_| generator.uniform(-1.0, 1.0) as f32).collect()
    };
    let add =
        |(place, shape): (usize, &&[usize])| params.add(&format!("p{place}"), shape.to_vec(), Init::Uniform(-1.0, 1.0));
    let parameters = SHAPES.iter().enumerate().map(add).collect();
    Problem { params, parameters, targets: SHAPES.iter().map(|shape| numbers(shape)).collect() }
}

/// The weights of every parameter after some steps on a device, minimising the sum of (w - target)^2.
fn on_device(device: &Device, optimizer: impl Into<retrograd::optim::Grouped>) -> Vec<Vec<f64>> {
    let Problem { params, parameters, targets } = problem();
    let g = Graph::new();
    let mut loss = g.full([1], 0.0);
    let mut feeds = Vec::new();
    for (parameter, target) in parameters.iter().zip(&targets) {
        let input = g.input(parameter.name(), parameter.shape().clone());
        loss = loss + (g.param(parameter) - input).square().sum(..);
        feeds.push((input, target));
    }
    let mut step = g.train(loss, optimizer).compile(device, &params).unwrap_or_else(|error| panic!("{error}"));
    let fed: Vec<_> = feeds.iter().map(|(input, target)| input.feed(*target)).collect();
    // Half of them one by one, half replayed: it must make no difference.
    for _ in 0..STEPS / 2 {
        step.run(&fed).unwrap();
    }
    step.run_many(STEPS - STEPS / 2, &fed).unwrap();
    let read = |parameter: &Param| step.state().parameter(parameter.name()).unwrap().to_vec();
    parameters.iter().map(|parameter| read(parameter).into_iter().map(f64::from).collect()).collect()
}

/// The same by the rule on the host in double precision, with an optimizer of its own for every parameter.
fn on_host<'o>(of: impl Fn(&str, &Shape) -> (&'o dyn Optimizer, f64)) -> Vec<Vec<f64>> {
    let Problem { params, parameters, targets } = problem();
    let run = |(parameter, target): (&Param, &Vec<f32>)| {
        let (optimizer, factor) = of(parameter.name(), parameter.shape());
        let update = optimizer.update().unwrap();
        let mut weight: Vec<f64> = params.value(parameter).unwrap().to_vec().into_iter().map(f64::from).collect();
        let mut states = vec![vec![0.0; weight.len()]; update.states.len()];
        for count in 1..=STEPS {
            let gradient: Vec<f64> = weight.iter().zip(target).map(|(w, &t)| 2.0 * (w - f64::from(t))).collect();
            let learning_rate = optimizer.learning_rate() * factor;
            let scalars = optimizer.scalars(count, learning_rate);
            let step = StepScalars { count, learning_rate, scalars, ..StepScalars::default() };
            let mut states: Vec<&mut [f64]> = states.iter_mut().map(Vec::as_mut_slice).collect();
            update.host.apply_f64(&step, &gradient, &mut weight, &mut states);
        }
        weight
    };
    parameters.iter().zip(&targets).map(run).collect()
}

fn compare(what: &str, got: &[Vec<f64>], want: &[Vec<f64>]) {
    for (place, (got, want)) in got.iter().zip(want).enumerate() {
        let distance = distance(got, want, 2e-5, 2e-5);
        assert!(distance.excess <= 1.0, "{what}, parameter {place}: {distance:?}");
    }
}

#[test]
fn devices_follow_the_rule() {
    for (number, optimizer) in optimizers().into_iter().enumerate() {
        let want = on_host(|_, _| (&*optimizer, 1.0));
        for name in ["cpu", "vulkan", "gl"] {
            let Some(device) = device(name) else { continue };
            let own = optimizers().swap_remove(number);
            compare(&format!("{own:?} on {name}"), &on_device(device, own), &want);
        }
    }
}

/// Written down from the papers, apart from the crate: one step and a second on one parameter.
#[test]
fn lion_and_lamb_do_what_their_papers_say() {
    let (rate, decay, weights, gradients) = (0.1, 0.2, [0.5, -2.0, 1.5], [[0.3, -0.1, 0.0], [-1.0, 0.4, 0.0]]);
    let run = |optimizer: &dyn Optimizer| {
        let update = optimizer.update().unwrap();
        let mut weight = weights.to_vec();
        let mut states = vec![vec![0.0; 3]; update.states.len()];
        for (count, gradient) in (1..).zip(&gradients) {
            let scalars = optimizer.scalars(count, rate);
            let step = StepScalars { count, learning_rate: rate, scalars, ..StepScalars::default() };
            let mut states: Vec<&mut [f64]> = states.iter_mut().map(Vec::as_mut_slice).collect();
            update.host.apply_f64(&step, gradient, &mut weight, &mut states);
        }
        weight
    };
    let lion = {
        let (mut w, mut m) = (weights, [0.0; 3]);
        for g in gradients {
            for i in 0..3 {
                let c: f64 = 0.9 * m[i] + 0.1 * g[i];
                let sign = if c == 0.0 { 0.0 } else { c.signum() };
                w[i] -= rate * (sign + decay * w[i]);
                m[i] = 0.99 * m[i] + 0.01 * g[i];
            }
        }
        w
    };
    let lamb = {
        let (mut w, mut m, mut v) = (weights, [0.0; 3], [0.0; 3]);
        for (t, g) in (1..).zip(gradients) {
            let mut r = [0.0; 3];
            for i in 0..3 {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let (m_hat, v_hat): (f64, f64) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
                r[i] = m_hat / (v_hat.sqrt() + 1e-6) + decay * w[i];
            }
            let norm = |x: &[f64; 3]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let ratio = norm(&w) / norm(&r);
            for i in 0..3 {
                w[i] -= rate * ratio * r[i];
            }
        }
        w
    };
    for (got, want) in
        [(run(&Lion::new(rate).weight_decay(decay)), lion), (run(&Lamb::new(rate).weight_decay(decay)), lamb)]
    {
        assert!(distance(&got, &want, 1e-12, 1e-12).excess <= 1.0, "{got:?} instead of {want:?}");
    }
}

/// Trains weights by the gradients that are given, on a device.
fn by_gradients(
    device: &Device,
    optimizer: impl Optimizer + 'static,
    weights: &[f32],
    gradients: &[Vec<f32>],
) -> Vec<f32> {
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [weights.len()], Init::Values(weights.to_vec()));
    let g = Graph::new();
    let x = g.input("x", [weights.len()]);
    let loss = (g.param(&weight) * x).sum(..);
    let mut step = g.train(loss, optimizer).compile(device, &params).unwrap();
    for gradient in gradients {
        step.run([x.feed(gradient)]).unwrap();
    }
    step.state().parameter("weight").unwrap().to_vec()
}

/// Without a norm of the weights, or of the direction, LAMB's ratio is 1; elsewhere it is that of norms whose squares may be
/// beyond single precision.
#[test]
fn the_trust_ratio_has_no_holes() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        // The first direction is the sign of the gradient, as m / sqrt(v) is.
        let lamb = || Lamb::new(0.5);
        let moved = by_gradients(device, lamb(), &[0.0; 4], &[vec![3.0, -3.0, 3.0, -3.0]]);
        assert!(moved.iter().zip([-0.5, 0.5, -0.5, 0.5]).all(|(w, want)| (w - want).abs() < 1e-5), "{name}: {moved:?}");
        let weights = [1.0, -2.0, 3.0];
        assert_eq!(by_gradients(device, lamb(), &weights, &[vec![0.0; 3]]), weights, "{name}: no direction");
        for scale in [1e-30f32, 1e-22, 1e22, 1e30] {
            let moved = by_gradients(device, lamb(), &[scale, -scale, scale], &[vec![1.0, 1.0, -1.0]]);
            let want = [0.5, -1.5, 1.5];
            let close = |(w, want): (&f32, f32)| (w / scale - want).abs() < 1e-4;
            assert!(moved.iter().zip(want).all(close), "{name}, {scale:e}: {moved:?}");
        }
    }
}

/// Lion takes signs, and yet a gradient that is no number must be seen.
#[test]
fn lion_hides_neither_nan_nor_infinity() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let gradients = [vec![f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30, 0.0], vec![1.0; 5]];
        let moved = by_gradients(device, Lion::new(0.5), &[1.0; 5], &gradients);
        assert!(moved[..3].iter().all(|w| !w.is_finite()) && moved[2].is_nan(), "{name}: {moved:?}");
        assert!((moved[3], moved[4]) == (0.0, 0.5), "{name}: {moved:?}");
    }
}

/// A group that others, or freezing, have left empty is as much of a mistake as one that chooses nothing.
#[test]
fn groups_without_a_trained_parameter_are_refused() {
    let mut params = Params::seeded(1);
    let (up, down) = (params.add("up", [2, 2], Init::Zeros), params.add("down", [2], Init::Zeros));
    let cell = params.add_cell("cell", [2], Init::Zeros);
    let compile = |optimizer: Groups<Sgd>, only: &[&Param]| {
        let g = Graph::new();
        let loss = only.iter().fold(g.param(&cell).sum(..), |sum, param| sum + g.param(param).sum(..));
        g.train(loss, optimizer).only(only).compile(&Device::cpu(), &params).map(|_| ())
    };
    let base = || Groups::new(Sgd::new(0.1));
    let named =
        |optimizer: Groups<Sgd>, name: &'static str| optimizer.group("late", move |own, _| own == name, |sgd| sgd);
    let all = || base().group("all", |_, _| true, |sgd| sgd);
    for (optimizer, only, chosen) in [
        (named(all(), "down"), vec![&up, &down], "(down)"),
        (named(base(), "down"), vec![&up], "(down)"),
        (named(base(), "cell"), vec![&up, &down], "(cell)"),
    ] {
        let error = compile(optimizer, &only).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        let text = error.to_string();
        assert!(text.contains("group `late` has nothing to train") && text.contains(chosen), "{text}");
    }
    compile(named(base(), "down"), &[&up, &down]).unwrap();
    compile(named(base(), "down"), &[&down]).unwrap();
}

#[test]
fn groups_train_with_their_own_settings() {
    let base = AdamW::new(0.03).weight_decay(0.2);
    let bare = AdamW::new(0.03);
    let other = Sgd::new(0.06).momentum(0.5);
    let want = on_host(|name, shape| match name {
        "p3" => (&other, 1.0),
        "p4" => (&base, 0.25),
        _ if shape.rank() < 2 => (&bare, 1.0),
        _ => (&base, 1.0),
    });
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let optimizer = Groups::new(base)
            .group("sgd", |name, _| name == "p3", |_| other)
            .group_at_rate("slow", 0.25, |name, _| name == "p4", |adam| adam)
            .group("vectors", |_, shape| shape.rank() < 2, |adam| adam.weight_decay(0.0));
        compare(name, &on_device(device, optimizer), &want);
    }
}

#[test]
fn lamb_may_be_one_of_several_groups() {
    let (base, lamb) = (Lion::new(0.01), Lamb::new(0.02).weight_decay(0.1));
    let want = on_host(|_, shape| if shape.rank() < 2 { (&base, 1.0) } else { (&lamb, 1.0) });
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let optimizer = Groups::new(base).group("matrices", |_, shape| shape.rank() > 1, |_| lamb);
        compare(name, &on_device(device, optimizer), &want);
    }
}

#[test]
fn vectors_are_left_out_of_the_decay() {
    let (base, bare) = (AdamW::new(0.03).weight_decay(0.2), AdamW::new(0.03));
    let want = on_host(|_, shape| (if shape.rank() < 2 { &bare } else { &base }, 1.0));
    compare("cpu", &on_device(&Device::cpu(), without_decay_on_vectors(base)), &want);
    // Where there are none, nothing is wrong.
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [2, 2], Init::Zeros);
    let g = Graph::new();
    let loss = g.param(&weight).square().sum(..);
    g.train(loss, without_decay_on_vectors(base)).compile(&Device::cpu(), &params).unwrap();
}

/// A network without vectors leaves one of the two groups empty, with LAMB as with any other.
#[test]
fn a_group_may_have_nothing_to_train() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [2, 2], Init::Constant(1.0));
        let g = Graph::new();
        let loss = g.param(&weight).sum(..);
        let mut step = g.train(loss, without_decay_on_vectors(Lamb::new(0.5))).compile(device, &params).unwrap();
        step.run([]).unwrap();
        let now = step.state().parameter("weight").unwrap().to_vec();
        assert!(now.iter().all(|w| (w - 0.5).abs() < 1e-5), "{name}: {now:?}");
    }
}

#[test]
fn the_usual_groups_are_a_dispatch_each() {
    let mut params = Params::seeded(1);
    let g = Graph::new();
    let mut loss = g.full([1], 0.0);
    for layer in 0..5 {
        for (name, shape) in [("weight", vec![4, 4]), ("bias", vec![4])] {
            let parameter = params.add(&format!("{layer}.{name}"), shape, Init::Constant(1.0));
            loss = loss + g.param(&parameter).square().sum(..);
        }
        params.add_cell(&format!("{layer}.mean"), [4], Init::Zeros);
    }
    let count = |optimizer: retrograd::optim::Grouped| {
        g.train(loss, optimizer).plan(&params, &Profile::webgpu_default()).unwrap().list(Phase::Update).count()
    };
    let adam = AdamW::new(1e-3).weight_decay(0.1);
    assert_eq!((count(adam.into()), count(without_decay_on_vectors(adam).into())), (1, 2));
    let by_part = Groups::new(adam).group("first", |name, _| name < "2", |adam| adam);
    assert_eq!(count(by_part.into()), 4, "two parts, each with its matrices and its vectors");
    assert_eq!(count(Lamb::new(1e-3).into()), 4);
}

#[test]
fn bad_settings_name_group_and_setting() {
    let refused = |optimizer: retrograd::optim::Grouped| {
        let mut params = Params::seeded(1);
        let weight = params.add("weight", [2, 2], Init::Zeros);
        let g = Graph::new();
        let loss = g.param(&weight).square().sum(..);
        let error = g.train(loss, optimizer).compile(&Device::cpu(), &params).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        error.to_string()
    };
    let all = |_: &str, _: &Shape| true;
    let base = || Groups::new(AdamW::new(1e-3));
    let cases: Vec<(String, Vec<&str>)> = vec![
        (refused(base().group("big", all, |a| a.weight_decay(-1.0)).into()), vec!["group `big`", "weight decay is -1"]),
        (refused(base().group_at_rate("far", f64::NAN, all, |a| a).into()), vec!["group `far`", "factor", "NaN"]),
        (
            refused(base().group("head", |name, _| name.starts_with("head"), |a| a).into()),
            vec!["group `head`", "weight"],
        ),
        (
            refused(Groups::new(Sgd::new(0.0)).group("fast", all, |_| Sgd::new(0.1)).into()),
            vec!["group `fast`", "learning rate is 0.1"],
        ),
        (refused(RmsProp::new(1e-3).alpha(1.0).into()), vec!["rmsprop", "alpha is 1"]),
        (refused(RmsProp::new(1e-3).momentum(-0.1).into()), vec!["rmsprop", "momentum is -0.1"]),
        (refused(Adagrad::new(1e-3).rate_decay(-0.1).into()), vec!["adagrad", "rate decay is -0.1"]),
        (refused(Adamax::new(1e-3).epsilon(0.0).into()), vec!["adamax", "epsilon is 0"]),
        (refused(NAdam::new(1e-3).momentum_decay(-1.0).into()), vec!["nadam", "momentum decay is -1"]),
        (refused(RAdam::new(1e-3).betas(0.9, 1.5).into()), vec!["radam", "beta is 1.5"]),
        (refused(Lion::new(f64::INFINITY).into()), vec!["lion", "learning rate is inf"]),
        (refused(Lamb::new(1e-3).epsilon(-1.0).into()), vec!["lamb", "epsilon is -1"]),
    ];
    for (message, parts) in cases {
        for part in parts {
            assert!(message.contains(part), "`{part}` is missing: {message}");
        }
    }
}
