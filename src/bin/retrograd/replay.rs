//! `retrograd replay`.

use crate::DeviceOption;
use crate::failure::Failure;
use crate::output::Output;
use crate::select;
use clap::Args;
use retrograd::verify::Reproduction;
use serde_json::Value;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// A dispatch that diverged, as `verify::Reproduction::save` writes it, or a report of `retrograd verify`, of which the first is taken
    file: PathBuf,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let reproduction = load(&options.file)?;
    let (info, device) = select::device(options.device.device.as_deref())?;
    if let Some(others) = select::only_the_host(options.device.device.as_deref(), &[info]) {
        return Err(Failure::Usage(format!(
            "no GPU was found, and a kernel's text says nothing to the host; {others}"
        )));
    }
    let replayed = reproduction.run(&device)?;
    let dispatch = &reproduction.plan.dispatches[0];
    output.write(&format!(
        "{} ({}), which diverged on {}\non {}: {}, {} elements, {:.1}% of what is allowed\n{}\n",
        dispatch.label,
        dispatch.location,
        reproduction.device,
        device.name(),
        replayed.verdict.name(),
        replayed.figures.elements,
        replayed.figures.share * 100.0,
        replayed.finding
    ));
    if reproduction.version != env!("CARGO_PKG_VERSION") {
        output.line(format!(
            "It was written by version {}, and this is {}.",
            reproduction.version,
            env!("CARGO_PKG_VERSION")
        ));
    }
    if replayed.verdict.is_failure() { Err(Failure::Told) } else { Ok(()) }
}

/// A reproduction by itself, or the first in a report.
fn load(file: &Path) -> Result<Reproduction, Failure> {
    let report = std::fs::read(file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let Some(report) = report.filter(|value| value.get("devices").is_some_and(Value::is_array)) else {
        return Ok(Reproduction::load(file)?);
    };
    let networks =
        report["devices"].as_array().into_iter().flatten().filter_map(|device| device["networks"].as_array());
    let mut found = networks.flatten().map(|network| &network["verification"]["divergence"]["reproduction"]);
    match found.find(|found| !found.is_null()) {
        Some(found) => Ok(Reproduction::from_json(found.to_string().as_bytes())?),
        None => Err(Failure::Usage(format!(
            "{} is a report in which no dispatch of a network diverged: there is nothing to replay. Cases of ops are run again by \
             `retrograd verify --only OP`",
            file.display()
        ))),
    }
}
