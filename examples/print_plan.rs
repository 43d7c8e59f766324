//! Prints the plan of a training step: three lists of dispatches, and the memory they need.
//!
//! Nothing is allocated: the plan is made for given limits, on any machine.

mod support;

use clap::Parser;
use retrograd::plan::{Phase, Profile};
use retrograd::{Device, Graph, Params, nn, optim::AdamW};
use std::time::Instant;

#[derive(Parser)]
#[command(about = "Prints the plan of a small network's training step")]
struct Options {
    /// Seed of the initial parameters
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Images per batch
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Plan for the limits that every WebGPU device keeps, instead of this machine's device
    #[arg(long)]
    webgpu: bool,
    /// Plan for the limits of a kind of device: webgpu, chromium, metal, dx12, lavapipe or gl
    #[arg(long, conflicts_with = "webgpu")]
    profile: Option<String>,
    /// Print the WGSL of every kernel as well
    #[arg(long)]
    wgsl: bool,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

fn main() -> std::process::ExitCode {
    support::run(|| {
        let options = Options::parse();
        let started = Instant::now();
        let profile = match &options.profile {
            Some(name) => Profile::named(name)?,
            None if options.webgpu => Profile::webgpu_default(),
            None => Device::best()?.profile(),
        };

        let mut params = Params::seeded(options.seed);
        let up = nn::Linear::new(&mut params, "up", 64, 128);
        let down = nn::Linear::new(&mut params, "down", 128, 10);
        let g = Graph::new();
        let x = g.input("images", [options.batch as usize, 64]);
        let y = g.labels("digits", [options.batch as usize]);
        let loss = down.forward(up.forward(x).relu()).cross_entropy(y);
        let plan = g.train(loss, AdamW::new(1e-3)).plan(&params, &profile)?;

        print!("{plan}");
        if options.wgsl {
            for kernel in &plan.kernels {
                println!("\n// ---- {} ----\n{}", kernel.name, kernel.wgsl);
            }
        }
        if options.json {
            let count = |phase: Phase| plan.list(phase).count();
            let result = serde_json::json!({
                "device": profile.name,
                "seconds": started.elapsed().as_secs_f64(),
                "forward": count(Phase::Forward),
                "backward": count(Phase::Backward),
                "update": count(Phase::Update),
                "kernels": plan.kernels.len(),
                "bytes": plan.total_bytes(),
            });
            println!("{result}");
        }
        Ok(())
    })
}
