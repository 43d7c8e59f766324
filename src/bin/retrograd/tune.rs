//! `retrograd tune`.

use crate::DeviceOption;
use crate::devices::About;
use crate::failure::Failure;
use crate::networks::{self, Network, Recorded};
use crate::output::{Output, Side, Table};
use crate::select;
use clap::Args;
use retrograd::Graph;
use retrograd::train::Choice;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    device: DeviceOption,
    /// Networks, separated by commas: mlp, cnn, transformer, lstm
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
    let chosen: Vec<&Network> = match options.only.as_slice() {
        [] => networks::ALL.iter().collect(),
        names => names.iter().map(|name| networks::named(name)).collect::<Result<_, _>>()?,
    };
    let (info, device) = select::device(options.device.device.as_deref())?;
    let about = About::from(&info);
    if !options.json {
        output.line(&about);
    }
    // Products of one class occur in several networks, and are fresh in the first.
    let mut choices: BTreeMap<String, (Choice, Vec<&str>)> = BTreeMap::new();
    for network in chosen {
        let g = Graph::new();
        let Recorded { training, params, .. } = network.record(&g, 1);
        for choice in training.choose(&device, &params, &options.cache)?.choices {
            choices.entry(choice.class.clone()).or_insert((choice, Vec::new())).1.push(network.name);
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
