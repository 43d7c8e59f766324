use super::dataset::Passes;
use super::findings::Findings;
use super::input::InputSlot;
use super::numbers::Numbers;
use super::optim::check_rate;
use super::recover::Snapshots;
use super::source::{Compiled, Source};
use super::trainer::Trainer;
use crate::base::{Error, ErrorKind, HostData, Result, threefry};
use crate::dispatch::{PendingTimes, Program, State, StateTurn, StepTimes};
use crate::fuse::Simplified;
use crate::plan::{Plan, StepScalars, Updates};
use crate::record::{Feed, NodeId, Recording};
use std::sync::Arc;

/// Most steps of one call.
const MOST_AT_ONCE: u32 = 1 << 24;

/// A compiled step: feed, run, read. Training and inference are both steps; they differ in whether
/// the plan has an update.
#[derive(Debug)]
pub struct Step {
    pub(super) program: Program,
    plan: Arc<Plan>,
    pub(super) simplified: Simplified,
    pub(super) state: State,
    pub(super) inputs: Vec<InputSlot>,
    /// How it goes through data on the device, if there are any.
    pub(super) passes: Option<Passes>,
    /// Computed indices that are looked at whenever something is read.
    pub(super) findings: Findings,
    /// The check of numbers, if there is one.
    pub(super) numbers: Option<Numbers>,
    pub(super) source: Source,
    pub(super) trainer: Option<Trainer>,
    pub(super) snapshots: Snapshots,
    inferences: u32,
    /// The simplified recording with the copies that the plan makes: what its nodes and tensors are.
    resolved: Recording,
}

/// What there is to know of a step that is about to run.
#[derive(Debug)]
pub(crate) struct Prepared<'s> {
    pub program: &'s Program,
    pub recording: &'s Recording,
    pub state: &'s State,
    /// The numbers of every group.
    pub scalars: Vec<StepScalars>,
    pub updates: Option<&'s Updates>,
    /// Of every group, the numbers of the parameters that it changes.
    pub trained: Vec<Vec<usize>>,
    /// What was fed.
    pub fed: Vec<(NodeId, HostData)>,
}

/// The key of the random streams of the run of this number, from 1.
pub(super) fn key(seed: u64, number: u32) -> [u32; 2] {
    threefry([seed as u32, (seed >> 32) as u32], [number, 0x5354_4550])
}

impl Step {
    /// Puts everything in place for one step, without running it.
    pub(crate) fn prepare(&mut self, feeds: &[Feed<'_>]) -> Result<Prepared<'_>> {
        let fed = self.match_feeds(feeds)?;
        let scalars = self.scalars(1)?;
        self.program.prepare(&fed, &scalars)?;
        let of = |trainer: &Trainer| trainer.groups.iter().map(|group| group.parameters.clone()).collect();
        Ok(Prepared {
            program: &self.program,
            recording: &self.resolved,
            state: &self.state,
            scalars,
            updates: self.source.updates.as_ref(),
            trained: self.trainer.as_ref().map(of).unwrap_or_default(),
            fed: fed.into_iter().map(|(node, data)| (node, data.clone())).collect(),
        })
    }

    /// Compiles it on a state.
    pub(super) async fn new(
        mut source: Source,
        state: &State,
        trainer: Option<Trainer>,
        mut snapshots: Snapshots,
    ) -> Result<Self> {
        let Compiled { program, plan, simplified, resolved, state, inputs, passes, checks, numbers } =
            source.build(state).await?;
        if !snapshots.are_regular() {
            source.forget_data();
        }
        if let Some(trainer) = &trainer {
            snapshots.begin(&state, trainer.rate).await?;
        }
        let findings = Findings::new(checks);
        let inferences = 0;
        Ok(Self {
            program,
            plan,
            simplified,
            state,
            inputs,
            passes,
            findings,
            numbers,
            source,
            trainer,
            snapshots,
            inferences,
            resolved,
        })
    }

    /// Compiles it again, on another state.
    pub(super) async fn build_on(&mut self, state: &State) -> Result<()> {
        self.source.fits(state)?;
        let Compiled { program, plan, simplified, resolved, state, inputs, passes, checks, numbers } =
            self.source.build(state).await?;
        (self.program, self.plan, self.simplified, self.resolved) = (program, plan, simplified, resolved);
        (self.state, self.inputs, self.passes) = (state, inputs, passes);
        (self.findings, self.numbers) = (Findings::new(checks), numbers);
        Ok(())
    }

    /// Runs one step on the fed inputs, each exactly once, and returns as soon as the work is
    /// submitted. Nothing is changed when an error is found in what is fed.
    ///
    /// # Errors
    /// An input that is missing, fed twice, of the wrong length, shape or type; labels outside the
    /// classes; a lost device; with [`Training::snapshots`](super::Training::snapshots), no room for a copy on its way to the
    /// host. No step has run then, but where the device was lost.
    pub fn run<'a>(&mut self, feeds: impl AsRef<[Feed<'a>]>) -> Result<()> {
        let state = self.state.clone();
        let _turn = self.begin_run(&state)?;
        let fed = self.match_feeds(feeds.as_ref())?;
        let scalars = self.before_run(1)?;
        self.program.run(&fed, &scalars)?;
        self.has_run(&scalars, false);
        Ok(())
    }

    /// Runs `count` steps on the same fed inputs, many per submission, and returns as soon as the work is
    /// submitted. The result is that of as many calls of [`run`](Self::run), to the bit, at less cost per step.
    /// [`read_history`](Self::read_history) tells what kept tensors of one element, such as the loss, were after
    /// every step. With a count of 0 nothing happens.
    ///
    /// # Errors
    /// As those of [`run`](Self::run); [`ErrorKind::Limit`] for more than 16,777,216 steps at once. Where the device runs out of
    /// memory between steps, [`State::steps`] tells how many were run.
    pub fn run_many<'a>(&mut self, count: u32, feeds: impl AsRef<[Feed<'a>]>) -> Result<()> {
        let state = self.state.clone();
        let _turn = self.begin_run(&state)?;
        let fed = self.match_feeds(feeds.as_ref())?;
        if count == 0 {
            return Ok(());
        }
        let scalars = self.before_run(count)?;
        // Steps that were run before something failed count.
        let ran = self.program.run_many(&fed, &scalars);
        let done = ran.as_ref().map_or_else(|(done, _)| *done, |()| count);
        if done > 0 {
            self.has_run(&scalars[..done as usize * self.plan.groups], true);
        }
        ran.map_err(|(_, error)| error)
    }

    /// Runs the steps that are left of a pass over the [dataset](crate::Training::dataset): all of them, where none
    /// has begun. Returns how many these were. `feeds` are for inputs that the dataset does not cover, and the same in
    /// every step. [`read_history`](Self::read_history) tells what the loss was after each.
    ///
    /// # Errors
    /// As those of [`run`](Self::run); [`ErrorKind::Argument`] where the step has no dataset.
    pub fn run_epoch<'a>(&mut self, feeds: impl AsRef<[Feed<'a>]>) -> Result<u32> {
        let Some(passes) = &self.passes else {
            return Err(Error::new(
                ErrorKind::Argument,
                "a step without a dataset has no epochs: see `Training::dataset`",
            ));
        };
        let state = self.state.clone();
        let _turn = state.turn();
        let count = passes.steps - state.steps() % passes.steps;
        self.run_many(count, feeds)?;
        Ok(count)
    }

    /// Runs one step, which counts as any other, and measures every dispatch: by timestamps of the device, with a
    /// compute pass for each, which takes a little longer than a step otherwise does.
    ///
    /// # Errors
    /// As those of [`run`](Self::run); a device without timestamps.
    pub async fn profile_async<'a>(&mut self, feeds: impl AsRef<[Feed<'a>]>) -> Result<StepTimes> {
        self.begin_profile(feeds.as_ref())?.finish().await
    }

    fn begin_profile(&mut self, feeds: &[Feed<'_>]) -> Result<PendingTimes> {
        let state = self.state.clone();
        let _turn = self.begin_run(&state)?;
        let fed = self.match_feeds(feeds)?;
        let mut scalars = self.before_run(1)?;
        for scalars in &mut scalars {
            scalars.checked = 0;
        }
        let times = self.program.begin_time(&fed, &scalars)?;
        self.has_run(&scalars, false);
        Ok(times)
    }

    /// What comes before every run. Training has the state to itself until the turn is over.
    fn begin_run<'s>(&mut self, state: &'s State) -> Result<Option<StateTurn<'s>>> {
        let turn = self.trainer.is_some().then(|| state.turn());
        if let Some(trainer) = &self.trainer {
            self.snapshots.before_run(state, trainer.rate)?;
        }
        Ok(turn)
    }

    /// As [`profile_async`](Self::profile_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile<'a>(&mut self, feeds: impl AsRef<[Feed<'a>]>) -> Result<StepTimes> {
        pollster::block_on(self.profile_async(feeds))
    }

    /// Lets the random streams of an inference begin anew.
    pub(super) fn rewind(&mut self) {
        self.inferences = 0;
    }

    /// Prepares for so many steps, and returns the numbers of every group of each.
    fn before_run(&mut self, count: u32) -> Result<Vec<StepScalars>> {
        let mut scalars = self.scalars(count)?;
        self.findings.before_run(&self.program)?;
        if let Some(numbers) = &mut self.numbers {
            numbers.before_run(&mut self.program)?;
            numbers.plan(&mut scalars, self.plan.groups);
        }
        Ok(scalars)
    }

    /// Counts steps.
    fn has_run(&mut self, scalars: &[StepScalars], many: bool) {
        let count = (scalars.len() / self.plan.groups) as u32;
        self.findings.has_run(many);
        if let Some(numbers) = &mut self.numbers {
            numbers.has_run(scalars);
        }
        let Some(trainer) = &self.trainer else {
            self.inferences += count;
            return;
        };
        trainer.has_run(&self.state, count);
        self.state.count_steps(count);
    }

    /// What changes from step to step, for so many steps: the numbers of every group of each.
    fn scalars(&self, count: u32) -> Result<Vec<StepScalars>> {
        let seed = self.state.seed();
        let done = if self.trainer.is_some() { self.state.steps() } else { self.inferences };
        let place = self.trainer.as_ref().map(|trainer| trainer.place(&self.state)).transpose()?;
        if count > MOST_AT_ONCE {
            let message = format!(
                "{count} steps are too many for one call, as the numbers of each are made before the first: run at most \
                 {MOST_AT_ONCE} at a time"
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        // Not the last number: the next run, and its update, are one more.
        let counted = place.as_ref().map_or(done, |place| place.furthest().max(done));
        if counted.checked_add(count).is_none_or(|end| end == u32::MAX) {
            let message = format!(
                "this state has counted {counted} steps or updates, and counts no further than {}: begin a new state, or set \
                 the count back with `State::set_steps`",
                u32::MAX - 1
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut all = Vec::new();
        for ahead in 0..count {
            let number = done + 1 + ahead;
            let seed = key(seed, number);
            let (epoch, first_row) = self
                .passes
                .as_ref()
                .map_or((0, 0), |passes| ((number - 1) / passes.steps, (number - 1) % passes.steps * passes.batch));
            let known = StepScalars { seed, count: number, number, first_row, epoch, ..StepScalars::default() };
            match (&self.trainer, &place) {
                (Some(trainer), Some(place)) => all.extend(trainer.scalars(place, ahead, known)?),
                // Inference takes no rows of a dataset.
                _ => all.push(StepScalars { first_row: 0, epoch: 0, ..known }),
            }
        }
        Ok(all)
    }

    /// Sets the learning rate of the steps to come. Nothing is compiled anew. A schedule gives factors of it, and groups of
    /// parameters keep their proportion to it.
    ///
    /// # Errors
    /// When the rate is negative or not finite, or the step does not train.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let Some(trainer) = &mut self.trainer else {
            return Err(Error::new(
                ErrorKind::Argument,
                "an inference step has no learning rate: set that of the step that trains",
            ));
        };
        check_rate("step", learning_rate)?;
        (trainer.rate, trainer.rate_is_set) = (learning_rate, true);
        Ok(())
    }

    /// The learning rate of the next step, with the schedule's factor; NaN where that cannot be used, which `run` reports.
    /// `None` for inference.
    #[must_use]
    pub fn learning_rate(&self) -> Option<f64> {
        self.trainer.as_ref().map(|trainer| trainer.next_rate(&self.state).unwrap_or(f64::NAN))
    }

    /// The learning rate that a schedule gives factors of; `None` for inference.
    pub(crate) fn rate_without_schedule(&self) -> Option<f64> {
        self.trainer.as_ref().map(|trainer| trainer.rate)
    }

    /// Parameters and optimizer states, which other steps may share.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What the step does, dispatch by dispatch.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The recording that the plan was made from: simplified, with its backward nodes, and at its end the copies that the plan
    /// makes.
    #[must_use]
    pub const fn recording(&self) -> &Recording {
        &self.resolved
    }

    /// Blocks until everything submitted is done.
    ///
    /// # Errors
    /// When the device is lost or reports an error.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<()> {
        self.program.wait()
    }
}
