//! A network learns handwritten digits: 64 pixels, one hidden layer of 256, ten classes.
//!
//! Shows a training step with dropout whose data stay on the device, an evaluation step that shares its parameters,
//! a learning rate that falls without recompiling, and checkpoints, from which a training that was interrupted goes on to the
//! same bits.

mod support;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use retrograd::{Device, Graph, Params, Result, Step, Tensor, nn, optim::AdamW, train::Checkpoints};
use std::path::PathBuf;
use std::time::Instant;
use support::{Images, Outcome};

/// What the program can be told.
#[derive(Parser)]
#[command(about = "Trains a network on the UCI handwritten digits")]
pub struct Options {
    /// Seed of the split, the initial parameters, the shuffles and the dropout
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Train this many times, with consecutive seeds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Passes over the training images
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// Folder with another digits.csv.gz
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print a fingerprint of the weights after every epoch: the same device and driver give the same ones every time
    #[arg(long)]
    hash: bool,
    /// Save a checkpoint after every epoch in this folder, of which the last three stay
    #[arg(long, conflicts_with = "seeds")]
    checkpoints: Option<PathBuf>,
    /// Go on from the last checkpoint, if there is one
    #[arg(long, requires = "checkpoints")]
    resume: bool,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

const BATCH: usize = 64;

struct Mlp {
    up: nn::Linear,
    dropout: nn::Dropout,
    down: nn::Linear,
}

impl Mlp {
    fn new(params: &mut Params) -> Self {
        Self {
            up: nn::Linear::new(params, "up", 64, 256),
            dropout: nn::Dropout::new(0.5),
            down: nn::Linear::new(params, "down", 256, 10),
        }
    }

    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let hidden = self.dropout.forward(self.up.forward(x).relu());
        self.down.forward(hidden)
    }
}

/// What one training gives.
struct Trained {
    accuracy: f64,
    train_accuracy: f64,
    confusion: Vec<Vec<usize>>,
    losses: Vec<f32>,
    hashes: Vec<String>,
    seconds: f64,
}

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

/// Trains, and says how well.
///
/// # Errors
/// When there is no device, or files cannot be read, written or used.
pub fn run(options: &Options) -> Outcome<()> {
    let started = Instant::now();
    let device = Device::best()?;
    println!("device: {}", device.name());
    let images = support::digits(options.data.as_deref())?;
    let mut all = Vec::new();
    for seed in options.seed..options.seed + options.seeds {
        let trained = train(&device, &images, seed, options)?;
        println!("seed {seed}: test accuracy {:.4}, {:.1} s", trained.accuracy, trained.seconds);
        all.push(trained);
    }
    let last = all.last().ok_or("nothing was trained")?;
    print_confusion(&last.confusion);
    let accuracies: Vec<f64> = all.iter().map(|trained| trained.accuracy).collect();
    let (mean, least) = support::mean_and_least(&accuracies);
    println!("test accuracy: mean {mean:.4}, least {least:.4} of {} seeds", all.len());
    if options.json {
        let result = serde_json::json!({
            "device": device.name(),
            "seconds": started.elapsed().as_secs_f64(),
            "seconds_per_training": all.iter().map(|trained| trained.seconds).collect::<Vec<_>>(),
            "seeds": options.seeds,
            "test_accuracy": mean,
            "test_accuracy_min": least,
            "train_accuracy": last.train_accuracy,
            "loss": last.losses.last(),
            "weights_hashes": last.hashes,
            "first_losses": all[0].losses.iter().take(50).collect::<Vec<_>>(),
        });
        println!("{result}");
    }
    Ok(())
}

fn train(device: &Device, images: &Images, seed: u64, options: &Options) -> Outcome<Trained> {
    let started = Instant::now();
    let (training, testing) = images.split(0.8, seed);
    let mut params = Params::seeded(seed);
    let model = Mlp::new(&mut params);

    let g = Graph::new();
    let x = g.input("images", [BATCH, 64]);
    let y = g.labels("digits", [BATCH]);
    let loss = model.forward(x).cross_entropy(y);
    let rate = 3e-3;
    // The images go to the device once, and every epoch takes them in another order.
    let data = [x.feed(&training.pixels), y.feed(&training.labels)];
    let mut step = g.train(loss, AdamW::new(rate).weight_decay(0.01)).dataset(data).compile(device, &params)?;

    let mut checkpoints = options.checkpoints.as_ref().map(Checkpoints::new).transpose()?;
    if let Some(checkpoints) = checkpoints.as_mut().filter(|_| options.resume)
        && let Some(resumed) = checkpoints.resume(&mut step)?
    {
        println!("{resumed}");
    }
    let begin = u64::from(step.state().steps()) / (training.len() / BATCH) as u64;

    let (epochs, mut hashes) = (options.epochs, Vec::new());
    let bar = ProgressBar::new(epochs);
    bar.set_style(ProgressStyle::with_template("{bar:40} epoch {pos}/{len}  loss {msg}  {eta} left")?);
    let mut losses = Vec::new();
    let mut current = f32::NAN;
    bar.set_position(begin);
    for epoch in begin..epochs {
        // Half a cosine from the full rate to none.
        let progress = epoch as f64 / epochs as f64;
        step.set_learning_rate(rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))?;
        step.run_epoch([])?;
        let history = step.read_history(loss)?.to_vec();
        current = history.last().copied().unwrap_or(current);
        let wanted = 50_usize.saturating_sub(losses.len());
        losses.extend(history.into_iter().take(wanted));
        if options.hash {
            let hash = step.state().weights_hash()?.to_string();
            bar.suspend(|| println!("epoch {}: weights {hash}", epoch + 1));
            hashes.push(hash);
        }
        if let Some(checkpoints) = &mut checkpoints {
            checkpoints.save(&step, f64::from(current))?;
        }
        bar.set_message(format!("{current:.4}"));
        bar.inc(1);
    }
    if begin < epochs {
        losses.push(current);
    }
    bar.finish_and_clear();

    let confusion = confusion(&model, &step, &testing)?;
    let hits = |confusion: &[Vec<usize>]| (0..10).map(|digit| confusion[digit][digit]).sum::<usize>() as f64;
    let train_confusion = self::confusion(&model, &step, &training)?;
    Ok(Trained {
        accuracy: hits(&confusion) / testing.len() as f64,
        train_accuracy: hits(&train_confusion) / training.len() as f64,
        confusion,
        losses,
        hashes,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// How often each digit was taken for which, by a step that shares the trained parameters.
fn confusion(model: &Mlp, step: &Step, images: &Images) -> Result<Vec<Vec<usize>>> {
    let g = Graph::evaluation();
    let x = g.input("images", [images.len(), 64]);
    let scores = model.forward(x);
    let digits = scores.argmax(-1);
    let mut evaluation = g.infer(&[digits]).compile_on(step.state())?;
    evaluation.run([x.feed(&images.pixels)])?;
    let mut confusion = vec![vec![0; 10]; 10];
    for (&label, guess) in images.labels.iter().zip(evaluation.read(digits)?.to_vec()) {
        confusion[label as usize][guess as usize] += 1;
    }
    Ok(confusion)
}

fn print_confusion(confusion: &[Vec<usize>]) {
    println!("rows: the digit; columns: what it was taken for");
    let heads: Vec<String> = (0..10).map(|digit| format!("{digit:4}")).collect();
    println!("     {}", heads.concat());
    for (digit, row) in confusion.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().map(|&count| if count == 0 { "   .".to_owned() } else { format!("{count:4}") }).collect();
        println!("{digit:4} {}", cells.concat());
    }
}
