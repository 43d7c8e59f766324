//! The workloads that `benches/README.md` defines, and how a step is timed: for `retrograd bench`, and for the example
//! that compares libraries.
#![allow(dead_code)] // each of the two uses another part

mod data;
pub mod models;
pub mod process;

use process::Process;
use retrograd::{Result, Step, Tensor};
use std::time::{Duration, Instant};

/// How long a step takes, and which losses it gave.
#[derive(Debug)]
pub struct Times {
    /// The losses of the first ten steps.
    pub losses: Vec<f32>,
    /// When the first of them could be read.
    pub first: Instant,
    /// The median time of a step whose loss is read at once.
    pub synced: Duration,
    /// The median time of a step among many.
    pub median: Duration,
    /// The least time of a step among many.
    pub least: Duration,
    /// Processor seconds of a step, where they are known.
    pub cpu: f64,
}

/// Ten steps whose loss is read, steps to warm up for so many seconds, then blocks of about 150 ms, the last step of each
/// read, at least three and for so many seconds.
pub fn time(step: &mut Step, loss: Tensor<'_>, warm: f64, seconds: f64) -> Result<Times> {
    let once = |step: &mut Step| -> Result<f32> {
        step.run([])?;
        Ok(step.read(loss)?.item())
    };
    let mut losses = Vec::new();
    let mut first = None;
    let mut synced = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        losses.push(once(step)?);
        synced.push(start.elapsed());
        first.get_or_insert_with(Instant::now);
    }
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < warm {
        let start = Instant::now();
        once(step)?;
        synced.push(start.elapsed());
    }
    let recent = synced.len().saturating_sub(9);
    let synced = median(&mut synced[recent..]);
    let steps = ((0.15 / synced.as_secs_f64().max(1e-6)).ceil() as u32).clamp(1, 500);
    let (start, cpu) = (Instant::now(), Process::cpu_seconds());
    let mut blocks = Vec::new();
    while blocks.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        let block = Instant::now();
        step.run_many(steps, [])?;
        step.read(loss)?;
        blocks.push(block.elapsed() / steps);
    }
    let cpu = (Process::cpu_seconds() - cpu) / (blocks.len() as f64 * f64::from(steps));
    let least = blocks.iter().copied().min().unwrap_or_default();
    let first = first.unwrap_or(start);
    Ok(Times { losses, first, synced, median: median(&mut blocks), least, cpu })
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
