//! `retrograd bench`.

use crate::DeviceOption;
use crate::devices::About;
use crate::failure::{Failure, unknown};
use crate::output::Output;
use crate::select;
use crate::workloads::{self, models};
use clap::Args;
use retrograd::{Device, Result, Step, Tensor};
use serde::Serialize;
use serde_json::json;
use std::time::Instant;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    device: DeviceOption,
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help = "Workloads, separated by commas: w1, w2, w3, w4, w5, w6_512, w6_1024, w6_2048, w6_tn, w6_nt, w7"
    )]
    only: Vec<String>,
    /// Seconds that each workload is measured, after half as many that it runs to warm up
    #[arg(long, default_value_t = 3.0, value_parser = seconds, allow_negative_numbers = true)]
    seconds: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.0..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("it must be from 0 to 3600".into()) }
}

/// The figures of a workload. A figure that is not known is `null`.
#[derive(Serialize)]
struct Figures {
    workload: String,
    dispatches: usize,
    steps_per_second: f64,
    ms_median: f64,
    ms_least: f64,
    gflops: f64,
    gigabytes_per_second: f64,
    planned_bytes: u64,
    first_step_seconds: f64,
    loss_1: f32,
    loss_10: f32,
}

pub fn run(options: &Options, output: &mut Output) -> Result<(), Failure> {
    if let Some(name) = options.only.iter().find(|name| !models::ALL.contains(&name.as_str())) {
        return Err(unknown("workload", name, &models::ALL));
    }
    let all: Vec<String> = models::ALL.map(str::to_owned).to_vec();
    let names = if options.only.is_empty() { &all } else { &options.only };
    let (info, device) = select::device(options.device.device.as_deref())?;
    let about = About::from(&info);
    if !options.json {
        output.line(&about);
        output.line(header());
    }
    let mut found = Vec::new();
    for name in names {
        // Long work that nobody will see.
        if !output.is_read() {
            break;
        }
        let figures = workload(name, &device, options.seconds)?;
        if !options.json {
            output.line(row(&figures));
        }
        found.push(figures);
    }
    if options.json {
        output.json(&json!({
            "schema": "retrograd-bench/1",
            "retrograd": env!("CARGO_PKG_VERSION"),
            "device": about,
            "seconds": options.seconds,
            "workloads": found,
        }))?;
    }
    Ok(())
}

fn workload(name: &str, device: &Device, seconds: f64) -> Result<Figures> {
    let begin = Instant::now();
    let options =
        models::Options { network: None, without_fusion: false, check_numbers: None, tune: None, choices: None };
    let mut figures = None;
    models::compile(name, device, &options, &mut |mut step: Step, loss: Tensor<'_>| {
        let times = workloads::time(&mut step, loss, seconds / 2.0, seconds)?;
        let plan = step.plan();
        let per_second = |amount: u64| amount as f64 / times.median.as_secs_f64();
        figures = Some(Figures {
            workload: name.into(),
            dispatches: plan.dispatches.len(),
            steps_per_second: per_second(1),
            ms_median: times.median.as_secs_f64() * 1e3,
            ms_least: times.least.as_secs_f64() * 1e3,
            gflops: per_second(plan.dispatches.iter().map(|dispatch| dispatch.operations).sum()) / 1e9,
            gigabytes_per_second: per_second(plan.dispatches.iter().map(|one| plan.moved_bytes(one)).sum()) / 1e9,
            planned_bytes: plan.total_bytes(),
            first_step_seconds: (times.first - begin).as_secs_f64(),
            loss_1: times.losses[0],
            loss_10: times.losses[9],
        });
        Ok(())
    })?;
    figures.ok_or_else(|| {
        retrograd::Error::new(retrograd::ErrorKind::Argument, format!("workload `{name}` was not measured"))
    })
}

/// Rows come one by one, so the widths are fixed.
const WIDTHS: [usize; 8] = [8, 10, 10, 10, 9, 8, 10, 11];

fn header() -> String {
    let titles = ["workload", "steps/s", "ms median", "ms least", "GFLOP/s", "GB/s", "dispatches", "first after"];
    line(&titles.map(str::to_owned))
}

fn row(figures: &Figures) -> String {
    line(&[
        figures.workload.clone(),
        format!("{:.1}", figures.steps_per_second),
        format!("{:.3}", figures.ms_median),
        format!("{:.3}", figures.ms_least),
        format!("{:.2}", figures.gflops),
        format!("{:.2}", figures.gigabytes_per_second),
        figures.dispatches.to_string(),
        format!("{:.2} s", figures.first_step_seconds),
    ])
}

fn line(cells: &[String; 8]) -> String {
    let cell = |(place, (cell, width)): (usize, (&String, usize))| match place {
        0 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    };
    cells.iter().zip(WIDTHS).enumerate().map(cell).collect::<Vec<_>>().join("  ")
}
