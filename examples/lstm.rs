//! A long short-term memory learns a wave, the sum of two sines in noise, and goes on with it by itself.
//!
//! It is trained to tell the next value at the later places of short windows. Then it tells what follows the part that it
//! learned from: value by value, each from a window that ends with what it told before. The plot shows both waves.

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
/// Values to learn from, and values to tell.
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

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

fn run(options: &Options) -> Outcome<()> {
    let started = Instant::now();
    let device = Device::best()?;
    println!("device: {}", device.name());
    let mut generator = Generator::named(options.seed, "noise");
    let known: Vec<f32> = (0..KNOWN).map(|time| (wave(time) + generator.normal(0.0, NOISE)) as f32).collect();
    let windows = |shift: usize| -> Vec<f32> {
        (0..KNOWN - WINDOW).flat_map(|first| known[first + shift..first + shift + WINDOW].to_vec()).collect()
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
    for _ in 0..TOLD {
        forecast.run([x.feed(&series[series.len() - WINDOW..])])?;
        series.push(forecast.read(next)?.item());
    }
    let told = &series[KNOWN..];
    let error = deviation(told.iter().enumerate().map(|(place, &told)| f64::from(told) - wave(KNOWN + place)));
    // To compare: the last value forever.
    let still = deviation((KNOWN..KNOWN + TOLD).map(|time| f64::from(known[KNOWN - 1]) - wave(time)));
    println!("{TOLD} values told, off by {error:.4} (root mean square); the last known value forever: {still:.4}");

    let out = options.out.clone().unwrap_or_else(|| std::env::temp_dir().join("lstm.svg"));
    plot(&out, &known, told).map_err(|error| format!("{} could not be written: {error}", out.display()))?;
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

/// The end of what was known, the wave itself, and what was told of it.
fn plot(path: &Path, known: &[f32], told: &[f32]) -> Outcome<()> {
    let first = KNOWN - TOLD / 2;
    let area = SVGBackend::new(path, (960, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .caption("A wave, and how an LSTM goes on with it", ("sans-serif", 22))
        .x_label_area_size(44)
        .y_label_area_size(40)
        .build_cartesian_2d(first..KNOWN + TOLD, -1.2..1.7)?;
    chart.configure_mesh().disable_mesh().label_style(("sans-serif", 16)).x_desc("time").draw()?;
    let (gray, blue, orange) = (RGBColor(150, 150, 150), RGBColor(20, 90, 190), RGBColor(210, 90, 10));
    let points = |start: usize, values: &[f32]| -> Vec<(usize, f64)> {
        values.iter().enumerate().map(|(place, &value)| (start + place, f64::from(value))).collect()
    };
    let truth = (KNOWN..KNOWN + TOLD).map(|time| (time, wave(time)));
    let lines = [
        ("known", blue, points(first, &known[first..])),
        ("what follows", gray, truth.collect()),
        ("told", orange, points(KNOWN, told)),
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
