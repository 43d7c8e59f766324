//! `retrograd replay`.

use crate::DeviceOption;
use crate::failure::Failure;
use crate::output::Output;
use crate::select;
use clap::Args;
use retrograd::verify::Reproduction;
use std::path::PathBuf;

#[derive(Args)]
pub struct Options {
    /// A dispatch that diverged, as `verify::Reproduction::save` writes it
    file: PathBuf,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let reproduction = Reproduction::load(&options.file)?;
    let (_, device) = select::device(options.device.device.as_deref())?;
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
    if replayed.verdict.is_failure() { Err(Failure::Told) } else { Ok(()) }
}
