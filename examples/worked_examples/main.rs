//! Seven worked examples that backpropagation is learned from, with the numbers that must come out.
//!
//! Every example is recorded once and run twice: on the chosen device in single precision, and on the
//! float64 reference. A table lists each named tensor with what was expected and what was obtained;
//! the exit status says whether all of them agree.
//!
//! ```text
//! cargo run --example worked_examples
//! RETROGRAD_DEVICE=vulkan cargo run --example worked_examples -- --json
//! ```

mod circuits;
mod data;
mod digits;
mod engine;
mod formulas;
mod layer;
mod neuron;
mod spiral;
mod squiggle;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod three_layers;

use clap::Parser;
use retrograd::Device;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use support::Outcome;
use table::Table;

/// Run seven worked examples of backpropagation and compare every named tensor with the known numbers.
///
/// The device is the one that the variable `RETROGRAD_DEVICE` names (cpu, gpu, vulkan, metal, dx12, gl, or part of an
/// adapter's name), or else the best there is.
#[derive(Parser)]
#[command(name = "worked_examples")]
struct Arguments {
    /// The seed of random initial weights and of dropout.
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Print one JSON object with the counts as the last line.
    #[arg(long)]
    json: bool,

    /// A folder with t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or both with .gz) for section 5,
    /// instead of the bundled 8x8 digits.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    env_logger::init();
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all sections; whether every check passed.
fn run(arguments: &Arguments) -> Outcome<bool> {
    let start = Instant::now();
    // Read first: a wrong folder should be reported before anything has been computed.
    let images = match &arguments.data {
        Some(folder) => data::mnist(folder)?,
        None => data::bundled()?,
    };
    let device = Device::best()?;
    let seed = arguments.seed;
    let mut table = Table::new();

    table.begin(1, "one neuron");
    neuron::run(&device, &mut table)?;
    table.begin(2, "gates and circuits");
    circuits::run(&device, &mut table)?;
    table.begin(3, "a layer of neurons");
    layer::run(&device, seed, &mut table)?;
    table.begin(4, "three layers, binary cross-entropy");
    three_layers::run(&device, &mut table)?;
    table.begin(5, "two layers, softmax, mini-batches");
    digits::run(&device, seed, &images, &mut table)?;
    table.begin(6, "a squiggle");
    squiggle::run(&device, seed, &mut table)?;
    table.begin(7, "spiral data");
    spiral::run(&device, seed, &mut table)?;

    table.print(&mut std::io::stdout().lock(), &device.name(), start.elapsed().as_secs_f64(), arguments.json)?;
    Ok(table.failed() == 0)
}
