//! `retrograd verify`.

use crate::breakage::Breakage;
use crate::cases::Selection;
use crate::devices::About;
use crate::failure::Failure;
use crate::guard::Guarded;
use crate::networks::{Network, Recorded};
use crate::output::{Output, Side, Table};
use crate::report::{DeviceReport, Group, NetworkReport, Outcome, Report};
use crate::select;
use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use retrograd::verify::Verification;
use retrograd::{Device, DeviceInfo, Error, ErrorKind, Generator, Graph, Result};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// A device that takes longer for one of the small cases hangs, and is opened anew.
const LONGEST: Duration = Duration::from_secs(120);

#[derive(Args)]
pub struct Options {
    /// cpu, gpu, vulkan, metal, dx12, gl, part of an adapter's name, or all for each in turn
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Ops, optimizers or networks, separated by commas; or `ops`, `optimizers`, `networks` for all of a kind
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// What all random data follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the whole report as JSON in the place of the table
    #[arg(long)]
    json: bool,
    /// Write the whole report to this file, too: again with every op, so that it tells what a crash ended
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Break one kernel of every network, to see that it is found
    #[arg(long = "break", value_name = "HOW", hide = true)]
    breakage: Option<Breakage>,
}

pub fn run(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let selection = Selection::new(&options.only)?;
    let devices = select::devices(options.device.as_deref())?;
    if let (Some(others), false) = (select::only_the_host(options.device.as_deref(), &devices), options.json) {
        output.line(format!("NO GPU WAS FOUND, so this verifies the host alone; {others}\n"));
    }
    if options.breakage.is_some() && devices.iter().any(|info| info.position == 0) {
        let message =
            "`--break` breaks the text of a kernel, and the host has none: name another device with `--device`";
        return Err(Failure::Usage(message.into()));
    }
    let report = Report {
        schema: "retrograd-verify/1",
        retrograd: env!("CARGO_PKG_VERSION"),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        seed: options.seed,
        only: options.only.clone(),
        is_finished: false,
        passed: false,
        seconds: 0.0,
        devices: Vec::new(),
    };
    let mut run = Run { options, selection, report, started: Instant::now() };
    for info in &devices {
        run.device(info)?;
        if let (false, Some(report)) = (options.json, run.report.devices.last()) {
            output.write(&text(report, options.seed));
        }
    }
    run.report.is_finished = true;
    run.report.passed = run.report.devices.iter().all(DeviceReport::passed);
    run.save()?;
    if options.json {
        output.json(&run.report)?;
    }
    if run.report.passed { Ok(()) } else { Err(Failure::Told) }
}

/// A report on its way.
struct Run<'o> {
    options: &'o Options,
    selection: Selection,
    report: Report,
    started: Instant,
}

impl Run<'_> {
    /// Verifies one device.
    fn device(&mut self, info: &DeviceInfo) -> Result<(), Failure> {
        let started = Instant::now();
        self.report.devices.push(DeviceReport {
            device: About::from(info),
            error: None,
            running: None,
            reopened: 0,
            seconds: 0.0,
            ops: Vec::new(),
            optimizers: Vec::new(),
            networks: Vec::new(),
        });
        self.running("opening the device")?;
        match crate::guard::guarded(|| Device::listed(info)) {
            Ok(Ok(device)) => {
                device.set_watchdog(LONGEST);
                self.groups(Guarded::new(device))?;
            }
            Ok(Err(error)) => self.last(|report| report.error = Some(error.to_string())),
            Err(panic) => self.last(|report| report.error = Some(format!("panic: {panic}"))),
        }
        self.last(|report| {
            report.running = None;
            report.seconds = started.elapsed().as_secs_f64();
        });
        Ok(())
    }

    fn groups(&mut self, mut device: Guarded) -> Result<(), Failure> {
        let seed = self.options.seed;
        let ops: Vec<_> = self.selection.ops().collect();
        let optimizers: Vec<_> = self.selection.optimizers().collect();
        let networks: Vec<_> = self.selection.networks().collect();
        let progress = progress((ops.len() + optimizers.len() + networks.len()) as u64);
        for op in ops {
            progress.set_message(op.name);
            self.running(op.name)?;
            let case = |case: retrograd::record::Case| {
                let measured = device.run(|device| case.measure_on(device, &mut Generator::named(seed, &case.name)));
                Outcome::new(case.name, measured)
            };
            let group = Group { name: op.name.into(), cases: (op.cases)().into_iter().map(case).collect() };
            self.last(|report| report.ops.push(group));
            progress.inc(1);
        }
        for settings in optimizers {
            let name = settings[0].optimizer;
            progress.set_message(name);
            self.running(name)?;
            let case = |setting: &crate::optimizers::Setting| {
                Outcome::new(setting.name, device.run(|device| setting.measure_on(device, seed)))
            };
            let group = Group { name: name.into(), cases: settings.iter().map(case).collect() };
            self.last(|report| report.optimizers.push(group));
            progress.inc(1);
        }
        for network in networks {
            progress.set_message(network.name);
            self.running(network.name)?;
            let mut broken = None;
            let verified = device.run(|device| step(network, device, seed, self.options.breakage, &mut broken));
            self.last(|report| report.networks.push(NetworkReport::new(network.name, broken, verified)));
            progress.inc(1);
        }
        progress.finish_and_clear();
        self.last(|report| report.reopened = device.reopened);
        Ok(())
    }

    fn last(&mut self, change: impl FnOnce(&mut DeviceReport)) {
        if let Some(report) = self.report.devices.last_mut() {
            change(report);
        }
    }

    /// Notes what is going on, in the file as well: should it end the program, that tells.
    fn running(&mut self, what: &str) -> Result<(), Failure> {
        self.last(|report| report.running = Some(what.into()));
        self.save()
    }

    fn save(&mut self) -> Result<(), Failure> {
        self.report.seconds = self.started.elapsed().as_secs_f64();
        let Some(path) = &self.options.save else { return Ok(()) };
        let refuse = |error: &dyn std::fmt::Display| {
            Failure::Failed(format!("the report {} could not be written: {error}", path.display()))
        };
        let text = serde_json::to_string_pretty(&self.report).map_err(|error| refuse(&error))?;
        std::fs::write(path, text + "\n").map_err(|error| refuse(&error))
    }
}

/// Verifies a training step of a network that was trained for a little, so that no state of its optimizer is zero.
fn step(
    network: &Network,
    device: &Device,
    seed: u64,
    breakage: Option<Breakage>,
    broken: &mut Option<usize>,
) -> Result<Verification> {
    let g = Graph::new();
    let Recorded { training, params, feeds } = network.record(&g, seed);
    let mut step = training.compile(device, &params)?;
    let feeds: Vec<_> = feeds.iter().map(|(input, data)| input.feed(data)).collect();
    for _ in 0..2 {
        step.run(&feeds)?;
    }
    let Some(breakage) = breakage else { return step.verify(&feeds) };
    let Some((number, plan)) = breakage.apply(step.plan()) else {
        let message = format!("no kernel of {} on {} can be broken: none has a text", network.name, device.name());
        return Err(Error::new(ErrorKind::Argument, message));
    };
    *broken = Some(number);
    step.verify_plan(&plan, device, &feeds)
}

/// A bar on standard error, where that is a terminal.
fn progress(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg:<26} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// The report of a device as a table, and what is wrong below it.
fn text(report: &DeviceReport, seed: u64) -> String {
    let about = &report.device;
    if let Some(error) = &report.error {
        return format!("{about}\n  it was not verified: {error}\n\n");
    }
    let mut table = Table::new(&[
        ("", Side::Left),
        ("cases", Side::Right),
        ("of allowed", Side::Right),
        ("relative", Side::Right),
        ("ulps", Side::Right),
        ("", Side::Left),
    ]);
    let rows = report.rows();
    for row in &rows {
        let figures = match row.distance {
            Some(found) => [
                format!("{:.1}%", found.excess * 100.0),
                format!("{:.1e}", found.relative),
                if found.ulps < 1e6 { format!("{:.1}", found.ulps) } else { format!("{:.1e}", found.ulps) },
            ],
            None => ["-", "-", "-"].map(str::to_owned),
        };
        let verdict = if row.failures.is_empty() { "ok".into() } else { format!("FAILED {}", row.failures.len()) };
        table.row([&[row.name.clone(), row.cases.to_string()][..], &figures, &[verdict]].concat());
    }
    let (cases, elements) = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.cases, sum.1 + row.elements));
    let wrong: Vec<String> =
        rows.iter().flat_map(|row| &row.failures).map(|failure| format!("FAILED {failure}\n")).collect();
    let reopened = match report.reopened {
        0 => String::new(),
        times => format!("The device was opened anew, after losses or panics: {times} times.\n"),
    };
    let counted = format!(
        "{} cases, {} elements, seed {seed}, {:.0} s",
        HumanCount(cases as u64),
        HumanCount(elements as u64),
        report.seconds
    );
    let verdict = if wrong.is_empty() {
        format!("All is as it should be: {counted}.")
    } else {
        format!(
            "{} of {counted} FAILED. `--save FILE` writes all figures, for a bug report, and what \
             diverged in a network, which `retrograd replay FILE` runs again.",
            wrong.len()
        )
    };
    format!("{about}\n{table}\n{reopened}{}{verdict}\n\n", wrong.concat())
}
