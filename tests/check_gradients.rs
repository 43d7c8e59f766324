//! The test of a whole model's gradients: what is right passes on every device, what is wrong is found and named.

mod common;

use common::device;
use retrograd::base::{Real, TensorType, Value};
use retrograd::nn::{self, Activation, BatchNorm, Conv2d, Embedding, Flatten, Linear, MaxPool2d, Sequential};
use retrograd::ops::{ConvSettings, PoolSettings};
use retrograd::optim::Adam;
use retrograd::record::{Cotangents, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp};
use retrograd::reference::Outcome;
use retrograd::train::{GradientReport, GradientVerdict};
use retrograd::{Device, ErrorKind, Feed, Generator, Graph, Init, Params, Tensor};

fn devices() -> Vec<&'static Device> {
    ["cpu", "vulkan", "gl"].into_iter().filter_map(device).collect()
}

fn floats(seed: u64, count: usize) -> Vec<f32> {
    let mut generator = Generator::new(seed);
    (0..count).map(|_| generator.normal(0.0, 1.0) as f32).collect()
}

fn labels(seed: u64, count: usize, below: usize) -> Vec<i32> {
    let mut generator = Generator::new(seed);
    (0..count).map(|_| generator.below(below) as i32).collect()
}

/// Runs the test on every device, and wants all right.
fn passes(g: &Graph, loss: Tensor<'_>, params: &Params, feeds: &[Feed<'_>]) -> GradientReport {
    let mut last = None;
    for device in devices() {
        let report = g.check_gradients(loss).on(device).run(params, feeds).unwrap();
        println!("{report}");
        report.check().unwrap();
        assert!(report.is_conclusive(), "{report}");
        last = Some(report);
    }
    last.unwrap()
}

#[test]
fn a_perceptron_with_dropout_is_right() {
    let mut params = Params::seeded(3);
    let (up, down) = (Linear::new(&mut params, "up", 7, 33), Linear::new(&mut params, "down", 33, 5));
    let g = Graph::new();
    let (x, y) = (g.input("x", [12, 7]), g.labels("y", [12]));
    let loss = down.forward(up.forward(x).relu().dropout(0.4)).cross_entropy(y);
    let report = passes(&g, loss, &params, &[x.feed(&floats(1, 84)), y.feed(&labels(2, 12, 5))]);
    assert_eq!(report.rows.len(), 5);
    assert!(report.rows.iter().all(|row| row.verdict == GradientVerdict::Right), "{report}");
    assert!(serde_json::to_value(&report).unwrap()["rows"][0]["verdict"] == "Right");
}

/// Blank regions put maxima at ties.
#[test]
fn a_convolutional_network_is_right_and_kinks_raise_no_alarm() {
    let mut params = Params::seeded(3);
    let same = ConvSettings::new().padding(1);
    let model = Sequential::new()
        .then(Conv2d::with_settings(&mut params, "conv1", 1, 3, [3, 3], same.clone()))
        .then(Activation::Relu)
        .then(MaxPool2d(PoolSettings::new(2)))
        .then(Conv2d::with_settings(&mut params, "conv2", 3, 4, [3, 3], same))
        .then(BatchNorm::new(&mut params, "norm", 4))
        .then(Activation::Relu)
        .then(Flatten)
        .then(Linear::new(&mut params, "scores", 4 * 16, 5));
    let g = Graph::new();
    let (x, y) = (g.input("x", [3, 1, 8, 8]), g.labels("y", [3]));
    let loss = model.forward(x).cross_entropy(y);
    let mut images = floats(5, 3 * 64);
    for (place, pixel) in images.iter_mut().enumerate() {
        let (row, column) = (place / 8 % 8, place % 8);
        if row < 4 || column < 2 {
            *pixel = 0.0;
        }
    }
    let report = passes(&g, loss, &params, &[x.feed(&images), y.feed(&labels(2, 3, 5))]);
    // A bias before a normalization changes nothing.
    assert_eq!(report.row("conv2.bias").unwrap().verdict, GradientVerdict::Zero, "{report}");
    let pixels = report.row("x").unwrap();
    assert!(pixels.slopes.iter().all(|slope| slope.outcome == Outcome::NotSmooth), "{report}");
    assert!(pixels.verdict == GradientVerdict::Right && report.to_string().contains("not smooth here"), "{report}");
}

#[test]
fn a_recurrent_network_is_right() {
    let mut params = Params::seeded(3);
    let lstm = nn::Lstm::new(&mut params, "lstm", 2, 6);
    let down = Linear::new(&mut params, "down", 6, 1);
    let g = Graph::new();
    let (x, y) = (g.input("x", [3, 5, 2]), g.input("y", [3, 5, 1]));
    let loss = down.forward(lstm.forward(x)).mse_loss(y);
    let report = passes(&g, loss, &params, &[x.feed(&floats(1, 30)), y.feed(&floats(2, 15))]);
    assert!(report.row("y").unwrap().is_input && report.row("y").unwrap().verdict == GradientVerdict::Right);
}

#[test]
fn a_transformer_is_right() {
    let mut params = Params::seeded(3);
    let token = Embedding::new(&mut params, "token", 11, 8);
    let block = nn::TransformerBlock::new(&mut params, "block", 8, 2).causal().rotary(6, 10_000.0);
    let head = Linear::new(&mut params, "head", 8, 11);
    let g = Graph::new();
    let (x, y) = (g.labels("x", [2, 6]), g.labels("y", [12]));
    let loss = head.forward(block.forward(token.forward(x))).reshape([12, 11]).cross_entropy(y);
    let report = passes(&g, loss, &params, &[x.feed(&labels(1, 12, 11)), y.feed(&labels(2, 12, 11))]);
    // An op that is given something computed from another input counts that as part of it: no path ends.
    assert!(report.ends.is_empty(), "{report}");
}

#[test]
fn trained_values_and_evaluation_with_cells_are_tested_as_well() {
    let mut params = Params::seeded(3);
    let model = Sequential::new()
        .then(Linear::new(&mut params, "up", 4, 6))
        .then(BatchNorm::new(&mut params, "norm", 6))
        .then(Activation::Relu)
        .then(Linear::new(&mut params, "down", 6, 3));
    let (rows, classes) = (floats(1, 40), labels(2, 10, 3));
    let g = Graph::new();
    let (x, y) = (g.input("x", [10, 4]), g.labels("y", [10]));
    let loss = model.forward(x).cross_entropy(y);
    let mut step = g.train(loss, Adam::new(0.05)).compile(&Device::cpu(), &params).unwrap();
    step.run_many(40, [x.feed(&rows), y.feed(&classes)]).unwrap();
    let hidden = step.state().parameter("down.weight").unwrap();
    let h = Graph::evaluation();
    let (x, y) = (h.input("x", [10, 4]), h.labels("y", [10]));
    let loss = model.forward(x).cross_entropy(y);
    let feeds = [x.feed(&rows), y.feed(&classes)];
    let trained = h.check_gradients(loss).at(step.state()).run(&params, &feeds).unwrap();
    let fresh = h.check_gradients(loss).run(&params, &feeds).unwrap();
    trained.check().unwrap();
    fresh.check().unwrap();
    assert!(trained.value < fresh.value, "{} {}", trained.value, fresh.value);
    assert_eq!(step.state().parameter("down.weight").unwrap(), hidden, "the state does not change");
    assert!(trained.row("norm.mean").is_none() && trained.rows.iter().any(|row| row.name.starts_with("norm.")));
}

/// x^3, with whatever rule and text.
#[derive(Debug)]
struct Cube {
    factor: f64,
    gives: bool,
    wgsl: &'static str,
}

impl Op for Cube {
    fn name(&self) -> &'static str {
        "cube"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (x, _, c) = cx.unary();
        if self.gives { Cotangents::one(c * x.square() * self.factor) } else { Cotangents::ends(1) }
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        Lowering::Pointwise(Pointwise::of_inputs(self.wgsl, 1, &[]))
    }
}

impl Reference for Cube {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::Real(inputs[0].real().mapv(|x| x * x * x))]
    }
}

const RIGHT: &str = "({0} * {0} * {0})";

/// A network around the cube, tested on a device.
fn with_cube(device: &Device, cube: Cube) -> GradientReport {
    let mut params = Params::seeded(3);
    let (up, down) = (Linear::new(&mut params, "up", 3, 9), Linear::new(&mut params, "down", 9, 2));
    let g = Graph::new();
    let (x, y) = (g.input("x", [6, 3]), g.labels("y", [6]));
    let hidden = up.forward(x).gelu_erf().tanh();
    let scope = g.scope("middle");
    let hidden = g.record(cube, &[hidden]);
    drop(scope);
    let loss = down.forward(hidden).cross_entropy(y);
    let (rows, classes) = (floats(1, 18), labels(2, 6, 2));
    let feeds = [x.feed(&rows), y.feed(&classes)];
    let report = g.check_gradients(loss).on(device).run(&params, feeds).unwrap();
    println!("{report}");
    report
}

#[test]
fn a_wrong_rule_is_found_and_named() {
    with_cube(&Device::cpu(), Cube { factor: 3.0, gives: true, wgsl: RIGHT }).check().unwrap();
    for factor in [2.0, -3.0, 3.0001] {
        let report = with_cube(&Device::cpu(), Cube { factor, gives: true, wgsl: RIGHT });
        let verdict = |name: &str| report.row(name).unwrap().verdict;
        // What lies between the op and the loss is right.
        assert_eq!((verdict("down.weight"), verdict("down.bias")), (GradientVerdict::Right, GradientVerdict::Right));
        for name in ["up.weight", "up.bias", "x"] {
            assert_eq!(verdict(name), GradientVerdict::Wrong, "{factor} {name}");
        }
        let error = report.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Check);
        for part in ["up.weight", "`cube`", "in middle", "check_gradients.rs:", "input 0"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        assert_eq!(report.suspects.len(), 1, "{report}");
    }
}

#[test]
fn a_path_that_is_dropped_is_wrong_and_one_that_is_detached_is_shown() {
    let report = with_cube(&Device::cpu(), Cube { factor: 3.0, gives: false, wgsl: RIGHT });
    assert_eq!(report.row("up.weight").unwrap().verdict, GradientVerdict::Wrong);
    let error = report.check().unwrap_err();
    assert!(error.to_string().contains("gives input 0 no gradient"), "{error}");

    let mut params = Params::seeded(3);
    let (a, b) = (params.add("a", [4], Init::Normal(0.0, 1.0)), params.add("b", [4], Init::Normal(0.0, 1.0)));
    let g = Graph::new();
    let (a, b) = (g.param(&a), g.param(&b));
    // A straight-through estimate: forward the sign, backward the identity. The derivative with the detached part fixed.
    let through = a + (a.sign() - a).detach();
    let loss = (through * b.detach().exp() + a * b.detach()).square().mean(..);
    let report = passes(&g, loss, &params, &[]);
    assert_eq!(report.row("a").unwrap().verdict, GradientVerdict::Right);
    assert_eq!(report.row("b").unwrap().verdict, GradientVerdict::NotReached);
    assert!(report.ends.iter().any(|end| end.contains("detach") && end.contains("behind it: b")), "{report}");
}

/// The rule is right and the shader is not: the reference does not see it, the comparison with the device does.
#[test]
fn a_wrong_kernel_is_found_on_the_device() {
    for name in ["vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let wrong = Cube { factor: 3.0, gives: true, wgsl: "({0} * {0} * {0} * 1.01)" };
        let report = with_cube(device, wrong);
        assert!(!report.loss_agrees() && report.row("up.weight").unwrap().verdict == GradientVerdict::Right);
        let error = report.check().unwrap_err();
        assert!(
            error.to_string().contains("THE DEVICE DIFFERS") && error.to_string().contains("the loss is"),
            "{error}"
        );
    }
}

#[test]
fn zero_gradients_are_told_from_wrong_ones() {
    let mut params = Params::seeded(3);
    let weight = params.add("weight", [3, 4], Init::Normal(0.0, 1.0));
    let shift = params.add("shift", [3, 1], Init::Normal(0.0, 1.0));
    let off = params.add("off", [4], Init::Constant(-3.0));
    let _unused = params.add("unused", [4], Init::Zeros);
    let g = Graph::new();
    let y = g.labels("y", [3]);
    // A softmax does not see a shift of its row.
    let scores = g.param(&weight) + g.param(&shift);
    let loss = scores.cross_entropy(y) + g.param(&off).relu().sum(..);
    let report = passes(&g, loss, &params, &[y.feed(&[0, 3, 1])]);
    let verdict = |name: &str| report.row(name).unwrap().verdict;
    assert_eq!((verdict("weight"), verdict("shift")), (GradientVerdict::Right, GradientVerdict::Zero));
    assert_eq!((verdict("off"), verdict("unused")), (GradientVerdict::Zero, GradientVerdict::NotReached));
}

#[test]
fn what_is_not_finite_is_told() {
    let mut params = Params::seeded(3);
    let weight = params.add("weight", [2], Init::Values(vec![0.0, 1.0]));
    let g = Graph::new();
    let loss = g.param(&weight).sqrt().sum(..);
    let report = g.check_gradients(loss).run(&params, []).unwrap();
    assert_eq!(report.row("weight").unwrap().verdict, GradientVerdict::NotFinite, "{report}");
    assert_eq!(report.check().unwrap_err().kind(), ErrorKind::Check);
    // Where the loss itself is none, what is fed may be to blame, and no gradient or device is.
    let h = Graph::new();
    let x = h.input("x", [2]);
    let loss = (h.param(&weight) * x).sum(..);
    let report = h.check_gradients(loss).run(&params, [x.feed(&[f32::NAN, 1.0])]).unwrap();
    let text = report.check().unwrap_err().to_string();
    assert!(text.contains("is NaN in float64") && text.contains("check_feeds"), "{text}");
    assert!(!text.contains("DEVICE") && !report.to_string().contains("THE DEVICE DIFFERS"), "{text}\n{report}");
}

#[test]
fn what_single_precision_does_not_reach_is_no_excuse() {
    // The loss is 1e20, and its gradient 1e40.
    let mut params = Params::seeded(3);
    let weight = params.add("weight", [1], Init::Values(vec![1e-20]));
    let g = Graph::new();
    let wide = (g.param(&weight) * 1e20 * 1e20).sum(..);
    // The loss is 90, by way of a power that is infinite in single precision, as the loss then is.
    let mut other = Params::seeded(3);
    let exponent = other.add("weight", [1], Init::Values(vec![1.0]));
    let h = Graph::new();
    let high = (h.param(&exponent) * 90.0).exp().log().sum(..);
    for (g, loss, params, tells) in [(&g, wide, &params, "THE DEVICE DIFFERS"), (&h, high, &other, "the loss is 9")] {
        let report = g.check_gradients(loss).on(&Device::cpu()).run(params, []).unwrap();
        let row = report.row("weight").unwrap();
        assert_eq!(row.verdict, GradientVerdict::Right, "{report}");
        let device = row.device.as_ref().unwrap();
        assert!(device.allowed <= 1e-2 && device.change_allowed.is_finite(), "{device:?}");
        assert!(!device.agrees() && report.device_allowed.is_finite(), "{report}");
        let error = report.check().unwrap_err().to_string();
        assert!(error.contains(tells), "{error}");
    }
}

#[test]
fn mistakes_of_the_caller_are_errors() {
    let mut params = Params::seeded(3);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let (x, y) = (g.input("x", [4, 3]), g.labels("y", [4]));
    let scores = layer.forward(x);
    let loss = scores.cross_entropy(y);
    let (rows, classes) = (floats(1, 12), vec![0, 1, 1, 0]);
    let kind = |result: retrograd::Result<GradientReport>| result.unwrap_err().kind();
    let feeds = [x.feed(&rows), y.feed(&classes)];
    assert_eq!(kind(g.check_gradients(scores).run(&params, &feeds)), ErrorKind::Recording);
    assert_eq!(kind(g.check_gradients(loss).run(&params, [x.feed(&rows)])), ErrorKind::Feed);
    assert_eq!(kind(g.check_gradients(loss).run(&params, [x.feed(&rows[1..]), y.feed(&classes)])), ErrorKind::Feed);
    assert_eq!(kind(g.check_gradients(loss).run(&params, [x.feed(&rows), y.feed(&[0, 1, 2, 0])])), ErrorKind::Feed);
    assert_eq!(kind(g.check_gradients(loss).directions(0).run(&params, &feeds)), ErrorKind::Argument);
    assert_eq!(kind(g.check_gradients(loss).run(&Params::seeded(1), &feeds)), ErrorKind::Recording);
    let other = Graph::new();
    assert_eq!(kind(other.check_gradients(loss).run(&params, &feeds)), ErrorKind::Recording);
    let cell = params.add_cell("cell", [1], Init::Zeros);
    assert_eq!(kind(g.check_gradients(loss).only(&[&cell]).run(&params, &feeds)), ErrorKind::Recording);
    // The shorthand of a training step, and it can be compiled afterwards.
    let training = g.train(loss, Adam::new(0.1));
    training.check_gradients(&Device::cpu(), &params, &feeds).unwrap().check().unwrap();
    training.compile(&Device::cpu(), &params).unwrap().run(feeds).unwrap();
}
