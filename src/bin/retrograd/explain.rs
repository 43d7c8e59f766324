//! `retrograd explain`.

use crate::DeviceOption;
use crate::failure::Failure;
use crate::networks;
use crate::output::Output;
use crate::select;
use clap::Args;
use retrograd::Graph;
use retrograd::plan::{Plan, Profile};
use serde_json::{Value, json};

#[derive(Args)]
pub struct Options {
    /// A built-in network: mlp, cnn, transformer or lstm
    model: String,
    /// Plan for other limits than those of a device here: `webgpu` (what every browser has), `cpu`, or a JSON file with a
    /// profile, such as a report of `retrograd verify` from another machine
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
}

pub fn run(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let network = networks::named(&options.model)?;
    let profile = match &options.profile {
        Some(name) => profile(name)?,
        None => select::device(options.device.device.as_deref())?.1.profile(),
    };
    let g = Graph::new();
    let recorded = network.record(&g, 1);
    let plan = recorded.training.plan(&recorded.params, &profile)?;
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
    match name {
        "webgpu" => return Ok(Profile::webgpu_default()),
        "cpu" => return Ok(Profile::host()),
        _ => {}
    }
    let refuse = |reason: &dyn std::fmt::Display| {
        Failure::Usage(format!(
            "the profile `{name}` is neither `webgpu` nor `cpu` nor a file that holds one: {reason}"
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
