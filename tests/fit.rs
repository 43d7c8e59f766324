//! The loop over epochs: what it trains, when it ends, what it writes, and how it goes on.

mod common;

use common::device;
use retrograd::data::{DataLoader, Tensors};
use retrograd::fit::{Average, Epoch, Evaluation, Flow, History, KeptMetrics, Metrics, Trainer};
use retrograd::nn::{Linear, Sequential};
use retrograd::schedule::StepDecay;
use retrograd::train::{Best, Checkpoints, EarlyStopping, ReduceOnPlateau};
use retrograd::{Device, Error, ErrorKind, Generator, Graph, Params, Result, Step, Tensor, nn, optim};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

const BATCH: usize = 8;

/// Points, and whether they lie in the upper right half.
fn points(rows: usize, seed: u64) -> Tensors {
    let mut random = Generator::new(seed);
    let x: Vec<f32> = (0..rows * 2).map(|_| random.uniform(-1.0, 1.0) as f32).collect();
    let y: Vec<i32> = x.chunks(2).map(|point| i32::from(point[0] + point[1] > 0.0)).collect();
    Tensors::new().column("x", [rows, 2], x).unwrap().column("y", [rows], y).unwrap()
}

struct Model {
    params: Params,
    layers: Sequential,
}

impl Model {
    fn new() -> Self {
        Self::seeded(3)
    }

    fn seeded(seed: u64) -> Self {
        let mut params = Params::seeded(seed);
        let layers = Sequential::new()
            .then(Linear::new(&mut params, "up", 2, 16))
            .then(nn::BatchNorm::new(&mut params, "norm", 16))
            .then(nn::Activation::Relu)
            .then(nn::Dropout::new(0.2))
            .then(Linear::new(&mut params, "down", 16, 2));
        Self { params, layers }
    }

    /// A step of training with its loss, and metrics of training.
    fn train<'g>(&self, g: &'g Graph, device: &Device, rate: f64) -> (Step, Tensor<'g>, KeptMetrics<'g>) {
        let (x, y, weight) = (g.input("x", [BATCH, 2]), g.labels("y", [BATCH]), g.input("weight", [BATCH]));
        let scores = self.layers.forward(x);
        let loss = scores.cross_entropy_weighted(y, weight);
        let metrics = Metrics::new(g).weighted(weight).accuracy(scores, y).keep();
        let training = g.train(loss, optim::Adam::new(rate)).schedule(StepDecay::new(20, 0.9)).layer_norms();
        (training.compile(device, &self.params).unwrap(), loss, metrics)
    }

    fn evaluation<'g>(&self, h: &'g Graph, step: &Step) -> Evaluation<'g> {
        let (x, y, weight) = (h.input("x", [BATCH, 2]), h.labels("y", [BATCH]), h.input("weight", [BATCH]));
        let scores = self.layers.forward(x);
        Metrics::new(h)
            .weighted(weight)
            .loss(scores.cross_entropy_weighted(y, weight))
            .accuracy(scores, y)
            .f1(Average::Macro, scores, y)
            .confusion_matrix(scores, y)
            .compile_on(step.state())
            .unwrap()
    }
}

fn loader(rows: usize, seed: u64) -> DataLoader {
    DataLoader::new(points(rows, seed), BATCH).pad()
}

/// A trainer of everything there is, on 7 batches an epoch, the last of which is padded.
fn full<'g>(model: &Model, g: &'g Graph, h: &'g Graph, device: &Device) -> Trainer<'g> {
    let (step, loss, metrics) = model.train(g, device, 0.02);
    let evaluation = model.evaluation(h, &step);
    Trainer::new(step, loss, loader(53, 1).shuffle(5))
        .metrics(metrics)
        .validate(evaluation, loader(21, 2))
        .gradient_health()
}

/// What an epoch measured, without how long it took.
fn timeless(history: &History) -> Vec<Epoch> {
    history.epochs.iter().map(|epoch| Epoch { seconds: 0.0, ..epoch.clone() }).collect()
}

#[test]
fn a_table_is_learned_on_every_device() {
    for device in ["cpu", "vulkan"].into_iter().filter_map(device) {
        let (model, g, h) = (Model::new(), Graph::new(), Graph::evaluation());
        let mut trainer = full(&model, &g, &h, device);
        let history = trainer.fit(15).unwrap();
        assert_eq!((history.epochs.len(), history.losses.len()), (15, 15 * 7));
        assert_eq!(
            history.names(),
            [
                "train/loss",
                "train/accuracy",
                "train/gradient_norm",
                "validation/loss",
                "validation/accuracy",
                "validation/f1"
            ]
        );
        let last = history.last().unwrap();
        assert_eq!((last.epoch, last.steps, last.samples), (15, 105, 53));
        assert!(last.values.get("validation/accuracy").unwrap() > 0.85, "{}", last.values);
        assert!(last.values.get("train/loss").unwrap() < history.epochs[0].values.get("train/loss").unwrap());
        assert!((last.learning_rate - 0.02 * 0.9f64.powi(5)).abs() < 1e-12, "{}", last.learning_rate);
        let confusion = last.confusion.as_ref().unwrap();
        assert_eq!(confusion.rows().flatten().sum::<f64>(), 21.0);
        assert_eq!(
            (confusion.count(0, 0) + confusion.count(1, 1)) / 21.0,
            last.values.get("validation/accuracy").unwrap()
        );
        // The loss of an epoch is that of its samples: the padded batch counts as the 5 that it has.
        let losses: Vec<f64> = history.losses[98..].iter().map(|&(_, loss)| f64::from(loss)).collect();
        let mean = (losses[..6].iter().sum::<f64>() * 8.0 + losses[6] * 5.0) / 53.0;
        assert!((last.values.get("train/loss").unwrap() - mean).abs() < 1e-12);
        // A further call goes on.
        assert_eq!(trainer.fit(16).unwrap().epochs.len(), 16);
        assert_eq!(trainer.fit(16).unwrap().epochs.len(), 16);
        assert_eq!(trainer.step().state().steps(), 16 * 7);
    }
}

#[test]
fn the_loop_is_that_of_the_bare_step() {
    let (model, g, h) = (Model::new(), Graph::new(), Graph::evaluation());
    let mut trainer = full(&model, &g, &h, &Device::cpu());
    let history = trainer.fit(3).unwrap();

    let g = Graph::new();
    let (mut step, loss, _) = model.train(&g, &Device::cpu(), 0.02);
    let data = loader(53, 1).shuffle(5);
    let mut losses = Vec::new();
    for _ in 0..3 {
        for batch in data.epoch() {
            step.run(batch.unwrap().feeds(&g).unwrap()).unwrap();
            losses.push((step.state().steps(), step.read(loss).unwrap().item()));
        }
    }
    assert_eq!(history.losses, losses);
    assert_eq!(trainer.step().state().weights_hash().unwrap(), step.state().weights_hash().unwrap());
}

#[test]
fn early_stopping_ends_at_its_epoch_and_the_best_weights_come_back() {
    let (model, g, h) = (Model::new(), Graph::new(), Graph::evaluation());
    let hashes = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&hashes);
    // The highest loss is that of the first epoch, as training lowers it.
    let mut trainer = full(&model, &g, &h, &Device::cpu())
        .watch("train/loss", Best::Highest)
        .early_stopping(EarlyStopping::new(3))
        .restore_best()
        .on_epoch(move |report, step| {
            assert_eq!(report.is_best, report.epoch.epoch == 1);
            noted.borrow_mut().push(step.state().weights_hash()?);
            Ok(Flow::Continue(()))
        });
    let history = trainer.fit(50).unwrap();
    assert_eq!(history.epochs.len(), 4);
    assert_eq!(history.best().unwrap().epoch, 1);
    assert!(history.stopped.as_ref().unwrap().contains("since epoch 1"), "{:?}", history.stopped);
    let restored = trainer.step().state().weights_hash().unwrap();
    assert_eq!(restored, hashes.borrow()[0]);
    assert_ne!(restored, hashes.borrow()[3]);
    // It has ended, and does not go on for another call.
    assert_eq!(trainer.fit(60).unwrap().epochs.len(), 4);
}

#[test]
fn a_plateau_lowers_the_rate() {
    let (model, g, h) = (Model::new(), Graph::new(), Graph::evaluation());
    let mut trainer = full(&model, &g, &h, &Device::cpu())
        .watch("train/loss", Best::Highest)
        .reduce_on_plateau(ReduceOnPlateau::new(0.1, 1).unwrap());
    let history = trainer.fit(7).unwrap();
    let rates: Vec<f64> = history.epochs.iter().map(|epoch| epoch.learning_rate).collect();
    // The best is epoch 1, and every second epoch without a better one lowers it, for the next.
    assert!(rates[2] > 0.015 && rates[3] < 0.002 && rates[4] > 0.001 && rates[6] < 0.0002, "{rates:?}");
}

#[test]
fn a_loss_of_nan_is_an_error_with_its_place() {
    for ahead in [0, 16] {
        let mut params = Params::seeded(1);
        let layer = Linear::new(&mut params, "layer", 1, 1);
        let g = Graph::new();
        let loss = layer.forward(g.input("x", [2, 1])).square().mean(..);
        let step = g.train(loss, optim::Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
        let mut values = vec![0.5f32; 10];
        values[6] = f32::NAN;
        let data = Tensors::new().column("x", [10, 1], values).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = Trainer::new(step, loss, DataLoader::new(data, 2))
            .checkpoints(Checkpoints::new(folder.path()).unwrap())
            .checkpoint_every(2)
            .read_ahead(ahead);
        let error = trainer.fit(3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        let text = error.to_string();
        for part in ["NaN in epoch 1, step 4, batch 4 of 5", "clip_norm", "checkpoints in"] {
            assert!(text.contains(part), "{text}");
        }
        // What was saved is from before it.
        let latest = Checkpoints::new(folder.path()).unwrap().latest().unwrap().checkpoint.unwrap();
        assert_eq!(latest.steps(), 2);
        let again = trainer.fit(3).unwrap_err();
        assert!(again.to_string().contains("Trainer::resume"), "{again}");
        assert_eq!(trainer.resume().unwrap().unwrap().steps, 2);
        assert!(trainer.step().state().parameter("layer.weight").unwrap().item().is_finite());
    }
}

#[test]
fn what_does_not_fit_is_told_at_once_with_both_sides() {
    let (model, g, h) = (Model::new(), Graph::new(), Graph::evaluation());
    let (step, loss, _) = model.train(&g, &Device::cpu(), 0.02);
    let data =
        Tensors::new().column("x", [10, 3], vec![0.0f32; 30]).unwrap().column("class", [10], vec![0; 10]).unwrap();
    let error = Trainer::new(step, loss, DataLoader::new(data, BATCH)).fit(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Feed);
    let text = error.to_string();
    for part in [
        "input `weight` f32[8] has no column",
        "input `x` is f32[8, 2], and a batch of its column is f32[8, 3]",
        "input `y` i32[8] has no column",
        "the last batch of an epoch has 2 samples",
        "inputs: `weight` f32[8], `x` f32[8, 2], `y` i32[8]",
        "columns, by the batch: `x` f32[8, 3], `class` i32[8]",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }

    // Rows that pad a batch must not count in secret.
    let mut params = Params::seeded(1);
    let layer = Linear::new(&mut params, "layer", 2, 1);
    let plain = Graph::new();
    let loss = layer.forward(plain.input("x", [BATCH, 2])).square().mean(..);
    let step = plain.train(loss, optim::Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    let error = Trainer::new(step, loss, loader(10, 1)).fit(1).unwrap_err();
    assert!(error.to_string().contains("filled up by 6 rows"), "{error}");

    // What is watched has to be measured, and validation to have batches.
    let g = Graph::new();
    let error = full(&model, &g, &h, &Device::cpu()).watch("validation/los", Best::Lowest).fit(1).unwrap_err();
    assert!(error.to_string().contains("Measured are train/loss, train/accuracy"), "{error}");
    let (g, h) = (Graph::new(), Graph::evaluation());
    let (step, loss, _) = model.train(&g, &Device::cpu(), 0.02);
    let mut evaluation = model.evaluation(&h, &step);
    let none = DataLoader::new(points(5, 1), BATCH).drop_last();
    assert!(evaluation.run(&none).unwrap_err().to_string().contains("there are 5 samples, and a batch has 8"));
    let error = Trainer::new(step, loss, loader(53, 1)).validate(evaluation, none).fit(1).unwrap_err();
    assert!(error.to_string().starts_with("validation: the evaluation has no batch"), "{error}");
}

/// A trainer with logs and checkpoints in a folder.
fn logged<'g>(model: &Model, graphs: &'g [Graph; 2], device: &Device, folder: &Path) -> Trainer<'g> {
    full(model, &graphs[0], &graphs[1], device)
        .early_stopping(EarlyStopping::new(30))
        .reduce_on_plateau(ReduceOnPlateau::new(0.5, 0).unwrap())
        .restore_best()
        .checkpoints(Checkpoints::new(folder.join("checkpoints")).unwrap().keep_best(Best::Lowest))
        .checkpoint_every(3)
        .log_csv(folder.join("log.csv"))
        .log_json(folder.join("log.jsonl"))
        .log_tensorboard(folder.join("events"))
}

/// The lines of a log, without what differs between two runs.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    let csv = |line: &str| {
        line.split(',')
            .enumerate()
            .filter(|(column, _)| *column != 3)
            .map(|(_, field)| field)
            .collect::<Vec<_>>()
            .join(",")
    };
    let json = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("seconds");
        value.to_string()
    };
    text.lines().map(|line| if line.starts_with('{') { json(line) } else { csv(line) }).collect()
}

#[test]
fn a_training_that_was_interrupted_is_that_which_was_not() {
    ["cpu", "vulkan"].into_iter().filter_map(device).for_each(interrupt);
}

fn interrupt(device: &Device) {
    let model = Model::new();
    let whole = tempfile::tempdir().unwrap();
    let graphs = [Graph::new(), Graph::evaluation()];
    let mut trainer = logged(&model, &graphs, device, whole.path());
    let expected = trainer.fit(6).unwrap();
    let hash = trainer.step().state().weights_hash().unwrap();

    let folder = tempfile::tempdir().unwrap();
    // Ends without a word: in the first epoch, twice in the middle of one, at an end of one, and by a callback that asks for it.
    for (fails_at, asks) in [(4, false), (10, false), (19, false), (21, false), (31, true)] {
        let graphs = [Graph::new(), Graph::evaluation()];
        let mut trainer = logged(&model, &graphs, device, folder.path()).read_ahead(0).on_step(move |report| {
            match (report.step == fails_at, asks) {
                (true, true) => Ok(Flow::Break("enough".into())),
                (true, false) => Err(Error::new(ErrorKind::System, "pulled the plug")),
                _ => Ok(Flow::Continue(())),
            }
        });
        let resumed = trainer.resume().unwrap();
        assert_eq!(resumed.is_some(), fails_at > 4);
        match trainer.fit(6) {
            Ok(history) => assert_eq!(history.stopped.as_deref(), Some("enough")),
            Err(error) => assert!(error.to_string().contains("pulled the plug"), "{error}"),
        }
        // What a process leaves of a line when it is killed.
        let mut torn = std::fs::read(folder.path().join("log.csv")).unwrap();
        torn.extend(b"7,49,5");
        std::fs::write(folder.path().join("log.csv"), torn).unwrap();
    }
    let graphs = [Graph::new(), Graph::evaluation()];
    let mut trainer = logged(&model, &graphs, device, folder.path());
    assert_eq!(trainer.resume().unwrap().unwrap().steps, 31);
    let history = trainer.fit(6).unwrap();
    assert_eq!(timeless(&history), timeless(&expected));
    assert_eq!(history.best_epoch, expected.best_epoch);
    assert_eq!(history.losses, expected.losses[28..], "of the epoch in which it was resumed, and those after it");
    assert_eq!(trainer.step().state().weights_hash().unwrap(), hash);
    for log in ["log.csv", "log.jsonl"] {
        assert_eq!(lines(&folder.path().join(log)), lines(&whole.path().join(log)));
    }
    assert_eq!(lines(&whole.path().join("log.csv")).len(), 7);
    assert_eq!(lines(&whole.path().join("log.jsonl")).len(), 6 * 8);
    assert!(std::fs::read_dir(folder.path().join("events")).unwrap().count() >= 5);

    // A training that is over stays over.
    let graphs = [Graph::new(), Graph::evaluation()];
    let mut trainer = logged(&model, &graphs, device, folder.path());
    trainer.resume().unwrap().unwrap();
    assert_eq!(timeless(&trainer.fit(6).unwrap()), timeless(&expected));
    assert_eq!(trainer.step().state().weights_hash().unwrap(), hash, "the best weights come from their checkpoint");
}

#[test]
fn a_log_of_other_columns_is_not_added_to() {
    let model = Model::new();
    let folder = tempfile::tempdir().unwrap();
    let graphs = [Graph::new(), Graph::evaluation()];
    logged(&model, &graphs, &Device::cpu(), folder.path()).fit(1).unwrap();
    let csv = folder.path().join("log.csv");
    std::fs::write(&csv, "epoch,loss\n1,0.5\n").unwrap();
    let graphs = [Graph::new(), Graph::evaluation()];
    let mut trainer = logged(&model, &graphs, &Device::cpu(), folder.path());
    trainer.resume().unwrap().unwrap();
    let error = trainer.fit(2).unwrap_err();
    assert!(error.to_string().contains("has the columns epoch,loss, and this training has epoch,step"), "{error}");
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), "epoch,loss\n1,0.5\n");
    // Nothing was trained: with another file it goes on.
    std::fs::remove_file(&csv).unwrap();
    assert_eq!(trainer.fit(2).unwrap().epochs.len(), 2);
    assert_eq!(lines(&csv).len(), 3, "epochs from before are known");
}

#[test]
fn resuming_needs_checkpoints_of_a_trainer() {
    let (model, g, h) = (Model::new(), Graph::new(), Graph::evaluation());
    let error = full(&model, &g, &h, &Device::cpu()).resume().unwrap_err();
    assert!(error.to_string().contains("Trainer::checkpoints"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let (g, h) = (Graph::new(), Graph::evaluation());
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
    let trainer = full(&model, &g, &h, &Device::cpu());
    checkpoints.save(trainer.step(), None).unwrap();
    let error = trainer.checkpoints(checkpoints).resume().unwrap_err();
    assert!(error.to_string().contains("was not saved by a trainer"), "{error}");
}

#[test]
fn resuming_with_another_setup_is_refused_with_all_differences() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = || Checkpoints::new(folder.path()).unwrap();
    let (model, g, h) = (Model::new(), Graph::new(), Graph::evaluation());
    full(&model, &g, &h, &Device::cpu()).checkpoints(checkpoints()).fit(1).unwrap();
    let (g, h) = (Graph::new(), Graph::evaluation());
    let (step, loss, metrics) = model.train(&g, &Device::cpu(), 0.02);
    let evaluation = model.evaluation(&h, &step);
    let trainer =
        Trainer::new(step, loss, loader(52, 1).shuffle(6)).metrics(metrics).validate(evaluation, loader(21, 2));
    let error = trainer.watch("validation/accuracy", Best::Highest).checkpoints(checkpoints()).resume().unwrap_err();
    for part in
        ["samples: `53` then, `52` now", "seed 5` then, `shuffled by the seed 6`", "`validation/loss, the lowest` then"]
    {
        assert!(error.to_string().contains(part), "{error}");
    }
    let (g, h) = (Graph::new(), Graph::evaluation());
    let kept = Checkpoints::new(folder.path().join("other")).unwrap().keep_best(Best::Highest);
    let error = full(&model, &g, &h, &Device::cpu()).checkpoints(kept).fit(1).unwrap_err();
    assert!(error.kind() == ErrorKind::Argument && error.to_string().contains("keep the Highest"), "{error}");
}

#[test]
fn a_training_with_infinite_losses_goes_on_from_its_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = Params::seeded(1);
    let layer = Linear::new(&mut params, "layer", 1, 1);
    let values: Vec<f32> = (0..10).map(|i| if i == 2 { 3e38 } else { 0.5 }).collect();
    let data = Tensors::new().column("x", [10, 1], values).unwrap();
    let mut hashes = Vec::new();
    for ends in [vec![3], vec![1, 3]] {
        let folder = folder.path().join(ends.len().to_string());
        for end in ends {
            let g = Graph::new();
            let loss = layer.forward(g.input("x", [2, 1])).square().mean(..);
            let training = g.train(loss, optim::Sgd::new(0.1)).clip_norm(1.0);
            let step = training.compile(&Device::cpu(), &params).unwrap();
            let mut trainer = Trainer::new(step, loss, DataLoader::new(data.clone(), 2))
                .checkpoints(Checkpoints::new(&folder).unwrap())
                .checkpoint_every(2)
                .allow_non_finite()
                .on_step(move |report| {
                    Ok(if report.step == 4 && end == 1 { Flow::Break("enough".into()) } else { Flow::Continue(()) })
                });
            trainer.resume().unwrap();
            let history = trainer.fit(end).unwrap();
            if end == 3 {
                assert_eq!(history.epochs[0].values.get("train/loss"), Some(f64::INFINITY));
                hashes.push(trainer.step().state().training_hash().unwrap());
            }
        }
    }
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn resuming_with_another_seed_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = || Checkpoints::new(folder.path()).unwrap().keep_best(Best::Lowest);
    let (model, g, h) = (Model::new(), Graph::new(), Graph::evaluation());
    full(&model, &g, &h, &Device::cpu()).restore_best().checkpoints(checkpoints()).fit(2).unwrap();
    let (model, g, h) = (Model::seeded(4), Graph::new(), Graph::evaluation());
    let mut trainer = full(&model, &g, &h, &Device::cpu()).restore_best().checkpoints(checkpoints());
    let before = trainer.step().state().weights_hash().unwrap();
    let error = trainer.resume().unwrap_err();
    assert!(error.to_string().contains("`Params::seeded(3)`"), "{error}");
    assert_eq!(trainer.step().state().weights_hash().unwrap(), before);
}

#[test]
fn a_history_is_read_as_it_was_written() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/history.json");
    let values = [("train/loss", 0.1 + 0.2), ("validation/\"loss\"", f64::NAN)].into_iter().collect();
    let epoch = Epoch { epoch: 1, steps: 2, samples: 3, seconds: 0.1, learning_rate: 1e-3, values, confusion: None };
    let history = History { epochs: vec![epoch], losses: vec![(1, 0.3), (2, f32::NAN)], ..History::default() };
    history.save(&path)?;
    let read = History::load(&path)?;
    assert_eq!(read.epochs, history.epochs);
    assert_eq!(read.curve("train/loss"), [(1.0, 0.1 + 0.2)]);
    assert_eq!(read.losses[0], (1, 0.3));
    assert!(read.losses[1].1.is_nan());
    let error = History::load(folder.path().join("none.json")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    std::fs::write(&path, "{}").unwrap();
    assert!(History::load(&path).unwrap_err().to_string().contains("as a history"));
    Ok(())
}
