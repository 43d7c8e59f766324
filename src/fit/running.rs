//! How far a training has come, and how it is saved.

use super::history::History;
use super::metrics::Totals;
use crate::data::Position;
use crate::train::Seen;
use serde::{Deserialize, Serialize};

/// What there is beside the state of the step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Running {
    pub history: History,
    /// The best value so far of what is watched.
    pub best: Option<f64>,
    /// The sums of the epoch that is not over.
    pub sums: EpochSums,
}

/// What is added up over the batches of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct EpochSums {
    pub samples: u64,
    /// The sums of weight times loss, and of weights.
    pub loss: f64,
    pub weight: f64,
    pub metrics: Totals,
    pub seconds: f64,
}

/// What stands in a checkpoint beside the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub position: Position,
    pub running: Running,
    pub early_stopping: Option<Seen>,
    pub plateau: Option<Seen>,
}

impl Running {
    /// Epochs that are over.
    pub fn epochs(&self) -> u32 {
        self.history.epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// The same with the losses of the current epoch alone: those of all steps would make a checkpoint larger with every step.
    pub fn for_checkpoint(&self) -> Self {
        let over = self.history.epochs.last().map_or(0, |epoch| epoch.steps);
        let mut running = self.clone();
        running.history.losses.retain(|&(step, _)| step > over);
        running
    }
}
