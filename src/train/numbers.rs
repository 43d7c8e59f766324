//! The check of numbers: which steps it looks at, and when what it found is told.

use super::{Inference, Step, Training};
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::{Asked, Known, NumbersRead, PendingRead, Program};
use crate::plan::{NonFinite, NumberCheck, StepScalars};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Training<'_> {
    /// Looks for NaN and infinity in everything that a step computes, and tells the first there is: the step, the dispatch
    /// and its op, the tensor, parameter or optimizer state with its element, and the source line. Looked at are the first
    /// step, and every step whose number ([`State::steps`](crate::State::steps) after it) is a multiple of `every`: with 1 every
    /// one.
    ///
    /// In such a step the inputs, and the parameters and optimizer states that it uses, are looked at before it begins, and
    /// every float that a dispatch stores right after that dispatch, before its memory is used again: results of the
    /// forward list, gradients, norms, new weights, states and cells. Not looked at are what a fused kernel computes and does not
    /// store (the message lists its ops; see [`without_fusion`](Self::without_fusion)), what an op of several kernels passes between
    /// them, and constants. [`Step::profile`] looks at nothing.
    ///
    /// What was found first stays on the device until something is read: then [`Step::read`], and every other read of the
    /// step, is an error of the kind [`ErrorKind::NonFinite`], also where many steps have run since; and so is
    /// [`Step::save`], once. [`Step::first_non_finite`] returns it as data. Once it was told it is forgotten by the next
    /// run, and the check begins anew. A step that goes on where it is meant to, such as one with
    /// [`clip_norm`](Self::clip_norm), which leaves out updates without a finite norm, tells what it found as well.
    ///
    /// Infinities that are meant, such as those of a mask that is fed, are found too: use a large number in their place. What
    /// a step computes is the same to the bit with and without the check.
    ///
    /// A step that is looked at reads all that it writes once more; one that is not has the same dispatches as without the
    /// check. Measured in processor time on two multilayer perceptrons and a convolutional network, a step that is looked at
    /// takes 1 to 14% more on the CPU device and 13 to 27% more on software Vulkan: an `every` of 8 or more costs less
    /// than 5% of all steps. The device keeps some 300 bytes for every tensor that is looked at, which a
    /// [`memory_budget`](Self::memory_budget) does not count.
    ///
    /// Compiling fails with [`ErrorKind::Argument`] where `every` is 0.
    #[must_use]
    pub fn check_numbers(mut self, every: u32) -> Self {
        self.options.check_numbers = Some(every);
        self
    }
}

impl Inference<'_> {
    /// As [`Training::check_numbers`]; steps are counted as the runs of this step.
    #[must_use]
    pub fn check_numbers(mut self, every: u32) -> Self {
        self.options.check_numbers = Some(every);
        self
    }
}

/// Refuses to look at every step of none.
pub(super) fn check_every(every: Option<u32>) -> Result<()> {
    if every == Some(0) {
        let message = "`check_numbers` is 0 and must be at least 1: 1 looks at every step, 2 at every other";
        return Err(Error::new(ErrorKind::Argument, message));
    }
    Ok(())
}

/// The check of a step, and how far it has come.
#[derive(Debug)]
pub(super) struct Numbers {
    check: Arc<NumberCheck>,
    /// How many steps were looked at.
    checks: u32,
    /// How often what was found has been forgotten.
    forgotten: u32,
    known: Arc<Known>,
}

impl Numbers {
    pub fn new(check: Arc<NumberCheck>) -> Self {
        Self { check, checks: 0, forgotten: 0, known: Arc::default() }
    }

    /// Numbers the checks of steps to come, which are given by the numbers of every group of each.
    pub fn plan(&self, scalars: &mut [StepScalars], groups: usize) {
        let mut checks = self.checks;
        for step in scalars.chunks_mut(groups) {
            if checks == 0 || step[0].number % self.check.every == 0 {
                checks += 1;
                for scalars in step {
                    scalars.checked = checks;
                }
            }
        }
    }

    /// Forgets what has been told, before a run.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn before_run(&mut self, program: &mut Program) -> Result<()> {
        if self.is_told() {
            program.forget_numbers()?;
            self.forgotten += 1;
            self.known.finite.store(self.checks, Ordering::Release);
        }
        Ok(())
    }

    /// Notes that steps with these numbers have run.
    pub fn has_run(&mut self, scalars: &[StepScalars]) {
        self.checks = scalars.iter().map(|scalars| scalars.checked).fold(self.checks, u32::max);
    }

    /// Starts to read what was found, where that is not known to be nothing.
    fn begin(&self, program: &Program) -> Result<Option<NumbersRead>> {
        if self.known.finite.load(Ordering::Acquire) == self.checks {
            return Ok(None);
        }
        let (last, forgotten, known) = (self.checks, self.forgotten, Arc::clone(&self.known));
        program.begin_numbers(Asked { last, forgotten, known })
    }

    /// Whether what was found since it was forgotten has been told.
    fn is_told(&self) -> bool {
        self.known.told.load(Ordering::Acquire) > self.forgotten
    }

    /// What is read, with what was found.
    pub fn guard(&self, program: &Program, read: PendingRead) -> Result<PendingRead> {
        Ok(read.with_numbers(self.begin(program)?))
    }

    /// An error where something was found that has not been told.
    pub async fn tell(&self, program: &Program) -> Result<()> {
        if self.is_told() {
            return Ok(());
        }
        match self.begin(program)? {
            Some(read) => read.refuse().await,
            None => Ok(()),
        }
    }
}

impl Step {
    /// The first number that was NaN or infinite in a step that was looked at, as data, for steps with
    /// [`Training::check_numbers`] or [`Inference::check_numbers`]; none where all were finite. It counts as told: the next
    /// run forgets it.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] where the step has no such check; a lost device.
    pub async fn first_non_finite_async(&self) -> Result<Option<NonFinite>> {
        let Some(numbers) = &self.numbers else {
            let message = "this step does not look at its numbers: ask for it with `Training::check_numbers` or \
                           `Inference::check_numbers`";
            return Err(Error::new(ErrorKind::Argument, message));
        };
        match numbers.begin(&self.program)? {
            Some(read) => read.finish().await,
            None => Ok(None),
        }
    }

    /// As [`first_non_finite_async`](Self::first_non_finite_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn first_non_finite(&self) -> Result<Option<NonFinite>> {
        pollster::block_on(self.first_non_finite_async())
    }

    /// An error where a check of numbers has found something that was not told.
    pub(super) async fn tell_non_finite(&self) -> Result<()> {
        match &self.numbers {
            Some(numbers) => numbers.tell(&self.program).await,
            None => Ok(()),
        }
    }

    /// What is read, with what checks of indices and of numbers have found.
    pub(super) fn guarded(&self, read: PendingRead) -> Result<PendingRead> {
        let read = self.findings.guard(&self.program, read)?;
        self.with_numbers(read)
    }

    /// What is read, with what the check of numbers has found.
    pub(super) fn with_numbers(&self, read: PendingRead) -> Result<PendingRead> {
        match &self.numbers {
            Some(numbers) => numbers.guard(&self.program, read),
            None => Ok(read),
        }
    }
}
