//! Times training steps of the workloads that `benches/README.md` defines, on one device.
//!
//! `cargo run --release --example workloads -- --json --only w1,w2 --device vulkan`

#[path = "../support/mod.rs"]
mod support;

// `retrograd bench` measures the same.
#[path = "../../src/bin/retrograd/workloads/mod.rs"]
mod workloads;

use clap::Parser;
use retrograd::{Ceilings, Device, Error, ErrorKind, Result, Step, Tensor};
use serde_json::json;
use std::time::{Duration, Instant};
use workloads::models::{self, Network};
use workloads::process::Process;

/// Times the workloads, and prints losses that other libraries must agree with.
#[derive(Parser)]
struct Arguments {
    /// Workloads, separated by commas: w1, w2, w3, w4, w5, `w6_512`, `w6_1024`, `w6_2048`, `w6_tn`, `w6_nt`, w7.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The device: cpu, gpu, vulkan, metal, dx12, gl, or part of a name; else that of `RETROGRAD_DEVICE`.
    #[arg(long)]
    device: Option<String>,
    /// Layer sizes of another classifier, such as 1000,333,77,13.
    #[arg(long, value_delimiter = ',')]
    mlp: Vec<usize>,
    /// The batch of that classifier.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Seconds that each workload runs before it is measured.
    #[arg(long, default_value_t = 2.0)]
    warm: f64,
    /// Seconds that each workload is measured.
    #[arg(long, default_value_t = 4.0)]
    measure: f64,
    /// Runs every op as a kernel of its own.
    #[arg(long)]
    without_fusion: bool,
    /// Looks for NaN and infinity in every so many steps.
    #[arg(long)]
    check_numbers: Option<u32>,
    /// Measures first which kernels compute the matrix products fastest, and keeps the choices in this file.
    #[arg(long)]
    tune: Option<std::path::PathBuf>,
    /// Prints the plan of every workload, and why neighbouring ops are kernels of their own.
    #[arg(long)]
    explain: bool,
    /// Prints how long every dispatch takes, with its bytes and operations per second and its share of what the device
    /// manages at best, and writes a trace that Perfetto shows to this folder, one file per workload.
    #[arg(long)]
    profile: Option<std::path::PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> std::process::ExitCode {
    support::run(|| Ok(run()?))
}

fn run() -> Result<()> {
    let arguments = Arguments::parse();
    let network = (arguments.mlp.len() > 1).then(|| Network { sizes: arguments.mlp.clone(), batch: arguments.batch });
    let mut names: Vec<String> = arguments.only.clone();
    if names.is_empty() && network.is_none() {
        names = models::ALL.iter().map(|&name| name.to_owned()).collect();
    }
    if network.is_some() {
        names.push("mlp".into());
    }
    let mut results = Vec::new();
    for name in &names {
        let result = workload(name, network.as_ref(), &arguments)?;
        if !arguments.json {
            println!("{}", line(&result));
        }
        results.push(result);
    }
    if arguments.json {
        println!("{}", json!({ "workloads": results }));
    }
    Ok(())
}

fn line(result: &serde_json::Value) -> String {
    let number = |key: &str| result[key].as_f64().unwrap_or(f64::NAN);
    format!(
        "{:<8} {:>9.3} ms (least {:.3}, CPU {:.3}), {} dispatches, first step after {:.2} s, loss {:.5} then {:.5}, on {}",
        result["workload"].as_str().unwrap_or_default(),
        number("ms_median"),
        number("ms_min"),
        number("cpu_ms_per_step"),
        result["dispatches_per_step"],
        number("time_to_first_step_s"),
        number("loss_1"),
        number("loss_10"),
        result["device"].as_str().unwrap_or_default(),
    )
}

/// Compiles a workload and times it.
fn workload(name: &str, network: Option<&Network>, arguments: &Arguments) -> Result<serde_json::Value> {
    let begin = Instant::now();
    Process::forget_peak();
    let device = match &arguments.device {
        Some(name) => Device::named(name)?,
        None => Device::best()?,
    };
    let mut result = serde_json::Value::Null;
    let options = models::Options {
        network,
        without_fusion: arguments.without_fusion,
        check_numbers: arguments.check_numbers,
        tune: arguments.tune.as_deref(),
        choices: None,
    };
    models::compile(name, &device, &options, &mut |mut step: Step, loss: Tensor<'_>| {
        if arguments.explain {
            println!("{}\n{}", step.plan(), step.plan().explain());
        }
        let times = workloads::time(&mut step, loss, arguments.warm, arguments.measure)?;
        if let Some(folder) = &arguments.profile {
            let dispatches = step.profile([])?.against(Ceilings::measure(&device)?);
            eprintln!("{name}: {dispatches}");
            let path = folder.join(format!("{name}.json"));
            std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, dispatches.trace())).map_err(
                |error| {
                    let message = format!("the trace {} could not be written: {error}", path.display());
                    Error::new(ErrorKind::File, message).caused_by(error)
                },
            )?;
            eprintln!("the trace is in {}", path.display());
        }
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        result = json!({
            "workload": name,
            "device": device.name(),
            "ms_median": milliseconds(times.median),
            "ms_min": milliseconds(times.least),
            "cpu_ms_per_step": times.cpu * 1e3,
            "synced_ms_median": milliseconds(times.synced),
            "dispatches_per_step": step.plan().dispatches.len(),
            "kernels": step.plan().kernels.len(),
            "planned_bytes": step.plan().total_bytes(),
            "live_bytes": step.plan().live_bytes,
            "slot_bytes": step.plan().bytes(|kind| matches!(kind, retrograd::plan::BufferKind::Slot(_))),
            "time_to_first_step_s": (times.first - begin).as_secs_f64(),
            "peak_rss_mb": Process::peak_megabytes(),
            "loss_1": times.losses[0],
            "loss_10": times.losses[9],
        });
        Ok(())
    })?;
    if name == "w1" {
        // The loss after a thousand fresh steps is a check of the whole trajectory.
        models::compile(name, &device, &options, &mut |mut step: Step, loss: Tensor<'_>| {
            step.run_many(1000, [])?;
            result["loss_1000"] = json!(step.read(loss)?.item());
            Ok(())
        })?;
    }
    Ok(result)
}
