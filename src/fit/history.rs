//! What a training has been.

use super::metrics::{ConfusionMatrix, Values};
use crate::base::{Error, ErrorKind, Result, write_whole};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::Path;

/// The values of every epoch, and the loss of every step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The epochs that are over, in order.
    pub epochs: Vec<Epoch>,
    /// The number of a step, from 1, and its loss. After [`Trainer::resume`](super::Trainer::resume) those from the beginning of the epoch
    /// on that was interrupted: logs have the others.
    #[serde(with = "losses")]
    pub losses: Vec<(u32, f32)>,
    /// The number of the epoch with the best value of what is [watched](super::Trainer::watch).
    pub best_epoch: Option<u32>,
    /// Why training ended before the last epoch, if it did.
    pub stopped: Option<String>,
}

/// How many epochs there were, why they ended, and the best of them, or else the last, with its confusion matrix.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From 0: the sum of nothing is -0.
        let seconds = self.epochs.iter().fold(0.0, |sum, epoch| sum + epoch.seconds);
        let count = self.epochs.len();
        write!(f, "{count} {} in {seconds:.2} s", if count == 1 { "epoch" } else { "epochs" })?;
        if let Some(why) = &self.stopped {
            write!(f, "; ended: {why}")?;
        }
        let (what, shown) = match (self.best(), self.last()) {
            (Some(best), _) => ("best", best),
            (None, Some(last)) => ("last", last),
            (None, None) => return Ok(()),
        };
        write!(f, "\n{what}: epoch {}: {}", shown.epoch, shown.values)?;
        match &shown.confusion {
            Some(confusion) => write!(f, "\nclasses downwards, predictions across:\n{confusion}"),
            None => Ok(()),
        }
    }
}

/// What was measured in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// How many steps the state had seen at its end.
    pub steps: u32,
    /// How many samples were trained with, without those that pad a batch.
    pub samples: u64,
    /// How long it took, validation included.
    pub seconds: f64,
    /// The learning rate at its end, that of the step that would come next, before a [plateau](super::Trainer::reduce_on_plateau) lowers it.
    #[serde(with = "super::exact")]
    pub learning_rate: f64,
    /// `train/loss`, the mean over all samples as they were trained with, other metrics of training as `train/<name>`, and those of
    /// validation as `validation/<name>`.
    pub values: Values,
    /// The confusion matrix of validation, or else of training, where it was asked for. A checkpoint has room for
    /// 2^20 counts of them, those of the best epoch and the last first: after [`Trainer::resume`](super::Trainer::resume) others have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionMatrix>,
}

impl History {
    /// The values of this name, such as `validation/loss`, with the numbers of their epochs: a curve.
    #[must_use]
    pub fn curve(&self, name: &str) -> Vec<(f64, f64)> {
        self.epochs.iter().filter_map(|epoch| Some((f64::from(epoch.epoch), epoch.values.get(name)?))).collect()
    }

    /// The names of all values.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.epochs.iter().flat_map(|epoch| epoch.values.names()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The epoch with the best value of what was watched.
    #[must_use]
    pub fn best(&self) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| Some(epoch.epoch) == self.best_epoch)
    }

    /// The epoch that was trained last.
    #[must_use]
    pub fn last(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    /// Writes it as JSON, in one piece.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self).map_err(|error| file("be written", path, error))?;
        write_whole(path, text.as_bytes()).map_err(|error| file("be written", path, error))
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When the file cannot be read, or is no history.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|error| file("be read", path, error))?;
        serde_json::from_slice(&text).map_err(|error| file("be read as a history", path, error))
    }
}

/// That something cannot be done to a file.
pub(super) fn file(what: &str, path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::File, format!("{} cannot {what}: {error}", path.display())).caused_by(error)
}

/// JSON has no NaN: what is not finite is null.
pub(super) mod losses {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(losses: &[(u32, f32)], serializer: S) -> Result<S::Ok, S::Error> {
        let finite = |&(step, loss): &(u32, f32)| (step, Some(loss).filter(|loss| loss.is_finite()));
        losses.iter().map(finite).collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(u32, f32)>, D::Error> {
        let losses = Vec::<(u32, Option<f32>)>::deserialize(deserializer)?;
        Ok(losses.into_iter().map(|(step, loss)| (step, loss.unwrap_or(f32::NAN))).collect())
    }
}
