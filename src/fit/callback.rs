//! What is told while a training goes on.

use super::history::{Epoch, History};
use crate::base::Result;
use crate::train::Step;
use std::ops::ControlFlow;

/// Whether a training goes on: `ControlFlow::Continue(())`, or `ControlFlow::Break(why)` to end it.
pub type Flow = ControlFlow<String>;

/// Looks at a training, and may end it. Every method does nothing unless it is implemented.
pub trait Callback {
    /// Before the first step.
    ///
    /// # Errors
    /// Any: training does not begin then.
    fn begin(&mut self, _beginning: &Beginning<'_>) -> Result<()> {
        Ok(())
    }

    /// After every step, in order, once its loss has arrived: up to [`Trainer::read_ahead`](super::Trainer::read_ahead) steps may have
    /// been begun since.
    ///
    /// # Errors
    /// Any: training ends then.
    fn step(&mut self, _report: &StepReport) -> Result<Flow> {
        Ok(Flow::Continue(()))
    }

    /// After every epoch and its validation. The step may be read, saved, or given another learning rate.
    ///
    /// # Errors
    /// Any: training ends then.
    fn epoch(&mut self, _report: &EpochReport<'_>, _step: &mut Step) -> Result<Flow> {
        Ok(Flow::Continue(()))
    }

    /// After the last epoch, also where training was ended before, but not where it failed.
    ///
    /// # Errors
    /// Any: what was trained remains.
    fn end(&mut self, _history: &History) -> Result<()> {
        Ok(())
    }
}

/// Where a training begins.
#[derive(Clone, Debug)]
pub struct Beginning<'a> {
    /// Epochs to have been trained at its end.
    pub epochs: u32,
    /// What there is already, where it goes on from an earlier call or a checkpoint: epochs that are over, and the losses of the steps
    /// since.
    pub history: &'a History,
    /// Batches of an epoch.
    pub batches: usize,
    /// How many of these are over in the epoch that comes.
    pub batches_done: usize,
    /// The names of the values that every epoch will have.
    pub names: &'a [String],
    /// Whether a checkpoint, or a call before, is gone on from.
    pub resumes: bool,
}

impl Beginning<'_> {
    /// Epochs that are over.
    #[must_use]
    pub fn epochs_done(&self) -> u32 {
        self.history.epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// The losses of the steps since the last epoch that is over.
    pub fn losses_since(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        let over = self.history.epochs.last().map_or(0, |epoch| epoch.steps);
        self.history.losses.iter().copied().filter(move |&(step, _)| step > over)
    }
}

/// A step that has run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Its number on the state, from 1.
    pub step: u32,
    /// The number of its epoch, from 1.
    pub epoch: u32,
    /// The number of its batch in the epoch, from 1.
    pub batch: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Samples in it, without those that pad it.
    pub samples: usize,
    /// Its loss.
    pub loss: f32,
}

/// An epoch that is over.
#[derive(Clone, Copy, Debug)]
pub struct EpochReport<'a> {
    /// What was measured.
    pub epoch: &'a Epoch,
    /// Epochs to have been trained at the end.
    pub epochs: u32,
    /// Whether it is the best so far of what is watched.
    pub is_best: bool,
}

/// A function as a callback after every step.
pub(super) struct OnStep<F>(pub F);

impl<F: FnMut(&StepReport) -> Result<Flow>> Callback for OnStep<F> {
    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        (self.0)(report)
    }
}

/// A function as a callback after every epoch.
pub(super) struct OnEpoch<F>(pub F);

impl<F: FnMut(&EpochReport<'_>, &mut Step) -> Result<Flow>> Callback for OnEpoch<F> {
    fn epoch(&mut self, report: &EpochReport<'_>, step: &mut Step) -> Result<Flow> {
        (self.0)(report, step)
    }
}
