//! The numbers of every update: learning rates, what optimizers compute, and how far averages move.

use super::optim::Optimizer;
use super::schedule::Schedule;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::{Counts, State};
use crate::plan::StepScalars;

/// What a step needs to know of its training.
#[derive(Debug)]
pub(super) struct Trainer {
    /// The optimizer of every group, with its factor of the learning rate.
    pub groups: Vec<(Box<dyn Optimizer>, f64)>,
    /// The learning rate that the schedule gives factors of.
    pub rate: f64,
    pub schedule: Option<Box<dyn Schedule>>,
    /// The gradients of so many runs make an update.
    pub accumulate: u32,
    /// The decay of running averages.
    pub average: Option<f64>,
    /// The numbers of the parameters that it updates.
    pub trained: Vec<usize>,
}

impl Trainer {
    /// The learning rate of the run that comes after so many runs on the state.
    pub fn rate_after(&self, runs: u32) -> Result<f64> {
        let update = runs / self.accumulate;
        let Some(schedule) = &self.schedule else { return Ok(self.rate) };
        let factor = schedule.factor(update);
        let rate = self.rate * factor;
        if rate >= 0.0 && (rate as f32).is_finite() {
            return Ok(rate);
        }
        let message = format!(
            "the schedule {schedule:?} gives the factor {factor} for update {update}, and with it a learning rate of {rate}, \
             which must be finite and at least 0"
        );
        Err(Error::new(ErrorKind::Argument, message))
    }

    /// The numbers of every group for the run that comes `ahead` runs after the next. `known` are those of the run that
    /// do not depend on the optimizer.
    pub fn scalars(&self, state: &State, counts: &Place, ahead: u32, known: StepScalars) -> Result<Vec<StepScalars>> {
        let rate = self.rate_after(state.steps() + ahead)?;
        let runs = counts.gathered + ahead;
        let (count, gathered) = (counts.updates + runs / self.accumulate + 1, runs % self.accumulate);
        let averages = counts.averages + runs / self.accumulate + 1;
        // The weights of all updates so far count as powers of the decay, and their shares add up to 1.
        let averaging = self.average.map_or(0.0, |decay| (1.0 - decay) / (1.0 - decay.powf(f64::from(averages))));
        let of = |(optimizer, factor): &(Box<dyn Optimizer>, f64)| {
            let learning_rate = rate * factor;
            StepScalars {
                count,
                learning_rate,
                scalars: optimizer.scalars(count, learning_rate),
                averaging,
                gathered,
                gathers_only: gathered + 1 < self.accumulate,
                ..known
            }
        };
        Ok(self.groups.iter().map(of).collect())
    }

    /// Counts so many runs.
    pub fn has_run(&self, state: &State, runs: u32) {
        state.with_counts(|counts: &mut Counts| {
            for &number in &self.trained {
                let gathered = if self.accumulate > 1 { counts.gathered[number].min(self.accumulate - 1) } else { 0 };
                let total = gathered + runs;
                let updates = total / self.accumulate;
                counts.updates[number] += updates;
                if self.accumulate > 1 {
                    counts.gathered[number] = total % self.accumulate;
                }
                if let Some(averages) = counts.averages[number].as_mut().filter(|_| self.average.is_some()) {
                    *averages += updates;
                }
            }
        });
    }

    /// How far the trained parameters have come. Optimizers correct their running means by the number of updates, so it has
    /// to be the same for all, and all have added up as many gradients.
    pub fn place(&self, state: &State) -> Result<Place> {
        let counts = state.with_counts(|counts| counts.clone());
        let updates = self.shared(state, &counts.updates, |many, one, old, young| {
            format!(
                "parameter `{old}` was updated {many} times on this state and `{young}` {one} times, and one optimizer step \
                 cannot correct both for their start: train them by steps of their own (`Training::only`), or start their \
                 optimizer states anew with `State::reset_optimizer`"
            )
        })?;
        let gathered = if self.accumulate == 1 {
            0
        } else {
            let gathered = self.shared(state, &counts.gathered, |many, one, old, young| {
                format!(
                    "{many} gradients of parameter `{old}` are added up on this state and {one} of `{young}`: finish their \
                     update by the step that began it, or give it up with `State::reset_optimizer`"
                )
            })?;
            // What was added up for a larger number of runs is applied with the next.
            gathered.min(self.accumulate - 1)
        };
        let averages = self.trained.iter().filter_map(|&number| counts.averages[number]).max();
        Ok(Place { updates, gathered, averages: averages.unwrap_or(0) })
    }

    /// The count that all trained parameters have.
    fn shared(&self, state: &State, of: &[u32], message: impl FnOnce(u32, u32, &str, &str) -> String) -> Result<u32> {
        let counts = || self.trained.iter().map(|&number| (of[number], number));
        let (Some((least, young)), Some((most, old))) = (counts().min(), counts().max()) else { return Ok(0) };
        if least == most {
            return Ok(most);
        }
        let name = |number: usize| state.arena().entries[number].name.as_str();
        Err(Error::new(ErrorKind::Argument, message(most, least, name(old), name(young))))
    }
}

/// How far the parameters of a step have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    updates: u32,
    /// Gradients added up since the last update.
    gathered: u32,
    averages: u32,
}
