//! How far a training has come, and how it is saved.

use super::history::History;
use super::metrics::Totals;
use crate::data::Position;
use crate::train::Seen;
use serde::{Deserialize, Serialize};

/// Most counts of confusion matrices in a checkpoint: some megabytes.
const MOST_COUNTS: usize = 1 << 20;

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
    #[serde(with = "super::exact")]
    pub loss: f64,
    #[serde(with = "super::exact")]
    pub weight: f64,
    pub metrics: Totals,
    pub seconds: f64,
}

/// What stands in a checkpoint beside the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub position: Position,
    pub setup: Setup,
    pub running: Running,
    pub early_stopping: Option<Seen>,
    pub plateau: Option<Seen>,
}

/// What a training has to have in common with the one that it goes on from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Setup {
    pub samples: usize,
    pub batch_size: usize,
    /// The seed of the order, if samples are shuffled.
    pub shuffle: Option<u64>,
    /// What becomes of samples that fill no batch.
    pub remainder: String,
    /// What is watched, and which way is better.
    pub watched: String,
    /// What is measured in training.
    pub metrics: Vec<String>,
}

impl Setup {
    /// What is otherwise than it was saved.
    pub fn differences(&self, saved: &Self) -> Vec<String> {
        let shuffle =
            |setup: &Self| setup.shuffle.map_or("in order".to_owned(), |seed| format!("shuffled by the seed {seed}"));
        let pairs = [
            ("samples", saved.samples.to_string(), self.samples.to_string()),
            ("samples of a batch", saved.batch_size.to_string(), self.batch_size.to_string()),
            ("order", shuffle(saved), shuffle(self)),
            ("last batch", saved.remainder.clone(), self.remainder.clone()),
            ("watched", saved.watched.clone(), self.watched.clone()),
            ("metrics of training", saved.metrics.join(", "), self.metrics.join(", ")),
        ];
        let other = pairs.into_iter().filter(|(_, saved, own)| saved != own);
        other.map(|(what, saved, own)| format!("{what}: `{saved}` then, `{own}` now")).collect()
    }
}

impl Running {
    /// Epochs that are over.
    pub fn epochs(&self) -> u32 {
        self.history.epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// The same with the losses of the current epoch alone, and not more confusion matrices than have some room, those of the best epoch
    /// and the last first: all would make a checkpoint larger with every step.
    pub fn for_checkpoint(&self) -> Self {
        let over = self.history.epochs.last().map_or(0, |epoch| epoch.steps);
        let mut running = self.clone();
        running.history.losses.retain(|&(step, _)| step > over);
        let (best, last) = (running.history.best_epoch, running.epochs());
        let mut epochs: Vec<_> = running.history.epochs.iter_mut().rev().collect();
        epochs.sort_by_key(|epoch| epoch.epoch != last && Some(epoch.epoch) != best);
        let mut counts = 0;
        for epoch in epochs {
            counts += epoch.confusion.as_ref().map_or(0, |matrix| matrix.classes().pow(2));
            if counts > MOST_COUNTS {
                epoch.confusion = None;
            }
        }
        running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::{ConfusionMatrix, Epoch};

    #[test]
    fn confusion_matrices_take_some_room_of_a_checkpoint_and_no_more() {
        let saved = |classes: usize| {
            let text = serde_json::json!({ "classes": classes, "counts": vec![1.0; classes * classes] }).to_string();
            let confusion: Option<ConfusionMatrix> = serde_json::from_str(&text).unwrap();
            let epoch = |epoch: u32| Epoch { epoch, confusion: confusion.clone(), ..Epoch::default() };
            let history = History { epochs: (1..=6).map(epoch).collect(), best_epoch: Some(2), ..History::default() };
            let kept = Running { history, ..Running::default() }.for_checkpoint().history.epochs;
            kept.iter().filter(|epoch| epoch.confusion.is_some()).map(|epoch| epoch.epoch).collect::<Vec<_>>()
        };
        assert_eq!(saved(3), [1, 2, 3, 4, 5, 6]);
        assert_eq!(saved(580), [2, 5, 6]);
        assert_eq!(saved(1000), [6]);
        assert!(saved(1100).is_empty());
    }
}
