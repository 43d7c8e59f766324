//! Going on from a checkpoint of a trainer.

use super::running::{Saved, Setup};
use super::trainer::{BestWeights, Trainer, weights};
use crate::base::{Error, ErrorKind, Result};
use crate::train::{Best, Resumed};

impl Trainer<'_> {
    /// Goes on from the last good of the [checkpoints](Self::checkpoints), at the epoch and batch where it was saved: what
    /// [`fit`](Self::fit) does then is what it would have done without an interruption, to the bit. `None` where there is none.
    ///
    /// # Errors
    /// Without checkpoints; as those of [`Checkpoints::resume`](crate::train::Checkpoints::resume); where the last checkpoint was saved otherwise than by a trainer, or by one
    /// with another number of samples, size or order of batches, or that watched something else, listing all differences.
    pub fn resume(&mut self) -> Result<Option<Resumed>> {
        let setup = self.setup();
        let Some(checkpoints) = &mut self.checkpoints else {
            let message = "there are no checkpoints to resume from: give the trainer a folder of them with `Trainer::checkpoints`";
            return Err(Error::new(ErrorKind::Argument, message));
        };
        let Some(latest) = checkpoints.latest()?.checkpoint else {
            // Tells where all are damaged.
            return checkpoints.resume(&mut self.step);
        };
        let Some(saved) = latest.position::<Saved>()? else {
            let message = format!(
                "{} was not saved by a trainer: it does not say where training stood. Load it with `Step::load`",
                latest.path().display()
            );
            return Err(Error::new(ErrorKind::File, message));
        };
        let differences = setup?.differences(&saved.setup);
        if !differences.is_empty() {
            let message = format!(
                "{} is of a training that was set up otherwise, so that this one would not go on as it would have; set it up so, or take \
                 the weights alone with `Step::load`:\n  {}",
                latest.path().display(),
                differences.join("\n  ")
            );
            return Err(Error::new(ErrorKind::File, message));
        }
        let before = self.loader.position();
        self.loader.seek(saved.position)?;
        let resumed = match checkpoints.resume(&mut self.step) {
            Ok(Some(resumed)) => resumed,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.loader.seek(before)?;
                return Err(error);
            }
        };
        // Until all is in place, there is nothing to go on from.
        self.failed = true;
        // Weights of the best are copied while its checkpoint is in the step; then the last comes back.
        let best = if self.best_weights.are_wanted() && checkpoints.kept_best().is_some() {
            checkpoints.best()?.checkpoint
        } else {
            None
        };
        let mut best_weights =
            if self.best_weights.are_wanted() { BestWeights::Unknown } else { BestWeights::Unwanted };
        if let Some(best) = best.filter(|best| best.metric().is_some() && best.metric() == saved.running.best) {
            let copied = best.load(&mut self.step).and_then(|()| weights(&self.step));
            latest.load(&mut self.step)?;
            best_weights = BestWeights::Known(copied?);
        }
        self.best_weights = best_weights;
        if let (Some(stopping), Some(seen)) = (&mut self.early_stopping, &saved.early_stopping) {
            stopping.go_on(seen);
        }
        if let (Some(plateau), Some(seen)) = (&mut self.plateau, &saved.plateau) {
            plateau.go_on(seen);
            // One that was lowered after the checkpoint was saved does not stand in it.
            if let Some(rate) = self.rate.filter(|_| plateau.factor() == 1.0)
                && self.step.rate_without_schedule() != Some(rate)
                && !resumed.had_rate()
            {
                self.step.set_learning_rate(rate)?;
            }
        }
        if let Some((_, meter)) = &mut self.metrics {
            meter.go_on(saved.running.sums.metrics.clone());
        }
        self.running = saved.running;
        self.failed = false;
        Ok(Some(resumed))
    }

    /// What a training that goes on from this one has to have in common with it.
    pub(super) fn setup(&self) -> Result<Setup> {
        let (name, best) = self.watched(&self.names())?;
        let way = if best == Best::Lowest { "lowest" } else { "highest" };
        Ok(Setup {
            samples: self.loader.dataset().len(),
            batch_size: self.loader.batch_size(),
            shuffle: self.loader.shuffle_seed(),
            remainder: self.loader.remainder().into(),
            watched: format!("{name}, the {way}"),
            metrics: self.metrics.iter().flat_map(|(metrics, _)| metrics.names()).map(str::to_owned).collect(),
        })
    }
}
