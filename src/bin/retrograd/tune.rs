//! `retrograd tune`.

use crate::DeviceOption;
use crate::devices::About;
use crate::failure::{Failure, unknown};
use crate::networks::{self, Recorded};
use crate::output::{Output, Side, Table};
use crate::select;
use crate::workloads::models;
use clap::Args;
use retrograd::train::Choice;
use retrograd::{Device, Graph};
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    device: DeviceOption,
    /// Networks, separated by commas: mlp, cnn, transformer, lstm, or those that `retrograd bench` times, such as w5; without
    /// this, the first four, which are small
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// The file that keeps the choices; what it holds of other devices and sizes stays
    #[arg(long, value_name = "FILE", default_value = "retrograd-tuning.json")]
    cache: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let small: Vec<&str> = networks::ALL.iter().map(|network| network.name).collect();
    let known = [&small[..], &models::ALL].concat();
    let names: Vec<&str> = match options.only.as_slice() {
        [] => small,
        names => names.iter().map(String::as_str).collect(),
    };
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(unknown("network", name, &known));
    }
    let (info, device) = select::device(options.device.device.as_deref())?;
    let about = About::from(&info);
    if !options.json {
        output.line(&about);
    }
    // Products of one class occur in several networks, and are fresh in the first.
    let mut choices: BTreeMap<String, (Choice, Vec<&str>)> = BTreeMap::new();
    for name in names {
        for choice in choose(name, &device, &options.cache)? {
            choices.entry(choice.class.clone()).or_insert((choice, Vec::new())).1.push(name);
        }
    }
    let file = std::path::absolute(&options.cache).unwrap_or_else(|_| options.cache.clone());
    if options.json {
        let choices: Vec<_> = choices
            .values()
            .map(|(choice, networks)| json!({ "choice": choice, "speedup": choice.speedup(), "networks": networks }))
            .collect();
        return output.json(&json!({
            "schema": "retrograd-tune/1",
            "retrograd": env!("CARGO_PKG_VERSION"),
            "device": about,
            "cache": file,
            "choices": choices,
        }));
    }
    if choices.is_empty() {
        output.line("There is nothing to choose: this device has one kernel for matrix products. No file was written.");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("products", Side::Left),
        ("without", Side::Left),
        ("chosen", Side::Left),
        ("us", Side::Right),
        ("times as fast", Side::Right),
        ("", Side::Left),
        ("in", Side::Left),
    ]);
    let mut faster = 0;
    for (choice, networks) in choices.values() {
        let speedup = choice.speedup().map_or("-".into(), |speedup| format!("{speedup:.2}"));
        faster += usize::from(choice.chosen != choice.portable);
        table.row([
            choice.class.clone(),
            choice.portable.name().into(),
            choice.chosen.name().into(),
            format!("{:.1}", choice.microseconds),
            speedup,
            if choice.is_fresh { "measured" } else { "from the file" }.into(),
            networks.join(", "),
        ]);
    }
    output.line(table);
    output.line(format!("Another kernel is faster for {faster} of {} products.", choices.len()));
    output.line(format!("The choices are in {}", file.display()));
    Ok(())
}

/// What is chosen for the products of a network.
fn choose(name: &str, device: &Device, cache: &Path) -> Result<Vec<Choice>, Failure> {
    if let Ok(network) = networks::named(name) {
        let g = Graph::new();
        let Recorded { training, params, .. } = network.record(&g, 1);
        return Ok(training.choose(device, &params, cache)?.choices);
    }
    let choices = RefCell::new(Vec::new());
    let options = models::Options {
        network: None,
        without_fusion: false,
        check_numbers: None,
        tune: Some(cache),
        choices: Some(&choices),
    };
    models::compile(name, device, &options, &mut |_, _| Ok(()))?;
    Ok(choices.into_inner())
}
