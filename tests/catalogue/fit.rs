//! Trainers, evaluations, metrics, logs, histories.
#![cfg(not(target_arch = "wasm32"))]

use super::Catalogue;
use retrograd::data::{DataLoader, Tensors};
use retrograd::fit::{History, Metrics, Supervised, Trainer};
use retrograd::nn::Linear;
use retrograd::optim::Sgd;
use retrograd::train::{Best, Checkpoints};
use retrograd::{Device, ErrorKind, Graph, HostData, HostTensor, Params, Result, Tensor};

fn samples(count: usize) -> Tensors {
    let x: Vec<f32> = (0..2 * count).map(|i| (i as f32 * 0.7).sin()).collect();
    let y = (0..count as i32).map(|i| i % 2).collect();
    Tensors::new().column("x", [count, 2], x).unwrap().column("y", [count], y).unwrap()
}

fn loader(count: usize) -> DataLoader {
    DataLoader::new(samples(count), 4)
}

struct Model {
    params: Params,
    layer: Linear,
}

impl Model {
    fn new() -> Self {
        let mut params = Params::seeded(1);
        let layer = Linear::new(&mut params, "layer", 2, 2);
        Self { params, layer }
    }

    fn loss<'g>(&self, g: &'g Graph) -> Tensor<'g> {
        self.layer.forward(g.input("x", [4, 2])).cross_entropy(g.labels("y", [4]))
    }

    /// Of a graph that has nothing in it yet.
    fn trainer<'g>(&self, g: &'g Graph, loader: DataLoader) -> Trainer<'g> {
        let loss = self.loss(g);
        let step = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &self.params).unwrap();
        Trainer::new(step, loss, loader)
    }

    /// With the loss as validation.
    fn validated<'g>(&self, [g, h]: &'g [Graph; 2], loader: [DataLoader; 2]) -> Trainer<'g> {
        let [training, validation] = loader;
        let trainer = self.trainer(g, training);
        let evaluation = Metrics::new(h).loss(self.loss(h)).compile_on(trainer.step().state()).unwrap();
        trainer.validate(evaluation, validation)
    }
}

/// Tries a trainer with these batches.
fn trained(loader: DataLoader, change: impl for<'g> FnOnce(Trainer<'g>) -> Trainer<'g>) -> Result<History> {
    change(Model::new().trainer(&Graph::new(), loader)).fit(1)
}

#[test]
fn trainers() {
    let mut texts = Catalogue::new(ErrorKind::Argument);
    let (model, g) = (Model::new(), Graph::new());
    texts.fails("resuming without checkpoints", model.trainer(&g, loader(8)).resume());
    texts.fails("training with less than a batch", trained(loader(3).drop_last(), |trainer| trainer));
    texts.fails("a checkpoint every 0 steps", trained(loader(8), |trainer| trainer.checkpoint_every(0)));
    let watch = trained(loader(8), |trainer| trainer.watch("validation/loss", Best::Lowest));
    texts.fails("watching what is not measured", watch);
    let graphs = [Graph::new(), Graph::evaluation()];
    let short = model.validated(&graphs, [loader(8), loader(3).drop_last()]).fit(1);
    texts.fails("validation with less than a batch", short);
    let own = Graph::new();
    let loss = model.loss(&own);
    let metrics = Metrics::new(&own).loss(loss).keep();
    let step = own.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &model.params).unwrap();
    texts.fails("two values of one name", Trainer::new(step, loss, loader(8)).metrics(metrics).fit(1));
    let own = Graph::new();
    let loss = model.loss(&own);
    let step = own.infer(&[loss]).compile(&Device::cpu(), &model.params).unwrap();
    texts.fails("training with a step of inference", Trainer::new(step, loss, loader(8)).fit(1));
    let own = Graph::new();
    let metrics = Metrics::new(&own).loss(own.input("x", [1])).keep();
    texts.fails("metrics of another tensor", metrics.meter().add(&HostTensor::from(vec![0.5f32; 3])));
    let mut broken = samples(8).read_column("x").unwrap().to_vec();
    broken[9] = f32::NAN;
    let own = Graph::new();
    let x = HostTensor::new([8, 2], HostData::F32(broken)).unwrap();
    let broken = DataLoader::new(samples(8).replace("x", x).unwrap(), 4);
    let mut failing = model.trainer(&own, broken);
    let error = failing.fit(1).unwrap_err();
    texts.fails("training on after an error", failing.fit(1));
    texts.compare("fit_argument");

    let mut texts = Catalogue::new(ErrorKind::NonFinite);
    texts.add("a loss of NaN", &error);
    let own = Graph::new();
    let loss = model.loss(&own);
    let training = own.train(loss, Sgd::new(0.1)).layer_norms();
    let step = training.compile(&Device::cpu(), &model.params).unwrap();
    let infinite = HostTensor::new([2, 2], HostData::F32(vec![f32::INFINITY; 4])).unwrap();
    step.state().set_parameter("layer.weight", infinite).unwrap();
    let steep = Trainer::new(step, loss, loader(8)).allow_non_finite().gradient_health().fit(3);
    texts.fails("weights that explode", steep);
    texts.compare("fit_non_finite");

    let mut texts = Catalogue::new(ErrorKind::NotKept);
    let own = Graph::new();
    let health = model.trainer(&own, loader(8)).gradient_health().fit(1);
    texts.fails("the health of gradients without norms", health);
    texts.compare("fit_not_kept");
}

#[test]
fn data_of_a_trainer() {
    let mut texts = Catalogue::new(ErrorKind::Feed);
    let other = samples(10).rename("y", "class").unwrap().reshape("x", [1, 2]).unwrap();
    texts.fails("columns of other names and shapes", trained(DataLoader::new(other, 4), |trainer| trainer));
    texts.fails("a last batch that is padded, and not weighted", trained(loader(10).pad(), |trainer| trainer));
    let (model, graphs) = (Model::new(), [Graph::new(), Graph::evaluation()]);
    let short = model.validated(&graphs, [loader(8), loader(5)]).fit(1);
    texts.fails("validation with a short batch", short);
    let (own, other) = (Graph::new(), Graph::new());
    let step = model.trainer(&own, loader(8)).into_step();
    texts.fails("a loss of another graph", Trainer::new(step, model.loss(&other), loader(8)).fit(1));
    let wrong = samples(8).replace("y", vec![0, 1, 0, 1, 0, 1, 2, 1]).unwrap();
    texts.fails("a class that is not there", trained(DataLoader::new(wrong, 4), |trainer| trainer));
    texts.compare("fit_feed");
}

#[test]
fn recorded() {
    let mut texts = Catalogue::new(ErrorKind::Recording);
    let Model { params, layer } = Model::new();
    let mut refused = |what: &str, record: fn(Metrics<'_>, Tensor<'_>, Tensor<'_>)| {
        let h = Graph::evaluation();
        let scores = layer.forward(h.input("x", [4, 2]));
        record(Metrics::new(&h), scores, h.labels("y", [4]));
        let error = h.infer(&[scores]).compile(&Device::cpu(), &params).err().unwrap_or_else(|| panic!("{what}"));
        let [fault] = error.faults() else { panic!("{what}: {error}") };
        texts.text(what, &format!("{}({}): {}", fault.op, fault.operands.join(", "), fault.reason));
    };
    refused("no metrics", |metrics, _, _| drop(metrics.keep()));
    refused("the losses of rows as a loss", |metrics, scores, _| drop(metrics.loss(scores)));
    refused("classes of classes", |metrics, scores, labels| drop(metrics.accuracy(labels, scores)));
    refused("the 3 best of 2 classes", |metrics, scores, labels| drop(metrics.top_k_accuracy(3, scores, labels)));
    refused("two metrics of one name", |metrics, scores, labels| {
        drop(metrics.accuracy(scores, labels).top_k_accuracy(2, scores, labels).accuracy(scores, labels));
    });
    refused("two confusion matrices", |metrics, scores, labels| {
        drop(metrics.confusion_matrix(scores, labels).confusion_matrix(scores, labels));
    });
    refused("predictions of another shape", |metrics, scores, labels| {
        drop(metrics.r_squared(scores, labels.to_f32()));
    });
    refused("weights of other rows", |metrics, scores, labels| {
        let weight = scores.graph().input("weight", [3]);
        drop(metrics.weighted(weight).accuracy(scores, labels));
    });
    refused("weights of elements, for targets by row", |metrics, scores, _| {
        let weight = scores.graph().input("weight", [4, 2]);
        drop(metrics.weighted(weight).r_squared(scores, scores));
    });

    let mut supervised = |what: &str, from: &str, to: &str, data: Tensors| {
        let graph = Graph::new();
        let recorded = Supervised::classifier(from, to, |x| layer.forward(x)).record(&graph, &DataLoader::new(data, 4));
        let compiled = graph.train(recorded.loss, Sgd::new(0.1)).compile(&Device::cpu(), &params);
        let error = compiled.err().unwrap_or_else(|| panic!("{what}"));
        let [fault] = error.faults() else { panic!("{what}: {error}") };
        texts.text(what, &format!("{}({}): {}", fault.op, fault.operands.join(", "), fault.reason));
    };
    supervised("learning a column that is not there", "x", "class", samples(8));
    supervised("learning classes that are floats", "x", "x", samples(8));
    texts.compare("fit_recording");
}

#[test]
fn supervised_weights_of_another_type_are_no_panic() {
    let data = samples(8).rename("y", "weight").unwrap();
    let Model { params, layer } = Model::new();
    let graph = Graph::new();
    let recorded = Supervised::regressor("x", "x", |x| layer.forward(x)).record(&graph, &DataLoader::new(data, 4));
    assert!(graph.train(recorded.loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).is_err());
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "texts of the operating system are those of Linux")]
fn files_of_a_training() {
    let mut texts = Catalogue::new(ErrorKind::File);
    let model = Model::new();
    let graphs = [(); 3].map(|()| Graph::new());
    let first = model.trainer(&graphs[0], loader(8));
    let mut checkpoints = Checkpoints::new(texts.path("checkpoints")).unwrap();
    checkpoints.save(first.step(), None).unwrap();
    texts.fails("resuming from what no trainer saved", first.checkpoints(checkpoints).resume());

    let log = texts.path("log.csv");
    let folder = texts.path("run");
    model.trainer(&graphs[1], loader(8)).checkpoints(Checkpoints::new(&folder).unwrap()).fit(1).unwrap();
    std::fs::write(&log, "epoch,loss\n1,0.5\n").unwrap();
    let again = model.trainer(&graphs[2], loader(8)).checkpoints(Checkpoints::new(&folder).unwrap());
    let mut again = again.log_csv(&log);
    again.resume().unwrap();
    texts.fails("a log of another training", again.fit(2));
    let flat = texts.file("flat", "");
    texts.fails(
        "a log in a place that is no folder",
        trained(loader(8), |trainer| trainer.log_json(flat.join("log.json"))),
    );
    texts.fails("a folder of logs that is a file", trained(loader(8), |trainer| trainer.log_tensorboard(&flat)));
    texts.fails("a history in a place that is no folder", History::default().save(flat.join("history.json")));
    texts.fails("a history that is not there", History::load(texts.path("history.json")));
    let other = texts.file("other.json", "{\"epochs\": 3}");
    texts.fails("a history that is none", History::load(other));
    texts.compare("fit_file");
}
