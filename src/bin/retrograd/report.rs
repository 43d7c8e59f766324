//! What `retrograd verify` finds, as it is written to JSON.

use crate::devices::About;
use retrograd::reference::{Compared, Distance, Measured};
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
    pub networks: Vec<Group>,
}

/// An op with its cases, an optimizer with its settings, or a network with its dispatches.
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

impl Group {
    /// The worst figures of those cases that have any.
    pub fn distance(&self) -> Option<Distance> {
        self.cases.iter().filter_map(|case| case.distance).reduce(Distance::join)
    }

    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.cases.iter().filter(|case| !case.passed)
    }
}

impl DeviceReport {
    /// Everything that was compared, with its kind.
    pub fn groups(&self) -> impl Iterator<Item = (&'static str, &Group)> {
        let ops = self.ops.iter().map(|group| ("op", group));
        let optimizers = self.optimizers.iter().map(|group| ("optimizer", group));
        let networks = self.networks.iter().map(|group| ("network", group));
        ops.chain(optimizers).chain(networks)
    }

    pub fn passed(&self) -> bool {
        self.error.is_none() && self.groups().all(|(_, group)| group.failures().next().is_none())
    }
}
