//! What `retrograd verify` finds, as it is written to JSON.

use crate::devices::About;
use retrograd::reference::{Compared, Distance, Measured};
use retrograd::verify::Verification;
use serde::Serialize;

/// The whole report. A figure that is no finite number is `null` in JSON.
#[derive(Serialize)]
pub struct Report {
    /// The format: another number where what is here is renamed or goes away.
    pub schema: &'static str,
    /// The version of retrograd.
    pub retrograd: &'static str,
    /// By the system's clock, in UTC.
    pub date: String,
    pub os: &'static str,
    pub arch: &'static str,
    /// What all random data follow from.
    pub seed: u64,
    /// What was asked for by `--only`; all, where it is empty.
    pub only: Vec<String>,
    /// False in what was saved while the work went on: the program was ended, or a driver ended it.
    pub is_finished: bool,
    pub passed: bool,
    pub seconds: f64,
    pub devices: Vec<DeviceReport>,
}

/// What was found on one device.
#[derive(Serialize)]
pub struct DeviceReport {
    pub device: About,
    /// Why it could not be opened.
    pub error: Option<String>,
    /// What was going on when this was written.
    pub running: Option<String>,
    /// How many times it was opened anew, after a loss or a panic.
    pub reopened: usize,
    pub seconds: f64,
    pub ops: Vec<Group>,
    pub optimizers: Vec<Group>,
    pub networks: Vec<NetworkReport>,
}

/// A network's training step, dispatch by dispatch.
#[derive(Serialize)]
pub struct NetworkReport {
    pub name: String,
    pub passed: bool,
    /// What is wrong.
    pub message: Option<String>,
    /// The dispatch whose kernel was broken on purpose, to see whether that is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<usize>,
    /// All figures, and where something is wrong what another machine needs to see it too.
    pub verification: Option<Verification>,
}

/// An op with its cases, or an optimizer with its settings.
#[derive(Serialize)]
pub struct Group {
    pub name: String,
    pub cases: Vec<Outcome>,
}

/// What became of one case.
#[derive(Serialize)]
pub struct Outcome {
    pub name: String,
    pub passed: bool,
    /// How many elements were compared.
    pub elements: usize,
    /// The worst figures; none where nothing was computed.
    pub distance: Option<Distance>,
    /// What is wrong.
    pub message: Option<String>,
    /// Where something is wrong: the figures of every result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<Compared>,
}

impl Outcome {
    /// The outcome of a measurement, or of what ended it.
    pub fn new(name: impl Into<String>, measured: Result<Measured, String>) -> Self {
        let name = name.into();
        match measured {
            Ok(measured) => {
                let message = measured.complaint();
                Self {
                    name,
                    passed: message.is_none(),
                    elements: measured.elements(),
                    distance: Some(measured.distance()),
                    results: if message.is_some() { measured.results } else { Vec::new() },
                    message,
                }
            }
            Err(message) => {
                Self { name, passed: false, elements: 0, distance: None, message: Some(message), results: Vec::new() }
            }
        }
    }
}

impl NetworkReport {
    /// What became of a verification. `broken` is the dispatch that was broken on purpose.
    pub fn new(name: &str, broken: Option<usize>, verified: Result<Verification, String>) -> Self {
        let (message, verification) = match verified {
            Ok(verification) => (verification.check().err().map(|error| error.to_string()), Some(verification)),
            Err(message) => (Some(message), None),
        };
        Self { name: name.into(), passed: message.is_none(), message, broken, verification }
    }
}

/// A line of the table.
pub struct Row {
    pub name: String,
    /// Cases of an op, settings of an optimizer, or dispatches of a network.
    pub cases: usize,
    pub elements: usize,
    /// The worst figures, where there are any.
    pub distance: Option<Distance>,
    /// What is wrong.
    pub failures: Vec<String>,
}

impl Row {
    fn group(name: String, group: &Group) -> Self {
        let failure = |case: &Outcome| {
            format!("{name}, {}: {}", case.name, case.message.as_deref().unwrap_or("no reason is known"))
        };
        let failures = group.cases.iter().filter(|case| !case.passed).map(failure).collect();
        Self {
            cases: group.cases.len(),
            elements: group.cases.iter().map(|case| case.elements).sum(),
            distance: group.cases.iter().filter_map(|case| case.distance).reduce(Distance::join),
            failures,
            name,
        }
    }

    fn network(network: &NetworkReport) -> Self {
        let name = format!("network {}", network.name);
        let distance = network.verification.as_ref().map(|verification| {
            let worst = verification.worst();
            Distance { excess: worst.share, relative: worst.relative, ulps: worst.ulps as f64 }
        });
        let dispatches = network.verification.iter().flat_map(|verification| &verification.dispatches);
        Self {
            cases: dispatches.clone().count(),
            elements: dispatches.map(|dispatch| dispatch.figures.elements).sum(),
            distance,
            failures: network.message.iter().map(|message| format!("{name}: {}", message.trim_end())).collect(),
            name,
        }
    }
}

impl DeviceReport {
    /// Everything that was compared.
    pub fn rows(&self) -> Vec<Row> {
        let ops = self.ops.iter().map(|group| Row::group(group.name.clone(), group));
        let optimizers = self.optimizers.iter().map(|group| Row::group(format!("optimizer {}", group.name), group));
        ops.chain(optimizers).chain(self.networks.iter().map(Row::network)).collect()
    }

    pub fn passed(&self) -> bool {
        self.error.is_none() && self.rows().iter().all(|row| row.failures.is_empty())
    }
}
