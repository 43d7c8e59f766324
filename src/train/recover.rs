//! Going on after a device was lost.

use super::{Step, Training};
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::{Device, PendingSnapshot, Snapshot, State};

/// The snapshots of a step.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// One is taken whenever so many steps have run on the state since the last; none, where it is not said.
    every: Option<u32>,
    last: Option<Taken<Snapshot>>,
    pending: Option<Taken<PendingSnapshot>>,
}

/// A snapshot, and what the step itself knew then.
#[derive(Clone, Debug)]
struct Taken<S> {
    of: S,
    rate: f64,
}

impl Snapshots {
    pub fn new(every: Option<u32>) -> Result<Self> {
        if every == Some(0) {
            return Err(Error::new(ErrorKind::Argument, "`Training::snapshots` is 0 and must be at least 1"));
        }
        Ok(Self { every, ..Self::default() })
    }

    /// Whether they are taken by themselves.
    pub const fn are_regular(&self) -> bool {
        self.every.is_some()
    }

    /// Takes the first, where they are taken by themselves.
    pub async fn begin(&mut self, state: &State, rate: f64) -> Result<()> {
        if self.every.is_some() {
            self.last = Some(Taken { of: state.begin_snapshot()?.finish().await?, rate });
        }
        Ok(())
    }

    /// Takes over a snapshot that has arrived, and begins the next where it is due.
    pub fn before_run(&mut self, state: &State, rate: f64) -> Result<()> {
        let Some(every) = self.every else { return Ok(()) };
        if let Some(Taken { of, rate }) = self.pending.take_if(|pending| pending.of.is_ready()) {
            self.last = Some(Taken { of: arrived(of)?, rate });
        }
        let (is_edited, is_due) = match (&self.pending, &self.last) {
            (Some(pending), _) => (pending.of.is_outdated(state), pending.of.is_due(state, every)),
            (None, Some(last)) => (last.of.is_outdated(state), last.of.is_due(state, every)),
            (None, None) => (true, true),
        };
        if !is_edited && !is_due {
            return Ok(());
        }
        // One at a time is on its way. In a browser nothing can wait here: the next run looks again.
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(Taken { of, rate }) = self.pending.take() {
            self.last = Some(Taken { of: of.wait()?, rate });
        }
        if self.pending.is_none() {
            self.pending = Some(Taken { of: state.begin_snapshot()?, rate });
        }
        // What was before something else than a step changed the state is nothing to go on from.
        #[cfg(not(target_arch = "wasm32"))]
        if is_edited && let Some(Taken { of, rate }) = self.pending.take() {
            self.last = Some(Taken { of: of.wait()?, rate });
        }
        Ok(())
    }
}

/// A snapshot that is there: nothing is waited for.
fn arrived(pending: PendingSnapshot) -> Result<Snapshot> {
    pollster::block_on(pending.finish())
}

impl Training<'_> {
    /// Takes a snapshot of the state when the step is compiled, and then whenever `every` steps have run on it since, or
    /// something else has changed it, such as a checkpoint that was loaded: a copy on the host, on its way while steps run,
    /// from which [`Step::recover`] goes on when the device was lost. Of steps that run together by
    /// [`run_many`](Step::run_many) or [`run_epoch`](Step::run_epoch) none is looked at alone. The data of a
    /// [dataset](Self::dataset) stay on the host as well then.
    ///
    /// Compiling fails with [`ErrorKind::Argument`] where `every` is 0.
    ///
    /// ```
    /// use retrograd::{nn, optim::Adam, Device, ErrorKind, Graph, Params};
    ///
    /// # fn main() -> retrograd::Result<()> {
    /// # let batch = |step: u32| vec![(step as f32).sin(); 12];
    /// let (mut device, mut params, g) = (Device::cpu(), Params::seeded(1), Graph::new());
    /// let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    /// let x = g.input("x", [4, 3]);
    /// let loss = layer.forward(x).square().mean(..);
    /// let mut step = g.train(loss, Adam::new(1e-2)).snapshots(100).compile(&device, &params)?;
    /// while step.state().steps() < 1000 {
    ///     // What is fed follows from how many steps the state has seen.
    ///     match step.run([x.feed(&batch(step.state().steps()))]) {
    ///         Err(error) if error.kind() == ErrorKind::DeviceLost => {
    ///             device = device.reopen()?;
    ///             step.recover(&device)?;
    ///         }
    ///         outcome => outcome?,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn snapshots(mut self, every: u32) -> Self {
        self.snapshots = Some(every);
        self
    }
}

impl Step {
    /// Goes back to the last snapshot, on another device, and compiles the step for it: after a device was lost
    /// ([`ErrorKind::DeviceLost`]), on the same one, [opened again](Device::reopen), or any other. What was run since the
    /// snapshot is run again: [`state().steps()`](State::steps) says where to go on, and on the same adapter losses and weights are
    /// those of a training that was not disturbed, to the bit. The learning rate is what it was then.
    /// Counts of [updates left out](Self::read_updates_left_out) begin anew.
    ///
    /// The step has a new state then. Other steps on the old one, such as those that evaluate, stay on the lost device, where
    /// every use is an error, until they are brought along: `evaluation.rebuild_on(step.state())`.
    ///
    /// # Errors
    /// When there is no snapshot, by [`Training::snapshots`] or [`take_snapshot`](Self::take_snapshot); when the device is
    /// lost, has no room or has limits that the step exceeds. The step is as it was then, and another device may be tried.
    pub async fn recover_async(&mut self, device: &Device) -> Result<()> {
        if let Some(Taken { of, rate }) = self.snapshots.pending.take_if(|pending| pending.of.is_ready())
            // One that was under way is of use only if it had arrived.
            && let Ok(of) = of.finish().await
        {
            self.snapshots.last = Some(Taken { of, rate });
        }
        let Some(last) = &self.snapshots.last else {
            let message = if self.trainer.is_some() {
                "there is no snapshot of this step to go on from: ask for them with `Training::snapshots`, or take one with \
                 `Step::take_snapshot`"
            } else {
                "this step does not train and has no snapshots: recover the step that does, and bring this one along with \
                 `rebuild_on(training.state())`"
            };
            return Err(Error::new(ErrorKind::Argument, message));
        };
        if self.snapshots.are_regular() && last.of.is_outdated(&self.state) {
            let message = format!(
                "something but a step, such as loading a checkpoint, has changed the state since the last snapshot, of step {}, and \
                 the device was lost before there was another: restore `Step::snapshot` for `Step::rebuild_on`, and do it again",
                last.of.steps()
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let rate = last.rate;
        let state = last.of.restore_async(device).await?;
        self.build_on(&state).await?;
        self.snapshots.pending = None;
        // The snapshot is one of the new state.
        if let Some(last) = &mut self.snapshots.last {
            last.of.is_of(&state);
        }
        if let Some(trainer) = &mut self.trainer {
            trainer.rate = rate;
        }
        Ok(())
    }

    /// As [`recover_async`](Self::recover_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn recover(&mut self, device: &Device) -> Result<()> {
        pollster::block_on(self.recover_async(device))
    }

    /// Compiles the step again, on another state of the same parameters: one that another step has
    /// [recovered](Self::recover), or that a [`Snapshot`] was restored to. What was computed before cannot be read any more.
    ///
    /// # Errors
    /// When the state is of other parameters, or lacks running averages that the step reads; when the data of a dataset were
    /// not kept ([`Training::snapshots`] keeps them); when the device is lost, has no room or has limits that the step
    /// exceeds. The step is as it was then.
    pub async fn rebuild_on_async(&mut self, state: &State) -> Result<()> {
        if state.store() != self.state.store() || state.arena().entries.len() != self.state.arena().entries.len() {
            let message = "the state is of other parameters than the step: it can be compiled again on a state that was made from \
                           the same `Params`, or restored from a snapshot of one";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        self.build_on(state).await
    }

    /// As [`rebuild_on_async`](Self::rebuild_on_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn rebuild_on(&mut self, state: &State) -> Result<()> {
        pollster::block_on(self.rebuild_on_async(state))
    }

    /// Takes a snapshot now, which [`recover`](Self::recover) then goes back to.
    ///
    /// # Errors
    /// When the device is lost, or has no room for a copy on its way.
    pub async fn take_snapshot_async(&mut self) -> Result<()> {
        let rate = self.trainer.as_ref().map_or(0.0, |trainer| trainer.rate);
        let of = self.state.begin_snapshot()?.finish().await?;
        self.snapshots.pending = None;
        self.snapshots.last = Some(Taken { of, rate });
        Ok(())
    }

    /// As [`take_snapshot_async`](Self::take_snapshot_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn take_snapshot(&mut self) -> Result<()> {
        pollster::block_on(self.take_snapshot_async())
    }

    /// The last snapshot that has arrived, if any: what [`recover`](Self::recover) would go back to.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshots.last.as_ref().map(|last| &last.of)
    }
}
