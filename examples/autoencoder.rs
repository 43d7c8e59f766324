//! An autoencoder puts images of digits into a few numbers, and makes them again from these.
//!
//! Two convolutions halve the images twice, a fully connected layer leaves the code; another one and two transposed
//! convolutions go the way back. Source: Hinton, Salakhutdinov 2006; Masci, Meier, Ciresan, Schmidhuber 2011 (with
//! convolutions). Test images, and what becomes of them, are written as a PNG.

mod support;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use retrograd::nn::{Activation, Conv2d, ConvTranspose2d, Flatten, Linear, Sequential};
use retrograd::ops::ConvSettings;
use retrograd::{Device, Graph, Params, Tensor, optim::Adam};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Images, Outcome, idx};

#[derive(Parser)]
#[command(about = "Trains an autoencoder on handwritten digits and writes what it makes of them as a PNG")]
struct Options {
    /// Seed of the split, the initial parameters and the shuffles
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passes over the training images
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Numbers that an image is put into
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    code: u32,
    /// Folder with files in MNIST's format, gzipped or not: t10k-images-idx3-ubyte and so on
    #[arg(long)]
    data: Option<PathBuf>,
    /// The PNG: originals in the first row, reconstructions below [default: autoencoder.png among temporary files]
    #[arg(long)]
    out: Option<PathBuf>,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

const BATCH: usize = 32;
/// Images that are made again at a time.
const EVALUATED: usize = 100;
/// The learning rate at the start.
const RATE: f64 = 3e-3;
/// Images in the PNG.
const SHOWN: usize = 16;

/// From images `[batch, 1, height, width]` to codes, and back.
struct Autoencoder {
    encoder: Sequential,
    /// The features before the code, `[channels, height, width]`.
    features: [usize; 3],
    widen: Linear,
    decoder: Sequential,
}

impl Autoencoder {
    fn new(params: &mut Params, [height, width]: [usize; 2], code: usize) -> Self {
        let (small, large) = (16, 32);
        let half = || ConvSettings::new().stride(2).padding(1);
        let [middle, least] = [2, 4].map(|times: usize| [height.div_ceil(times), width.div_ceil(times)]);
        let features = [large, least[0], least[1]];
        let count = features.iter().product();
        // Twice an extent of n is 2 n - 1 without output padding.
        let padding = |wanted: [usize; 2]| wanted.map(|extent| 1 - extent % 2);
        Self {
            encoder: Sequential::new()
                .then(Conv2d::with_settings(params, "down1", 1, small, [3, 3], half()))
                .then(Activation::Relu)
                .then(Conv2d::with_settings(params, "down2", small, large, [3, 3], half()))
                .then(Activation::Relu)
                .then(Flatten)
                .then(Linear::new(params, "code", count, code)),
            features,
            widen: Linear::new(params, "widen", code, count),
            decoder: Sequential::new()
                .then(Activation::Relu)
                .then(ConvTranspose2d::new(params, "up1", large, small, [3, 3], half()).output_padding(padding(middle)))
                .then(Activation::Relu)
                .then(
                    ConvTranspose2d::new(params, "up2", small, 1, [3, 3], half())
                        .output_padding(padding([height, width])),
                ),
        }
    }

    /// The pixels as logits: their sigmoid lies between 0 and 1.
    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let [channels, height, width] = self.features;
        let widened = self.widen.forward(self.encoder.forward(x));
        self.decoder.forward(widened.reshape([x.shape()[0], channels, height, width]))
    }
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
    let mut params = Params::seeded(options.seed);
    let model = Autoencoder::new(&mut params, training.extents, options.code as usize);

    let g = Graph::new();
    let x = g.input("images", [BATCH, 1, height, width]);
    let loss = model.forward(x).binary_cross_entropy_with_logits(x);
    println!("{}", g.summary());
    let mut step = g.train(loss, Adam::new(RATE)).dataset([x.feed(&training.pixels)]).compile(&device, &params)?;

    let bar = ProgressBar::new(options.epochs.into());
    bar.set_style(ProgressStyle::with_template("{bar:40} epoch {pos}/{len}  loss {msg}  {elapsed}")?);
    bar.enable_steady_tick(Duration::from_secs(1));
    let mut losses = Vec::new();
    for epoch in 0..options.epochs {
        let progress = f64::from(epoch) / f64::from(options.epochs);
        step.set_learning_rate(RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))?;
        step.run_epoch([])?;
        let history = step.read_history(loss)?.to_vec();
        losses.push(history.iter().sum::<f32>() / history.len() as f32);
        bar.set_message(format!("{:.4}", losses[losses.len() - 1]));
        bar.inc(1);
    }
    bar.finish_and_clear();

    let h = Graph::evaluation();
    let batch = testing.len().min(EVALUATED);
    let x = h.input("images", [batch, 1, height, width]);
    let made = model.forward(x).sigmoid();
    let mut evaluation = h.infer(&[made]).compile_on(step.state())?;
    let mut reconstructions = Vec::new();
    for rows in testing.pixels.chunks(batch * testing.width) {
        // What is left over for the last batch is filled up with black images.
        let mut fed = rows.to_vec();
        fed.resize(batch * testing.width, 0.0);
        evaluation.run([x.feed(&fed)])?;
        reconstructions.extend_from_slice(&evaluation.read(made)?.to_vec()[..rows.len()]);
    }
    let error = squared_error(&reconstructions, &testing.pixels);
    let baseline = squared_error(&mean_image(&training).repeat(testing.len()), &testing.pixels);
    println!("mean squared error of a test pixel: {error:.5}; of the mean training image: {baseline:.5}");

    let shown = SHOWN.min(testing.len());
    let out = options.out.clone().unwrap_or_else(|| std::env::temp_dir().join("autoencoder.png"));
    write_png(&out, &[&testing.pixels, &reconstructions], shown, testing.extents)?;
    println!("wrote {}: {shown} test images, and below them what {} numbers tell of each", out.display(), options.code);
    if options.json {
        let result = serde_json::json!({
            "device": device.name(),
            "seconds": started.elapsed().as_secs_f64(),
            "parameters": params.elements(),
            "losses": losses,
            "test_error": error,
            "test_error_of_mean_image": baseline,
            "out": out,
        });
        println!("{result}");
    }
    Ok(())
}

fn squared_error(got: &[f32], want: &[f32]) -> f64 {
    got.iter().zip(want).map(|(got, want)| f64::from(got - want).powi(2)).sum::<f64>() / want.len() as f64
}

fn mean_image(images: &Images) -> Vec<f32> {
    let mut sums = vec![0.0f64; images.width];
    for row in images.pixels.chunks(images.width) {
        sums.iter_mut().zip(row).for_each(|(sum, &pixel)| *sum += f64::from(pixel));
    }
    sums.into_iter().map(|sum| (sum / images.len() as f64) as f32).collect()
}

/// The first `shown` images of every row, side by side, each pixel as a square of several.
fn write_png(path: &Path, rows: &[&[f32]], shown: usize, [height, width]: [usize; 2]) -> Outcome<()> {
    let scale = (64 / height.max(width)).max(1);
    let gap = 2;
    let (cell_height, cell_width) = (height * scale + gap, width * scale + gap);
    let (total_height, total_width) = (rows.len() * cell_height + gap, shown * cell_width + gap);
    let mut canvas = vec![96u8; total_height * total_width];
    for (row, images) in rows.iter().enumerate() {
        for (number, image) in images.chunks(height * width).take(shown).enumerate() {
            let (top, left) = (gap + row * cell_height, gap + number * cell_width);
            for y in 0..height * scale {
                for x in 0..width * scale {
                    let pixel = image[y / scale * width + x / scale];
                    canvas[(top + y) * total_width + left + x] = (pixel.clamp(0.0, 1.0) * 255.0).round() as u8;
                }
            }
        }
    }
    let describe = |error: std::io::Error| format!("{} could not be written: {error}", path.display());
    let file = std::fs::File::create(path).map_err(describe)?;
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), total_width as u32, total_height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas)?;
    writer.finish()?;
    Ok(())
}
