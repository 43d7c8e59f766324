//! How many samples a second readers and loaders give: the files of MNIST and a table, beside `benches/loading.py`, which says the same of
//! PyTorch's `DataLoader` on the same files.

mod support;

use clap::Parser;
use retrograd::data::{Csv, DataLoader, Dataset, idx};
use std::path::PathBuf;
use std::time::Instant;
use support::Outcome;

#[derive(Parser)]
#[command(about = "Measures how many samples a second the readers and loaders give")]
struct Options {
    /// The folder of MNIST's t10k files, packed by gzip
    images: PathBuf,
    /// A CSV file of numbers with a column `label`
    table: PathBuf,
    /// Write the table first, with so many rows
    #[arg(long)]
    write_rows: Option<u32>,
    /// Seed of the order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Row {
    what: &'static str,
    samples: usize,
    seconds: f64,
}

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

fn run(options: &Options) -> Outcome<()> {
    if let Some(rows) = options.write_rows {
        write(&options.table, rows)?;
    }
    let (mut rows, seed) = (Vec::new(), options.seed);
    let start = Instant::now();
    let images = idx::images_and_labels(&options.images, "t10k")?;
    rows.push(row("IDX read", images.len(), start));
    rows.push(pass("IDX loader", images.clone(), 0, seed)?);
    rows.push(pass("IDX loader, 2 threads", images, 2, seed)?);
    let start = Instant::now();
    let table = Csv::new().read(&options.table)?.features_except(&["label"], "x")?;
    rows.push(row("CSV read", table.len(), start));
    rows.push(pass("CSV loader", table, 0, seed)?);
    if options.json {
        println!("{}", serde_json::to_string(&rows)?);
    }
    Ok(())
}

/// A table of four columns of floats, one of integers among them, and a label.
fn write(path: &std::path::Path, rows: u32) -> Outcome<()> {
    let mut out = csv::Writer::from_path(path)?;
    out.write_record(["a", "b", "c", "d", "label"])?;
    for row in 0..rows {
        let x = f64::from(row) * 0.618;
        let [a, b, d] = [format!("{:.4}", x.sin()), format!("{:.4}", x.cos()), format!("{:.3e}", x.tan())];
        out.write_record([a, b, (row % 1000).to_string(), d, (row % 10).to_string()])?;
    }
    Ok(out.flush()?)
}

/// Three epochs of batches of 64 in random order.
fn pass(what: &'static str, data: impl Dataset + 'static, threads: usize, seed: u64) -> Outcome<Row> {
    let loader = DataLoader::new(data, 64).shuffle(seed).threads(threads).prefetch(8);
    let (start, mut samples) = (Instant::now(), 0);
    for _ in 0..3 {
        for batch in loader.epoch() {
            samples += batch?.samples();
        }
    }
    Ok(row(what, samples, start))
}

fn row(what: &'static str, samples: usize, start: Instant) -> Row {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:24} {samples:>10} samples {seconds:>8.3} s {:>12.0} samples/s", samples as f64 / seconds);
    Row { what, samples, seconds }
}
