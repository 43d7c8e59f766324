//! What is fed, read and computed; limits and devices.

use super::Catalogue;
use retrograd::nn::Linear;
use retrograd::optim::{Adam, Sgd};
use retrograd::plan::Profile;
use retrograd::{Device, ErrorKind, Graph, Init, Params, Step, ndarray};

#[test]
fn what_is_fed() {
    let mut texts = Catalogue::new(ErrorKind::Feed);
    let mut params = Params::seeded(0);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let (x, y) = (g.input("x", [4, 3]), g.labels("y", [4]));
    let loss = layer.forward(x).cross_entropy(y);
    let train = || g.train(loss, Sgd::new(0.1));
    let mut step = train().check_feeds().compile(&Device::cpu(), &params).unwrap();
    let (rows, classes) = ([0.5f32; 12], [0, 1, 1, 0]);
    texts.fails("no labels", step.run([x.feed(&rows)]));
    texts.fails("rows twice", step.run([x.feed(&rows), x.feed(&rows), y.feed(&classes)]));
    texts.fails("a short batch", step.run([x.feed(&rows[..9]), y.feed(&classes)]));
    texts.fails("too many numbers", step.run([x.feed(&[0.5f32; 13]), y.feed(&classes)]));
    let turned = ndarray::Array2::<f32>::zeros([3, 4]);
    texts.fails("an array of another shape", step.run([x.feed(&turned), y.feed(&classes)]));
    texts.fails("labels of floats", step.run([x.feed(&rows), y.feed(&[0.0f32; 4])]));
    texts.fails("rows of integers", step.run([x.feed(&[1; 12]), y.feed(&classes)]));
    texts.fails("a class that is not there", step.run([x.feed(&rows), y.feed(&[0, 1, 2, 0])]));
    texts.fails("a class below 0", step.run([x.feed(&rows), y.feed(&[0, -1, 1, 0])]));
    let mut broken = rows;
    broken[7] = f32::NAN;
    texts.fails("NaN, with `check_feeds`", step.run([x.feed(&broken), y.feed(&classes)]));
    texts.fails("a computed tensor", step.run([x.feed(&rows), y.feed(&classes), loss.feed(&[1.0f32])]));
    let other = Graph::new();
    texts.fails("an input of another graph", step.run([other.input("x", [1]).feed(&[1.0f32])]));

    let cpu = Device::cpu();
    let many = vec![0.5f32; 30];
    let labels = [0; 10];
    let mut dataset = |what: &str, feeds: Vec<retrograd::Feed<'_>>| {
        texts.fails(what, train().dataset(feeds).compile(&cpu, &params));
    };
    dataset("a dataset of less than one batch", vec![x.feed(&rows[..9])]);
    dataset("a dataset that ends within a row", vec![x.feed(&many[..29])]);
    dataset("a dataset of other rows", vec![x.feed(&ndarray::Array2::<f32>::zeros([10, 4]))]);
    dataset("a dataset of unequal lengths", vec![x.feed(&many), y.feed(&labels[..9])]);
    dataset("a dataset of labels that are floats", vec![x.feed(&many), y.feed(&[0.0f32; 10])]);
    dataset("a dataset twice", vec![x.feed(&many), x.feed(&many)]);
    dataset("a dataset for a computed tensor", vec![loss.feed(&many)]);
    dataset("a dataset of an unknown class", vec![x.feed(&many), y.feed(&[3; 10])]);
    let mut step = train().dataset([x.feed(&many)]).compile(&cpu, &params).unwrap();
    texts.fails("what the dataset holds", step.run([x.feed(&rows), y.feed(&classes)]));
    texts.compare("feed");
}

#[test]
fn what_is_read() {
    let mut texts = Catalogue::new(ErrorKind::NotKept);
    let mut params = Params::seeded(0);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let hidden = layer.forward(x);
    let loss = hidden.tanh().square().mean(..);
    let compile = |accumulate| {
        let training = g.train(loss, Sgd::new(0.1));
        let training = if accumulate { training.accumulate(2).layer_norms() } else { training };
        training.compile(&Device::cpu(), &params).unwrap()
    };
    let mut step: Step = compile(false);
    texts.fails("the loss, before a step has run", step.read(loss));
    step.run([x.feed(&[0.5f32; 12])]).unwrap();
    texts.fails("a tensor that is not kept", step.read(hidden));
    texts.fails("a history, after `run`", step.read_history(loss));
    texts.fails("the norm of gradients", step.read_gradient_norm());
    texts.fails("updates left out", step.read_updates_left_out());
    texts.fails("norms of layers", step.read_layer_norms());
    let mut step = compile(true);
    step.run([x.feed(&[0.5f32; 12])]).unwrap();
    texts.fails("norms of layers, before the update", step.read_layer_norms());
    texts.compare("not_kept");
}

#[test]
fn what_is_computed() {
    let cpu = Device::cpu();
    let mut texts = Catalogue::new(ErrorKind::Index);
    let g = Graph::new();
    let x = g.input("x", [3]);
    let table = g.input("table", [4, 2]);
    let rows = table.embedding(x.to_i32());
    let mut step = g.infer(&[rows]).compile(&cpu, &Params::seeded(0)).unwrap();
    step.run([x.feed(&[0.0f32, 7.0, 1.0]), table.feed(&[0.5f32; 8])]).unwrap();
    texts.fails("a computed index past the end", step.read(rows));
    texts.compare("index");

    let mut texts = Catalogue::new(ErrorKind::NonFinite);
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [3], Init::Constant(1.0));
    let g = Graph::new();
    let x = g.input("x", [3]);
    let loss = {
        let _scope = g.scope("model");
        (g.param(&weight) * x).log().mean(..)
    };
    let mut step = g.train(loss, Sgd::new(0.1)).check_numbers(1).compile(&cpu, &params).unwrap();
    step.run([x.feed(&[1.0f32, 0.0, 2.0])]).unwrap();
    texts.fails("a logarithm of 0", step.read(loss));
    let mut step = g.train(loss, Sgd::new(0.1)).check_numbers(1).compile(&cpu, &params).unwrap();
    step.run([x.feed(&[1.0f32, f32::NAN, 2.0])]).unwrap();
    texts.fails("NaN in what was fed", step.read(loss));
    texts.compare("non_finite");
}

#[test]
fn limits() {
    let mut texts = Catalogue::new(ErrorKind::Limit);
    let profile = Profile::webgpu_default();
    let mut params = Params::seeded(0);
    let layer = Linear::new(&mut params, "layer", 64, 64);
    let g = Graph::new();
    let loss = layer.forward(g.input("x", [256, 64])).tanh().square().mean(..);
    texts.fails(
        "a budget that is too small",
        g.train(loss, Adam::new(0.1)).memory_budget(10_000).plan(&params, &profile),
    );
    let small = Profile { name: "a small device".into(), buffer_bytes: 8192, binding_bytes: 8192, ..profile.clone() };
    let mut params = Params::seeded(0);
    let large = params.add("large", [100, 30], Init::Zeros);
    let g = Graph::new();
    let loss = g.param(&large).square().mean(..);
    texts.fails("a parameter larger than a buffer", g.train(loss, Sgd::new(0.1)).plan(&params, &small));
    let g = Graph::new();
    let sorted = g.input("x", [3, 1000]).top_k(2, -1).0;
    texts.fails("an op that needs all of it", g.infer(&[sorted]).plan(&Params::seeded(0), &small));
    let mut params = Params::seeded(0);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).square().mean(..);
    let mut step = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    texts.fails("too many steps in one call", step.run_many(u32::MAX, [x.feed(&[0.5f32; 12])]));
    step.state().set_steps(u32::MAX);
    texts.fails("more steps than are counted", step.run([x.feed(&[0.5f32; 12])]));
    texts.compare("limit");
}

/// What differs by machine is what devices there are, and which GPU it is.
pub fn without_machine(text: &str, device: Option<&Device>) -> String {
    let text = match (text.find("Here are: "), text.find(". Name one of")) {
        (Some(start), Some(end)) => format!("{}Here are: CPU (cpu), ..{}", &text[..start], &text[end..]),
        _ => text.to_owned(),
    };
    device.map_or(text.clone(), |device| text.replace(&device.name(), "NAME (BACKEND, KIND)"))
}

#[test]
fn devices() {
    let mut texts = Catalogue::new(ErrorKind::Device);
    let error = Device::named("voodoo").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device);
    texts.text("a device that is not there", &without_machine(&error.to_string(), None));
    texts.compare("device");

    // Only a GPU can be lost: a software adapter does as well.
    let Ok(device) = Device::named("vulkan") else {
        println!("*** NOT RUN: there is no Vulkan");
        return;
    };
    let g = Graph::new();
    let x = g.input("x", [4]);
    let y = x.exp();
    let mut step = g.infer(&[y]).compile(&device, &Params::seeded(0)).unwrap();
    device.destroy();
    let error = step.run([x.feed(&[0.5f32; 4])]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceLost);
    let mut texts = Catalogue::new(ErrorKind::DeviceLost);
    texts.text("a device that went away", &without_machine(&error.to_string(), Some(&device)));
    texts.compare("device_lost");
}
