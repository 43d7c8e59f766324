//! A long short-term memory learns a wave, the sum of two sines in noise, and goes on with it by itself.
//!
//! It is trained to tell the next value at the later places of short windows. Then it tells what follows the part that it
//! learned from: value by value, each from a window that ends with what it told before. The plot shows both waves.
//!
//! With `--data` it learns a series of one's own in the same way, of which the last sixth is kept to compare.

mod support;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use plotters::prelude::*;
use retrograd::nn::{Linear, Lstm};
use retrograd::{Device, Generator, Graph, Params, Tensor, optim::Adam};
use std::path::{Path, PathBuf};
use std::time::Instant;
use support::Outcome;

#[derive(Parser)]
#[command(about = "Trains an LSTM on a wave, and plots how it goes on with it")]
struct Options {
    /// Seed of the noise, the initial parameters and the shuffles
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passes over the training windows
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Folder with a file series.csv, a number per line, to learn instead of the wave
    #[arg(long)]
    data: Option<PathBuf>,
    /// The plot, an SVG [default: lstm.svg among temporary files]
    #[arg(long)]
    out: Option<PathBuf>,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

const HIDDEN: usize = 24;
/// Values of a window.
const WINDOW: usize = 24;
/// Values of a window before the first that is to be told.
const WARM_UP: usize = 12;
const BATCH: usize = 32;
/// Values of the wave to learn from, and values to tell.
const KNOWN: usize = 600;
const TOLD: usize = 120;
/// Deviation of the noise on what is learned from.
const NOISE: f64 = 0.02;
/// The learning rate at the start.
const RATE: f64 = 1e-2;

struct Forecaster {
    cells: Lstm,
    down: Linear,
}

impl Forecaster {
    fn new(params: &mut Params) -> Self {
        Self { cells: Lstm::new(params, "cells", 1, HIDDEN), down: Linear::new(params, "down", HIDDEN, 1) }
    }

    /// From values `[batch, length, 1]` to what follows each: its change, which is added to it.
    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        x + self.down.forward(self.cells.forward(x))
    }
}

/// The wave at a time, without noise.
fn wave(time: usize) -> f64 {
    let turns = |period: f64| std::f64::consts::TAU * time as f64 / period;
    0.6 * turns(12.0).sin() + 0.4 * turns(19.0).sin()
}

/// Values to learn from, and what follows them.
struct Series {
    known: Vec<f32>,
    truth: Vec<f32>,
}

impl Series {
    /// The wave, with noise on what is learned from.
    fn wave(seed: u64) -> Self {
        let mut generator = Generator::named(seed, "noise");
        let known = (0..KNOWN).map(|time| (wave(time) + generator.normal(0.0, NOISE)) as f32).collect();
        Self { known, truth: (KNOWN..KNOWN + TOLD).map(|time| wave(time) as f32).collect() }
    }

    /// The numbers of a file, moved and scaled so that what is learned from has mean 0 and deviation 1/2.
    fn read(folder: &Path) -> Outcome<Self> {
        let path = folder.join("series.csv");
        let refuse = |reason: String| format!("{}: {reason}", path.display());
        let table = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
        let mut values = support::series(&path.display().to_string(), &table)?;
        let truth = values.split_off(values.len() - values.len() / 6);
        if values.len() < WINDOW + BATCH || truth.is_empty() {
            let least = (WINDOW + BATCH) * 6 / 5 + 1;
            return Err(refuse(format!(
                "it has {} values, and at least {least} are needed",
                values.len() + truth.len()
            ))
            .into());
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let spread = deviation(values.iter().map(|value| value - mean));
        let scaled =
            |values: &[f64]| values.iter().map(|value| ((value - mean) / spread.max(1e-9) / 2.0) as f32).collect();
        Ok(Self { known: scaled(&values), truth: scaled(&truth) })
    }
}

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

fn run(options: &Options) -> Outcome<()> {
    let started = Instant::now();
    let device = Device::best()?;
    println!("device: {}", device.name());
    let Series { known, truth } = match &options.data {
        Some(folder) => Series::read(folder)?,
        None => Series::wave(options.seed),
    };
    let windows = |shift: usize| -> Vec<f32> {
        (0..known.len() - WINDOW).flat_map(|first| known[first + shift..first + shift + WINDOW].to_vec()).collect()
    };
    let (inputs, followers) = (windows(0), windows(1));

    let mut params = Params::seeded(options.seed);
    let model = Forecaster::new(&mut params);
    let g = Graph::new();
    let x = g.input("values", [BATCH, WINDOW, 1]);
    let y = g.input("followers", [BATCH, WINDOW, 1]);
    // What follows the first values of a window, nobody can tell from them.
    let told = WARM_UP..WINDOW;
    let loss = model.forward(x).slice(1, told.clone()).mse_loss(y.slice(1, told));
    println!("{}", g.summary());
    let data = [x.feed(&inputs), y.feed(&followers)];
    let mut step = g.train(loss, Adam::new(RATE)).dataset(data).compile(&device, &params)?;

    let bar = ProgressBar::new(options.epochs.into());
    bar.set_style(ProgressStyle::with_template("{bar:40} epoch {pos}/{len}  loss {msg}  {eta} left")?);
    let mut losses = Vec::new();
    for epoch in 0..options.epochs {
        let progress = f64::from(epoch) / f64::from(options.epochs);
        step.set_learning_rate(RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))?;
        step.run_epoch([])?;
        let history = step.read_history(loss)?.to_vec();
        losses.push(history.iter().sum::<f32>() / history.len() as f32);
        bar.set_message(format!("{:.5}", losses[losses.len() - 1]));
        bar.inc(1);
    }
    bar.finish_and_clear();

    // One window at a time, on the state that was trained.
    let h = Graph::evaluation();
    let x = h.input("values", [1, WINDOW, 1]);
    let next = model.forward(x).slice(1, WINDOW - 1..WINDOW);
    let mut forecast = h.infer(&[next]).compile_on(step.state())?;
    let mut series = known.clone();
    for _ in &truth {
        forecast.run([x.feed(&series[series.len() - WINDOW..])])?;
        series.push(forecast.read(next)?.item());
    }
    let told = &series[known.len()..];
    let off = |told: &dyn Fn(usize) -> f32| {
        deviation(truth.iter().enumerate().map(|(place, &truth)| f64::from(told(place)) - f64::from(truth)))
    };
    // To compare: the last value forever.
    let (error, still) = (off(&|place| told[place]), off(&|_| known[known.len() - 1]));
    println!(
        "{} values told, off by {error:.4} (root mean square); the last known value forever: {still:.4}",
        told.len()
    );

    let out = options.out.clone().unwrap_or_else(|| std::env::temp_dir().join("lstm.svg"));
    plot(&out, &known, &truth, told).map_err(|error| format!("{} could not be written: {error}", out.display()))?;
    println!("wrote {}", out.display());
    if options.json {
        let result = serde_json::json!({
            "device": device.name(),
            "seconds": started.elapsed().as_secs_f64(),
            "dispatches": step.plan().dispatches.len(),
            "losses": losses,
            "error": error,
            "error_of_last_value": still,
            "out": out,
        });
        println!("{result}");
    }
    Ok(())
}

/// The root of the mean square.
fn deviation(errors: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = errors.len() as f64;
    (errors.map(|error| error * error).sum::<f64>() / count).sqrt()
}

/// The end of what was known, what really follows, and what was told of it.
fn plot(path: &Path, known: &[f32], truth: &[f32], told: &[f32]) -> Outcome<()> {
    let first = known.len().saturating_sub(told.len() / 2);
    let all = || known[first..].iter().chain(truth).chain(told).map(|&value| f64::from(value));
    let (low, high) = all().fold((-1.0f64, 1.0f64), |(low, high), value| (low.min(value), high.max(value)));
    let area = SVGBackend::new(path, (960, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .caption("A wave, and how an LSTM goes on with it", ("sans-serif", 22))
        .x_label_area_size(44)
        .y_label_area_size(40)
        .build_cartesian_2d(first..known.len() + told.len(), low - 0.2..high + 0.7)?;
    chart.configure_mesh().disable_mesh().label_style(("sans-serif", 16)).x_desc("time").draw()?;
    let (gray, blue, orange) = (RGBColor(150, 150, 150), RGBColor(20, 90, 190), RGBColor(210, 90, 10));
    let points = |start: usize, values: &[f32]| -> Vec<(usize, f64)> {
        values.iter().enumerate().map(|(place, &value)| (start + place, f64::from(value))).collect()
    };
    let lines = [
        ("known", blue, points(first, &known[first..])),
        ("what follows", gray, points(known.len(), truth)),
        ("told", orange, points(known.len(), told)),
    ];
    for (name, color, line) in lines {
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 16))
        .border_style(gray)
        .draw()?;
    area.present()?;
    Ok(())
}
