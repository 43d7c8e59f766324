//! The numbers of every update: learning rates, what optimizers compute, and how far averages move.

use super::optim::Optimizer;
use super::schedule::Schedule;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::{Counts, State};
use crate::plan::StepScalars;

/// What a step needs to know of its training.
#[derive(Debug)]
pub(super) struct Trainer {
    /// The groups of parameters.
    pub groups: Vec<TrainedGroup>,
    /// The learning rate that the schedule gives factors of.
    pub rate: f64,
    /// Whether it is another than what was compiled, which a checkpoint has to tell.
    pub rate_is_set: bool,
    pub schedule: Option<Box<dyn Schedule>>,
    /// The gradients of so many runs make an update.
    pub accumulate: u32,
    /// The decay of running averages.
    pub average: Option<f64>,
}

/// Parameters that train alike.
#[derive(Debug)]
pub(super) struct TrainedGroup {
    pub optimizer: Box<dyn Optimizer>,
    /// What the learning rate is multiplied by.
    pub factor: f64,
    /// The names of the optimizer's states.
    pub states: Vec<&'static str>,
    /// The numbers of the parameters that it updates.
    pub parameters: Vec<usize>,
}

impl Trainer {
    /// The learning rate of the update of this number, from 0.
    fn rate_of(&self, update: u32) -> Result<f64> {
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

    /// The learning rate of the next update.
    pub fn next_rate(&self, state: &State) -> Result<f64> {
        self.rate_of(state.with_counts(|counts| self.updates(counts)))
    }

    /// How many updates the schedule has seen: those of the parameter that has had most.
    fn updates(&self, counts: &Counts) -> u32 {
        self.trained().map(|number| counts.updates[number]).max().unwrap_or(0)
    }

    /// How many updates the running averages are of: a parameter that comes later has stood still until then.
    fn averages(&self, counts: &Counts) -> u32 {
        self.trained().filter_map(|number| counts.averages[number]).max().unwrap_or(0)
    }

    /// The numbers of the parameters that it updates.
    pub fn trained(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        self.groups.iter().flat_map(|group| group.parameters.iter().copied())
    }

    /// The numbers of every group for the run that comes `ahead` runs after the next. `known` are those of the run that
    /// do not depend on the optimizer.
    pub fn scalars(&self, place: &Place, ahead: u32, known: StepScalars) -> Result<Vec<StepScalars>> {
        // What was added up for a larger number of runs is applied with the next.
        let begun = place.gathered.min(self.accumulate - 1);
        let (updates, runs) = ((begun + ahead) / self.accumulate, (begun + ahead) % self.accumulate);
        let gathered = if updates == 0 { place.gathered + ahead } else { runs };
        let rate = self.rate_of(place.updates + updates)?;
        let averages = place.averages + updates + 1;
        // The weights of all updates so far count as powers of the decay, and their shares add up to 1.
        let averaging = self.average.map_or(0.0, |decay| (1.0 - decay) / (1.0 - decay.powf(f64::from(averages))));
        let of = |(group, since_zero): (&TrainedGroup, &u32)| {
            let (count, learning_rate) = (since_zero + updates + 1, rate * group.factor);
            StepScalars {
                count,
                learning_rate,
                scalars: group.optimizer.scalars(count, learning_rate),
                averaging,
                gathered,
                gathers_only: runs + 1 < self.accumulate,
                ..known
            }
        };
        Ok(self.groups.iter().zip(&place.since_zero).map(of).collect())
    }

    /// Counts so many runs.
    pub fn has_run(&self, state: &State, runs: u32) {
        state.with_counts(|counts: &mut Counts| {
            let averages = self.averages(counts);
            for (group, &number) in
                self.groups.iter().flat_map(|group| group.parameters.iter().map(move |n| (group, n)))
            {
                let gathered = if self.accumulate > 1 { counts.gathered[number].min(self.accumulate - 1) } else { 0 };
                let total = gathered + runs;
                let updates = total / self.accumulate;
                counts.has_updated(&group.states, number, updates);
                if self.accumulate > 1 {
                    counts.gathered[number] = total % self.accumulate;
                }
                if self.average.is_some() && counts.averages[number].is_some() {
                    counts.averages[number] = Some(averages + updates);
                }
            }
        });
    }

    /// How far the trained parameters have come. Optimizers correct their running means by the number of updates, so it has
    /// to be the same for all parameters of a group, and all have added up as many gradients.
    pub fn place(&self, state: &State) -> Result<Place> {
        let counts = state.with_counts(|counts| counts.clone());
        let mut since_zero = Vec::new();
        for group in &self.groups {
            let of = group.parameters.iter().map(|&number| (counts.since_zero(&group.states, number), number));
            // Without states there is nothing to correct.
            let shared = if group.states.is_empty() { Ok(of.map(|(count, _)| count).max()) } else { shared(of) };
            let shared = shared.map_err(|[(one, young), (many, old)]| {
                refuse(format!(
                    "parameter `{}` was updated {many} times on this state by this optimizer and `{}` {one} times, and one \
                     optimizer step cannot correct both for their start: train them by steps of their own \
                     (`Training::only`), or start their optimizer states anew with `State::reset_optimizer`",
                    name(state, old),
                    name(state, young)
                ))
            })?;
            since_zero.push(shared.unwrap_or(0));
        }
        let gathered = if self.accumulate == 1 {
            None
        } else {
            shared(self.trained().map(|number| (counts.gathered[number], number))).map_err(|[(one, young), (many, old)]| {
                refuse(format!(
                    "{many} gradients of parameter `{}` are added up on this state and {one} of `{}`: finish their update \
                     by the step that began it, or give it up with `State::reset_optimizer`",
                    name(state, old),
                    name(state, young)
                ))
            })?
        };
        // The average of a parameter that has stood still is its value, of however many updates. Others cannot catch up.
        let averages = self.trained().filter_map(|number| Some((counts.averages[number]?, number)));
        if self.average.is_some() {
            shared(averages.filter(|(count, _)| *count > 0)).map_err(|[(one, young), (many, old)]| {
                refuse(format!(
                    "the running average of parameter `{}` is of {many} updates on this state and that of `{}` of {one}, and one \
                     step cannot go on with both: train them by steps of their own (`Training::only`), or without \
                     `Training::average`",
                    name(state, old),
                    name(state, young)
                ))
            })?;
        }
        Ok(Place {
            updates: self.updates(&counts),
            since_zero,
            gathered: gathered.unwrap_or(0),
            averages: self.averages(&counts),
        })
    }
}

/// The count that all parameters have, given with their numbers; where it differs, the least and the greatest.
fn shared(counts: impl Iterator<Item = (u32, usize)> + Clone) -> Result<Option<u32>, [(u32, usize); 2]> {
    match (counts.clone().min(), counts.max()) {
        (Some(least), Some(most)) if least.0 != most.0 => Err([least, most]),
        (_, most) => Ok(most.map(|(count, _)| count)),
    }
}

fn name(state: &State, number: usize) -> &str {
    &state.arena().entries[number].name
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::Argument, message)
}

/// How far the parameters of a step have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Updates that the schedule has seen.
    updates: u32,
    /// Of every group: updates since its optimizer states were zero.
    since_zero: Vec<u32>,
    /// Gradients added up since the last update.
    gathered: u32,
    averages: u32,
}

impl Place {
    /// The greatest of all counts.
    pub fn furthest(&self) -> u32 {
        let since_zero = self.since_zero.iter().copied().max().unwrap_or(0);
        self.updates.max(since_zero).max(self.gathered).max(self.averages)
    }
}
