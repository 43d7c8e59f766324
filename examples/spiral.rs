//! Three interleaved spiral arms, told apart by a small network; a linear classifier cannot.
//!
//! Arm c: radius r from 0 to 1, angle from 4c to 4(c + 1) plus normal noise of 0.2 rad;
//! x = r sin(2.5 angle), y = r cos(2.5 angle).

mod support;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use retrograd::{Device, Generator, Graph, Params, Result, Tensor, nn, optim::Adam};
use std::path::{Path, PathBuf};
use std::time::Instant;
use support::Outcome;

#[derive(Parser)]
#[command(about = "Trains a network on three spiral arms and draws where it decides for which")]
struct Options {
    /// Seed of the points and the initial parameters
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Training steps over all points
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Write the decision boundary to this PNG as well
    #[arg(long)]
    png: Option<PathBuf>,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

const ARMS: usize = 3;
const POINTS: usize = 100;
/// The learning rate at the start.
const RATE: f64 = 2e-2;
/// Columns and rows of the drawing.
const WIDTH: usize = 60;
const HEIGHT: usize = 30;

struct Mlp {
    layers: Vec<nn::Linear>,
}

impl Mlp {
    fn new(params: &mut Params) -> Self {
        let sizes = [2, 64, 64, ARMS];
        let layer =
            |(number, pair): (usize, &[usize])| nn::Linear::new(params, &format!("layer{number}"), pair[0], pair[1]);
        Self { layers: sizes.windows(2).enumerate().map(layer).collect() }
    }

    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let (last, hidden) = self.layers.split_last().expect("the network has layers");
        last.forward(hidden.iter().fold(x, |x, layer| layer.forward(x).relu()))
    }
}

fn spiral(seed: u64) -> (Vec<f32>, Vec<i32>) {
    let mut generator = Generator::named(seed, "spiral");
    let (mut points, mut labels) = (Vec::new(), Vec::new());
    for arm in 0..ARMS {
        for point in 0..POINTS {
            let t = point as f64 / (POINTS - 1) as f64;
            let angle = 4.0 * (arm as f64 + t) + generator.normal(0.0, 0.2);
            points.extend([(t * (2.5 * angle).sin()) as f32, (t * (2.5 * angle).cos()) as f32]);
            labels.push(arm as i32);
        }
    }
    (points, labels)
}

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

fn run(options: &Options) -> Outcome<()> {
    let started = Instant::now();
    let device = Device::best()?;
    println!("device: {}", device.name());
    let (points, labels) = spiral(options.seed);
    let mut params = Params::seeded(options.seed);
    let model = Mlp::new(&mut params);

    let g = Graph::new();
    let x = g.input("points", [ARMS * POINTS, 2]);
    let y = g.labels("arms", [ARMS * POINTS]);
    let scores = model.forward(x).keep();
    let loss = scores.cross_entropy(y);
    let mut step = g.train(loss, Adam::new(RATE)).compile(&device, &params)?;

    let bar = ProgressBar::new(options.steps);
    bar.set_style(ProgressStyle::with_template("{bar:40} step {pos}/{len}  loss {msg}  {eta} left")?);
    for number in 0..options.steps {
        // Half a cosine from the full rate to none.
        let progress = number as f64 / options.steps as f64;
        step.set_learning_rate(RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))?;
        step.run([x.feed(&points), y.feed(&labels)])?;
        if number % 50 == 0 {
            bar.set_message(format!("{:.4}", step.read(loss)?.item()));
            bar.set_position(number);
        }
    }
    bar.finish_and_clear();
    let last_loss = step.read(loss)?.item();
    let guesses = support::argmax_rows(&step.read(scores)?.to_vec(), ARMS);
    let hits = guesses.iter().zip(&labels).filter(|(guess, label)| **guess == **label as usize).count();
    let accuracy = hits as f64 / labels.len() as f64;

    let (width, height) = if options.png.is_some() { (WIDTH * 8, WIDTH * 8) } else { (WIDTH, HEIGHT) };
    let map = decide(&model, &step, width, height)?;
    draw(&map, width, height, &points, &labels);
    if let Some(path) = &options.png {
        write_png(path, &map, width, height, &points, &labels)?;
        println!("wrote {}", path.display());
    }
    println!("loss {last_loss:.4}, training accuracy {accuracy:.4}");
    if options.json {
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{}",
            serde_json::json!({ "device": device.name(), "seconds": seconds, "loss": last_loss, "train_accuracy": accuracy })
        );
    }
    Ok(())
}

/// The arm that the network decides for at every place of a grid over [-1.2, 1.2] squared.
fn decide(model: &Mlp, step: &retrograd::Step, width: usize, height: usize) -> Result<Vec<usize>> {
    let at = |place: usize, extent: usize| (place as f32 + 0.5) / extent as f32 * 2.4 - 1.2;
    let grid: Vec<f32> =
        (0..height).flat_map(|row| (0..width).flat_map(move |column| [at(column, width), -at(row, height)])).collect();
    let g = Graph::new();
    let x = g.input("grid", [width * height, 2]);
    let scores = model.forward(x);
    let mut evaluation = g.infer(&[scores]).compile_on(step.state())?;
    evaluation.run([x.feed(&grid)])?;
    Ok(support::argmax_rows(&evaluation.read(scores)?.to_vec(), ARMS))
}

/// The cell of a grid that a coordinate from -1.2 to 1.2 falls into.
fn cell(coordinate: f32, extent: usize) -> usize {
    (((coordinate + 1.2) / 2.4 * extent as f32) as usize).min(extent - 1)
}

/// `.`, `:` and space: the arm that the network decides for; `o`, `x` and `+`: the points of the arms.
fn draw(map: &[usize], width: usize, height: usize, points: &[f32], labels: &[i32]) {
    let symbol = |place: usize, extent: usize, drawn: usize| place * extent / drawn;
    let mut lines: Vec<Vec<char>> = (0..HEIGHT)
        .map(|row| {
            (0..WIDTH)
                .map(|column| ['.', ':', ' '][map[symbol(row, height, HEIGHT) * width + symbol(column, width, WIDTH)]])
                .collect()
        })
        .collect();
    for (point, &label) in points.chunks(2).zip(labels) {
        lines[cell(-point[1], HEIGHT)][cell(point[0], WIDTH)] = ['o', 'x', '+'][label as usize];
    }
    for line in lines {
        println!("{}", line.iter().collect::<String>());
    }
}

fn write_png(path: &Path, map: &[usize], width: usize, height: usize, points: &[f32], labels: &[i32]) -> Outcome<()> {
    const LIGHT: [[u8; 3]; ARMS] = [[250, 215, 190], [200, 225, 250], [210, 240, 205]];
    const DARK: [[u8; 3]; ARMS] = [[200, 80, 10], [20, 90, 190], [30, 130, 40]];
    let mut pixels: Vec<u8> = map.iter().flat_map(|&arm| LIGHT[arm]).collect();
    for (point, &label) in points.chunks(2).zip(labels) {
        let (row, column) = (cell(-point[1], height), cell(point[0], width));
        for (y, x) in (0..25).map(|place| (row + place / 5, column + place % 5)) {
            if let (Some(y), Some(x)) =
                (y.checked_sub(2).filter(|&y| y < height), x.checked_sub(2).filter(|&x| x < width))
            {
                pixels[(y * width + x) * 3..][..3].copy_from_slice(&DARK[label as usize]);
            }
        }
    }
    let file =
        std::fs::File::create(path).map_err(|error| format!("{} could not be written: {error}", path.display()))?;
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}
