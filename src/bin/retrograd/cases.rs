//! What there is to verify, by name.

use crate::failure::{Failure, unknown};
use crate::{networks, optimizers};
use retrograd::ops::OPS;

/// What is asked for.
pub struct Selection {
    only: Vec<String>,
}

impl Selection {
    /// Everything, where nothing is named. Names are those of ops, optimizers and networks, or of all of a kind.
    pub fn new(only: &[String]) -> Result<Self, Failure> {
        let mut known = vec!["ops", "optimizers", "networks"];
        known.extend(OPS.iter().map(|op| op.name));
        for setting in optimizers::ALL {
            if !known.contains(&setting.optimizer) {
                known.push(setting.optimizer);
            }
        }
        known.extend(networks::ALL.iter().map(|network| network.name));
        match only.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(unknown("op, optimizer or network", name, &known)),
            None => Ok(Self { only: only.to_vec() }),
        }
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == kind || only == name)
    }

    /// The op files.
    pub fn ops(&self) -> impl Iterator<Item = &'static retrograd::ops::Listed> {
        OPS.iter().filter(|op| self.has("ops", op.name))
    }

    /// The optimizers, each with its settings.
    pub fn optimizers(&self) -> impl Iterator<Item = &'static [optimizers::Setting]> {
        let groups = optimizers::ALL.chunk_by(|one, next| one.optimizer == next.optimizer);
        groups.filter(|group| self.has("optimizers", group[0].optimizer))
    }

    /// The networks.
    pub fn networks(&self) -> impl Iterator<Item = &'static networks::Network> {
        networks::ALL.iter().filter(|network| self.has("networks", network.name))
    }
}
