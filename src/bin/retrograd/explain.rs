//! `retrograd explain`.

use crate::DeviceOption;
use crate::failure::Failure;
use crate::networks::{self, Network, Recorded};
use crate::output::Output;
use crate::select;
use clap::Args;
use retrograd::plan::{Plan, Profile};
use retrograd::see::Report;
use retrograd::{Ceilings, Device, Feed, Graph};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// A built-in network: mlp, cnn, transformer or lstm
    model: String,
    /// Plan for other limits than those of a device here: `webgpu` (what every browser has), `chromium`, `metal`, `dx12`,
    /// `lavapipe`, `gl`, `cpu`, or a JSON file with a profile, such as a report of `retrograd verify` from another machine
    #[arg(long, value_name = "NAME", conflicts_with = "device")]
    profile: Option<String>,
    #[command(flatten)]
    device: DeviceOption,
    /// Print every kernel's WGSL as well
    #[arg(long)]
    wgsl: bool,
    /// Print the whole plan as JSON
    #[arg(long)]
    json: bool,
    /// Write the plan as an HTML page that needs nothing else: dispatches, memory, fusion and kernels; on a device with the
    /// time of every dispatch, measured in one step, beside what the device manages at best
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the graph, forward and backward, as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the graph in the language of Graphviz
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
}

pub fn run(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let network = networks::named(&options.model)?;
    let (profile, device) = if let Some(name) = &options.profile {
        (profile(name)?, None)
    } else {
        let (_, device) = select::device(options.device.device.as_deref())?;
        (device.profile(), Some(device))
    };
    let g = Graph::new();
    let recorded = network.record(&g, 1);
    let plan = recorded.training.plan(&recorded.params, &profile)?;
    if [&options.html, &options.svg, &options.dot].into_iter().any(Option::is_some) {
        return write(options, output, network, recorded, &plan, device);
    }
    if options.json {
        return output.json(&json!({
            "schema": "retrograd-explain/1",
            "retrograd": env!("CARGO_PKG_VERSION"),
            "model": network.name,
            "about": network.about,
            "plan": plan,
        }));
    }
    output.line(format!("{}: {}\n", network.name, network.about));
    output.write(&plan.to_string());
    output.write(&fused(&plan));
    output.write(&apart(&plan));
    if options.wgsl {
        for kernel in &plan.kernels {
            output.line(format!("\n// ---- {} ----\n{}", kernel.name, kernel.wgsl));
        }
    }
    Ok(())
}

/// Writes the files that were asked for, and says which.
fn write(
    options: &Options,
    output: &mut Output,
    network: &Network,
    recorded: Recorded<'_>,
    plan: &Plan,
    device: Option<Device>,
) -> Result<(), Failure> {
    // The graph is that of the step which runs; for other limits it is the same but for what those cut in parts.
    let mut step = recorded.training.compile(device.as_ref().unwrap_or(&Device::cpu()), &recorded.params)?;
    let title = format!("retrograd: {}", network.name);
    if let Some(path) = &options.html {
        match &device {
            Some(device) => {
                let feeds: Vec<Feed<'_>> = recorded.feeds.iter().map(|(input, data)| input.feed(data)).collect();
                // The first run makes ready what later ones use.
                step.run(&feeds)?;
                let times = step.profile(&feeds)?.against(Ceilings::measure(device)?);
                step.report().title(title).times(&times).save(path)?;
            }
            None => Report::new(plan).title(title).save(path)?,
        }
        output.line(path.display());
    }
    if let Some(path) = &options.svg {
        save(path, &step.picture().svg())?;
        output.line(path.display());
    }
    if let Some(path) = &options.dot {
        save(path, &step.picture().dot())?;
        output.line(path.display());
    }
    Ok(())
}

/// Writes a graph, whatever the file is called.
fn save(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::Failed(format!("the graph could not be written to {}: {error}", path.display())))
}

/// Which dispatches compute several ops.
fn fused(plan: &Plan) -> String {
    let several = plan.dispatches.iter().enumerate().filter(|(_, dispatch)| dispatch.nodes.len() > 1);
    let line = |(number, dispatch): (usize, &retrograd::plan::Dispatch)| {
        let kernel = &plan.kernels[dispatch.kernel].name;
        format!("  {number:>3}  {kernel}: {} ops\n", dispatch.nodes.len())
    };
    let lines: Vec<String> = several.map(line).collect();
    let ops: usize = plan.dispatches.iter().map(|dispatch| dispatch.nodes.len()).sum();
    format!(
        "\nfused: {} of {} dispatches compute several ops; {ops} ops in all\n{}",
        lines.len(),
        plan.dispatches.len(),
        lines.concat()
    )
}

/// Why neighbours are kernels of their own.
fn apart(plan: &Plan) -> String {
    if plan.apart.is_empty() {
        return String::new();
    }
    format!("\napart: {} pairs of neighbours\n{}", plan.apart.len(), plan.explain())
}

/// The profile of this name, or of a file.
fn profile(name: &str) -> Result<Profile, Failure> {
    if name == "cpu" {
        return Ok(Profile::host());
    }
    if let Ok(known) = Profile::named(name) {
        return Ok(known);
    }
    let refuse = |reason: &dyn std::fmt::Display| {
        Failure::Usage(format!(
            "the profile `{name}` is none of `{}`, `cpu`, nor a file that holds one: {reason}",
            Profile::NAMES.join("`, `")
        ))
    };
    let text = std::fs::read_to_string(name).map_err(|error| refuse(&error))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| refuse(&error))?;
    // By itself, or in a report: of the only device, or of the first that is no host.
    let in_report = || {
        let devices = value["devices"].as_array()?;
        let about = devices.iter().map(|device| device.get("device").unwrap_or(device));
        let profiles: Vec<&Value> = about.filter_map(|about| about.get("profile")).collect();
        profiles.iter().find(|profile| profile["class"] != "Host").or(profiles.first()).copied()
    };
    let found = in_report().unwrap_or(&value);
    serde_json::from_value(found.clone()).map_err(|error| refuse(&error))
}
