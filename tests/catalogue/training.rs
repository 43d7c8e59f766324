//! Settings of trainings, and what a loss has to be.

use super::Catalogue;
use retrograd::nn::Linear;
use retrograd::optim::{self, Adagrad, Adam, AdamW, Groups, Lion, RmsProp, Sgd};
use retrograd::plan::Profile;
use retrograd::schedule::{self, Cosine, Exponential, OneCycle, StepDecay};
use retrograd::train::{ReduceOnPlateau, Training};
use retrograd::{Device, ErrorKind, Graph, HostData, HostTensor, Init, Params, State};

/// What is asked of a training, with what is wrong.
type Setting = (&'static str, for<'g> fn(Training<'g>) -> Training<'g>);

const SETTINGS: &[Setting] = &[
    ("clipping by a norm of 0", |training| training.clip_norm(0.0)),
    ("clipping by a value that is infinite", |training| training.clip_value(f64::INFINITY)),
    ("an update of no runs", |training| training.accumulate(0)),
    ("an average that never moves", |training| training.average(1.0)),
    ("snapshots of every 0 steps", |training| training.snapshots(0)),
    ("a check of numbers in every 0 steps", |training| training.check_numbers(0)),
    ("a schedule of no updates", |training| training.schedule(Cosine::new(0))),
    ("a schedule that falls below 0", |training| training.schedule(Cosine::new(10).lowest(-1.0))),
    ("a schedule by NaN", |training| training.schedule(Exponential::new(f64::NAN))),
    ("a decay at every 0 updates", |training| training.schedule(StepDecay::new(0, 0.5))),
    ("a cycle that only rises", |training| training.schedule(OneCycle::new(10).rising(1.0))),
    ("a cycle divided by 0", |training| training.schedule(OneCycle::new(10).divisors(0.0, 10.0))),
];

fn with_optimizer(texts: &mut Catalogue, what: &str, optimizer: impl Into<optim::Grouped>) {
    let mut params = Params::seeded(0);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let loss = layer.forward(g.input("x", [4, 3])).square().mean(..);
    texts.fails(what, g.train(loss, optimizer).compile(&Device::cpu(), &params));
}

#[test]
fn settings_that_cannot_be_used() {
    let mut texts = Catalogue::new(ErrorKind::Argument);
    for (what, ask) in SETTINGS {
        let mut params = Params::seeded(0);
        let layer = Linear::new(&mut params, "layer", 3, 2);
        let g = Graph::new();
        let loss = layer.forward(g.input("x", [4, 3])).square().mean(..);
        texts.fails(what, ask(g.train(loss, Sgd::new(0.1))).compile(&Device::cpu(), &params));
    }
    with_optimizer(&mut texts, "a negative learning rate", Adam::new(-1.0));
    with_optimizer(&mut texts, "a momentum of 1", Sgd::new(0.1).momentum(1.0));
    with_optimizer(&mut texts, "looking ahead without momentum", Sgd::new(0.1).nesterov());
    with_optimizer(&mut texts, "a beta of 1", AdamW::new(0.1).betas(0.9, 1.0));
    with_optimizer(&mut texts, "an epsilon of 0", RmsProp::new(0.1).epsilon(0.0));
    with_optimizer(&mut texts, "a weight decay that is infinite", Lion::new(0.1).weight_decay(f64::INFINITY));
    with_optimizer(&mut texts, "a sum that begins below 0", Adagrad::new(0.1).initial_sum(-1.0));
    let nothing = Groups::new(Sgd::new(0.1)).group("other", |name, _| name == "other", |sgd| sgd);
    with_optimizer(&mut texts, "a group that chooses nothing", nothing);
    let twice = Groups::new(Sgd::new(0.1)).group("all", |_, _| true, |sgd| sgd).group("again", |_, _| true, |sgd| sgd);
    with_optimizer(&mut texts, "a group whose parameters are taken", twice);
    texts.fails("a plateau that raises the rate", ReduceOnPlateau::new(2.0, 3));

    let mut params = Params::seeded(0);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).square().mean(..);
    let rows = [0.5f32; 12];
    let falling = schedule::from_fn(|update| if update < 2 { 1.0 } else { f64::NAN });
    let mut step = g.train(loss, Sgd::new(0.1)).schedule(falling).compile(&Device::cpu(), &params).unwrap();
    step.run_many(2, [x.feed(&rows)]).unwrap();
    texts.fails("a schedule that gives NaN later", step.run([x.feed(&rows)]));
    texts.fails("a learning rate of NaN", step.set_learning_rate(f64::NAN));
    texts.fails("an epoch without a dataset", step.run_epoch([]));
    texts.fails("recovery without snapshots", step.recover(&Device::cpu()));

    let state = State::new(&Device::cpu(), &params).unwrap();
    texts.fails("a parameter that is not there", state.parameter("layer.wieght"));
    texts.fails("a value of another shape", state.set_parameter("layer.bias", vec![1.0f32, 2.0, 3.0]));
    texts.fails("a count of elements that is no shape's", HostTensor::new([2, 3], HostData::F32(vec![1.0; 5])));
    texts.fails("an average that is not kept", g.infer(&[loss]).with_average().compile_on(&state));
    texts.fails("no directions", g.check_gradients(loss).directions(0).run(&params, [x.feed(&rows)]));
    texts.fails("a profile of another name", Profile::named("vulcan"));
    let mut larger = Device::cpu().profile();
    larger.name = "larger".into();
    larger.class = retrograd::record::KernelClass::Gpu;
    texts.fails("a profile of another kind of device", Device::cpu().with_profile(larger));
    let mut evaluation = g.infer(&[loss]).compile_on(&state).unwrap();
    texts.fails("a learning rate of an evaluation", evaluation.set_learning_rate(0.1));
    let other = Graph::new();
    texts.fails("reading what belongs to another graph", evaluation.read(other.input("y", [1])));

    // Parameters that one optimizer step cannot correct for their start together.
    let (one, two) = (layer.weight().clone(), layer.bias().unwrap().clone());
    let state = State::new(&Device::cpu(), &params).unwrap();
    let mut first = g.train(loss, Adam::new(0.1)).only(&[&one]).compile_on(&state).unwrap();
    let mut both = g.train(loss, Adam::new(0.1)).only(&[&one, &two]).compile_on(&state).unwrap();
    first.run([x.feed(&rows)]).unwrap();
    texts.fails("parameters that were updated unequally often", both.run([x.feed(&rows)]));
    texts.compare("arguments");
}

#[test]
fn losses_and_parameters_that_cannot_be_trained() {
    let mut texts = Catalogue::new(ErrorKind::Recording);
    let cpu = Device::cpu();
    let mut params = Params::seeded(0);
    let (used, cut) = (Linear::new(&mut params, "used", 3, 3), Linear::new(&mut params, "cut", 3, 3));
    let _unused = params.add("unused", [2], Init::Zeros);
    let cell = params.add_cell("cell", [1], Init::Zeros);

    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let rows = used.forward(x);
    texts.fails("a loss of several elements", g.train(rows, Sgd::new(0.1)).compile(&cpu, &params));
    let loss = (rows + cut.forward(x).detach()).square().mean(..);
    texts.fails("parameters that no gradient reaches", g.train(loss, Sgd::new(0.1)).compile(&cpu, &params));
    texts.fails("training nothing", g.train(loss, Sgd::new(0.1)).only(&[]).compile(&cpu, &params));
    texts.fails("training a cell", g.train(loss, Sgd::new(0.1)).only(&[&cell]).compile(&cpu, &params));
    let h = Graph::evaluation();
    let loss = used.forward(h.input("x", [4, 3])).mean(..);
    let training = h.train(loss, Sgd::new(0.1)).only(&[used.weight()]);
    texts.fails("training what was recorded for evaluation", training.compile(&cpu, &params));
    let g = Graph::new();
    let (x, y) = (g.input("x", [4]), g.input("y", [4]));
    let _ = g.gradient(x.sum(..), y);
    let _ = g.gradient(x, x);
    let _ = g.gradient(x.sum(..), g.labels("labels", [2]));
    texts.fails("gradients that are none", g.infer(&[]).compile(&cpu, &Params::seeded(0)));
    texts.compare("recording_training");
}
