//! `retrograd devices`.

use crate::failure::Failure;
use crate::output::{Output, columns};
use crate::select;
use clap::Args;
use indicatif::HumanCount;
use retrograd::{Device, DeviceInfo};
use serde::Serialize;
use serde_json::json;

#[derive(Args)]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a report says of a device.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    name: String,
    backend: &'static str,
    description: String,
    driver: String,
    is_software: bool,
    profile: retrograd::plan::Profile,
    features: Vec<String>,
}

impl From<&DeviceInfo> for About {
    fn from(info: &DeviceInfo) -> Self {
        let DeviceInfo { name, backend, description, driver, is_software, profile, features, .. } = info.clone();
        Self { name, backend, description, driver, is_software, profile, features }
    }
}

pub fn run(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let list = Device::list();
    let chosen = select::devices(None);
    if options.json {
        let devices: Vec<About> = list.iter().map(About::from).collect();
        let chosen = chosen.ok().and_then(|chosen| Some(chosen.first()?.description.clone()));
        return output.json(&json!({
            "schema": "retrograd-devices/1",
            "retrograd": env!("CARGO_PKG_VERSION"),
            "chosen": chosen,
            "devices": devices,
        }));
    }
    for info in &list {
        output.line(&info.description);
        output.line(details(info));
    }
    let chosen = chosen?;
    if let Some(chosen) = chosen.first() {
        output.line(format!("Without a name, programs take {}.", chosen.description));
    }
    Ok(())
}

/// The figures of a device, one a line.
fn details(info: &DeviceInfo) -> String {
    let profile = &info.profile;
    let kind = match (info.position, info.is_software) {
        (0, _) => "this processor, with vector code",
        (_, true) => "software: shaders run on the processor",
        _ => "hardware",
    };
    let mut rows = vec![
        ("backend", info.backend.to_owned()),
        ("driver", info.driver.clone()),
        ("kind", kind.to_owned()),
        ("kernels", format!("{:?}", profile.class).to_lowercase()),
    ];
    if info.position > 0 {
        rows.extend([
            ("storage binding", format!("{} bytes", HumanCount(profile.binding_bytes))),
            ("buffer", format!("{} bytes", HumanCount(profile.buffer_bytes))),
            ("storage buffers", format!("{} a dispatch", profile.storage_buffers)),
            ("workgroup", format!("{} invocations", HumanCount(profile.invocations.into()))),
            ("workgroup memory", format!("{} bytes", HumanCount(profile.workgroup_bytes.into()))),
            ("workgroups", format!("{} a dimension", HumanCount(profile.workgroups.into()))),
            ("eight lanes", if profile.eight_lanes { "yes" } else { "no" }.to_owned()),
        ]);
    }
    let rows = rows.into_iter().filter(|(_, text)| !text.is_empty());
    let mut lines: Vec<String> = rows.map(|(name, text)| format!("  {name:<17} {text}")).collect();
    if !info.features.is_empty() {
        lines.extend(["  features".into(), columns(&info.features, 4)]);
    }
    lines.join("\n")
}

impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.description)?;
        if self.driver.is_empty() { Ok(()) } else { write!(f, ", driver {}", self.driver) }
    }
}
