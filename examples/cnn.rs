//! A convolutional network learns handwritten digits: MNIST from files, or the bundled images of 8x8 pixels.
//!
//! Three convolutions with batch normalization, of which the first and the last move by two pixels where images are
//! large, and two fully connected layers with dropout: in the manner of LeNet-5 (`LeCun`, Bottou, Bengio, Haffner 1998).
//! The evaluation after every pass is a step of its own on a graph for evaluation, in which dropout does nothing and
//! batch normalization takes the running statistics; it shares the state of the training step.

mod support;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use retrograd::nn::{Activation, BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Sequential};
use retrograd::ops::{ConvSettings, PoolSettings};
use retrograd::{Device, Graph, Params, Result, Step, Tensor, optim::AdamW};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{Images, Outcome, idx};

#[derive(Parser)]
#[command(about = "Trains a convolutional network on handwritten digits")]
struct Options {
    /// Seed of the split, the initial parameters, the shuffles and the dropout
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passes over the training images
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Folder with files in MNIST's format, gzipped or not: t10k-images-idx3-ubyte and so on
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print a fingerprint of the weights after every epoch: the same device and driver give the same ones every time
    #[arg(long)]
    hash: bool,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

const BATCH: usize = 64;
/// Images that are classified at a time.
const EVALUATED: usize = 250;
/// The learning rate at the start.
const RATE: f64 = 4e-3;

/// The network for images `[batch, 1, height, width]`, whose scores are `[batch, 10]`.
fn network(params: &mut Params, [height, width]: [usize; 2]) -> Sequential {
    // Images of few pixels have none to pass over.
    let first = ConvSettings::new().stride(if height.min(width) < 16 { 1 } else { 2 }).padding(2);
    let same = ConvSettings::new().padding(1);
    let half = ConvSettings::new().padding(1).stride(2);
    // The normalization that follows has a bias, so that convolutions need none.
    let features = Sequential::new()
        .then(Conv2d::without_bias(params, "conv1", 1, 8, [5, 5], first))
        .then(BatchNorm::new(params, "norm1", 8))
        .then(Activation::Relu)
        .then(Conv2d::without_bias(params, "conv2", 8, 16, [3, 3], same))
        .then(BatchNorm::new(params, "norm2", 16))
        .then(Activation::Relu)
        .then(MaxPool2d(PoolSettings::new(2)))
        .then(Conv2d::without_bias(params, "conv3", 16, 32, [3, 3], half))
        .then(BatchNorm::new(params, "norm3", 32))
        .then(Activation::Relu)
        .then(Flatten);
    // Recording an image tells how many features there are.
    let probe = Graph::evaluation();
    let count = features.forward(probe.input("image", [1, 1, height, width])).shape().elements();
    features
        .then(Dropout::new(0.25))
        .then(Linear::new(params, "up", count, 64))
        .then(Activation::Relu)
        .then(Dropout::new(0.25))
        .then(Linear::new(params, "down", 64, 10))
}

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

fn run(options: &Options) -> Outcome<()> {
    let started = Instant::now();
    let device = Device::best()?;
    println!("device: {}", device.name());
    let (training, testing) = match &options.data {
        Some(folder) => idx::training_and_test(folder, options.seed)?,
        None => support::digits(None)?.split(0.8, options.seed),
    };
    let [height, width] = training.extents;
    println!("{} images of {height}x{width} for training, {} for testing", training.len(), testing.len());
    let mut params = Params::seeded(options.seed);
    let model = network(&mut params, training.extents);

    let g = Graph::new();
    let x = g.input("images", [BATCH, 1, height, width]);
    let y = g.labels("digits", [BATCH]);
    let loss = model.forward(x).cross_entropy(y);
    println!("{}", g.summary());
    let data = [x.feed(&training.pixels), y.feed(&training.labels)];
    let mut step = g.train(loss, AdamW::new(RATE).weight_decay(0.01)).dataset(data).compile(&device, &params)?;

    let h = Graph::evaluation();
    let mut classifier = Classifier::new(&h, &model, &step, &testing)?;

    let bar = ProgressBar::new(options.epochs.into());
    bar.set_style(ProgressStyle::with_template("{bar:40} epoch {pos}/{len}  {msg}  {elapsed}")?);
    bar.enable_steady_tick(Duration::from_secs(1));
    let (mut losses, mut accuracies, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for epoch in 0..options.epochs {
        // Half a cosine from the full rate to none.
        let progress = f64::from(epoch) / f64::from(options.epochs);
        step.set_learning_rate(RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))?;
        step.run_epoch([])?;
        losses.push(mean(&step.read_history(loss)?.to_vec()));
        accuracies.push(classifier.accuracy(&testing)?);
        let message =
            format!("loss {:.4}  test accuracy {:.4}", losses[losses.len() - 1], accuracies[losses.len() - 1]);
        bar.suspend(|| println!("epoch {}: {message}", epoch + 1));
        if options.hash {
            let hash = step.state().weights_hash()?.to_string();
            bar.suspend(|| println!("epoch {}: weights {hash}", epoch + 1));
            hashes.push(hash);
        }
        bar.set_message(message);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let accuracy = accuracies.last().copied().ok_or("nothing was trained")?;
    println!("test accuracy {accuracy:.4}, {:.1} s", started.elapsed().as_secs_f64());
    if options.json {
        let result = serde_json::json!({
            "device": device.name(),
            "seconds": started.elapsed().as_secs_f64(),
            "parameters": params.elements(),
            "training_images": training.len(),
            "test_images": testing.len(),
            "losses": losses,
            "test_accuracies": accuracies,
            "test_accuracy": accuracy,
            "weights_hashes": hashes,
        });
        println!("{result}");
    }
    Ok(())
}

fn mean(values: &[f32]) -> f64 {
    values.iter().copied().map(f64::from).sum::<f64>() / values.len().max(1) as f64
}

/// A step that classifies images by the parameters that another one trains.
struct Classifier<'g> {
    step: Step,
    images: Tensor<'g>,
    digits: Tensor<'g>,
}

impl<'g> Classifier<'g> {
    fn new(graph: &'g Graph, model: &Sequential, training: &Step, test: &Images) -> Result<Self> {
        let [height, width] = test.extents;
        let images = graph.input("images", [test.len().min(EVALUATED), 1, height, width]);
        let digits = model.forward(images).argmax(-1);
        Ok(Self { step: graph.infer(&[digits]).compile_on(training.state())?, images, digits })
    }

    /// The share of the images whose digit it tells.
    fn accuracy(&mut self, test: &Images) -> Result<f64> {
        let batch = self.images.shape()[0];
        let mut hits = 0;
        for first in (0..test.len()).step_by(batch) {
            // The last batch begins where it is whole: what was counted before is passed over.
            let start = first.min(test.len() - batch);
            self.step.run([self.images.feed(&test.pixels[start * test.width..(start + batch) * test.width])])?;
            let guesses = self.step.read(self.digits)?.to_vec();
            let pairs = guesses.iter().zip(&test.labels[start..]).skip(first - start);
            hits += pairs.filter(|&(&guess, &label)| guess as i32 == label).count();
        }
        Ok(hits as f64 / test.len() as f64)
    }
}
