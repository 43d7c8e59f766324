//! How many samples a second readers and loaders give: the files of MNIST and a table, beside `benches/loading.py`, which says the same of
//! PyTorch's `DataLoader` on the same files.

use retrograd::data::{Csv, DataLoader, Dataset, idx};
use std::fmt::Write as _;
use std::time::Instant;

fn main() -> retrograd::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "loading FOLDER-WITH-T10K-FILES TABLE.csv [ROWS-TO-WRITE]";
    let (Some(folder), Some(table)) = (arguments.next(), arguments.next()) else {
        println!("{usage}");
        return Ok(());
    };
    if let Some(rows) = arguments.next().and_then(|rows| rows.parse::<u32>().ok()) {
        let mut text = String::from("a,b,c,d,label\n");
        for row in 0..rows {
            let x = f64::from(row) * 0.618;
            let _ = writeln!(text, "{:.4},{:.4},{},{:.3e},{}", x.sin(), x.cos(), row % 1000, x.tan(), row % 10);
        }
        std::fs::write(&table, text).expect("the table can be written");
    }
    let start = Instant::now();
    let images = idx::images_and_labels(folder, "t10k")?;
    report("IDX read", images.len(), start);
    pass("IDX loader", images.clone(), 0)?;
    pass("IDX loader, 2 threads", images, 2)?;
    let start = Instant::now();
    let rows = Csv::new().read(table)?.features_except(&["label"], "x")?;
    report("CSV read", rows.len(), start);
    pass("CSV loader", rows, 0)
}

/// Three epochs of batches of 64 in random order.
fn pass(what: &str, data: impl Dataset + 'static, threads: usize) -> retrograd::Result<()> {
    let loader = DataLoader::new(data, 64).shuffle(1).threads(threads).prefetch(8);
    let (start, mut samples) = (Instant::now(), 0);
    for _ in 0..3 {
        for batch in loader.epoch() {
            samples += batch?.samples();
        }
    }
    report(what, samples, start);
    Ok(())
}

fn report(what: &str, samples: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:24} {samples:>10} samples {seconds:>8.3} s {:>12.0} samples/s", samples as f64 / seconds);
}
