use super::Step;
use super::draft::{Draft, Options, Targets};
use super::recover::Snapshots;
use super::source::Source;
#[cfg(not(target_arch = "wasm32"))]
use super::tune::{Tuned, tune};
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::{Device, State};
use crate::plan::{Arena, Choices, Plan, Profile};
use crate::record::{Graph, Params, Tensor, TensorId};
use std::sync::Arc;

impl Graph {
    /// A step that computes `outputs`, which can be read, and nothing else, and changes nothing. Evaluate in a graph begun by
    /// [`Graph::evaluation`]: in another, dropout and batch norm do what they do in training, of which a warning tells
    /// (through the `log` crate).
    #[must_use]
    #[track_caller]
    pub fn infer<'g>(&'g self, outputs: &[Tensor<'g>]) -> Inference<'g> {
        if outputs.iter().any(|output| output.is_valid() && output.graph().id() != self.id()) {
            self.fault(
                "infer",
                &[],
                "an output belongs to another graph: infer it from the graph that it was recorded in",
            );
        }
        let outputs: Vec<TensorId> =
            outputs.iter().map(|output| output.id()).filter(|output| output.is_valid()).collect();
        self.warn_of_training(&outputs);
        Inference { graph: self, outputs, checks_feeds: false, averages: false, options: Options::default() }
    }

    /// Warns where outputs are not what a trained network gives: where dropout makes them random, or layers normalize by the
    /// batch.
    fn warn_of_training(&self, outputs: &[TensorId]) {
        let unusual = self.with_recording(|recording| {
            let reached = recording.reached_from(outputs.iter().copied());
            let dropped =
                recording.nodes.iter().zip(&reached).any(|(node, reached)| *reached && node.name() == "dropout_mask");
            dropped || !recording.assigned.is_empty()
        });
        if unusual && self.is_training() {
            log::warn!(
                "what is inferred was recorded for training: dropout drops elements, batch norm takes the batch's statistics, \
                 and cells keep their values. For evaluation begin the graph with `Graph::evaluation`"
            );
        }
    }
}

/// An inference step that is not compiled yet; made by [`Graph::infer`].
#[derive(Debug)]
pub struct Inference<'g> {
    graph: &'g Graph,
    outputs: Vec<TensorId>,
    checks_feeds: bool,
    averages: bool,
    pub(super) options: Options,
}

impl Inference<'_> {
    /// Reads the running averages of parameters in their place: see [`Training::average`](super::Training::average). Parameters that have none, such as
    /// frozen ones, and cells are read as they are.
    ///
    /// Compiling fails with [`ErrorKind::Argument`] where the state has no averages.
    #[must_use]
    pub fn with_average(mut self) -> Self {
        self.averages = true;
        self
    }

    /// Looks for NaN and infinity in everything that is fed, and refuses it.
    #[must_use]
    pub fn check_feeds(mut self) -> Self {
        self.checks_feeds = true;
        self
    }

    /// Runs every op as a kernel of its own: slow, and for comparison.
    #[must_use]
    pub fn without_fusion(mut self) -> Self {
        self.options.unfused = true;
        self
    }

    /// Takes over what another compilation of the same recording chose: see [`Training::pinned`](super::Training::pinned).
    #[must_use]
    pub fn pinned(mut self, choices: &Choices) -> Self {
        self.options.pinned = Some(Arc::new(choices.clone()));
        self
    }

    /// The plan for given limits, without any device.
    ///
    /// # Errors
    /// All mistakes of the recording at once; a tensor that exceeds the limits.
    pub fn plan(&self, params: &Params, profile: &Profile) -> Result<Plan> {
        let arena = Arena::new(params.extents(), profile)?;
        let wanted = Targets { kept: self.outputs.clone(), ..Targets::default() };
        let draft =
            Draft::new(self.graph, (params.store(), params.len()), wanted, params.faults(), self.options.clone())?;
        let averaged: Vec<bool> = params.extents().map(|(_, _, cell)| self.averages && !cell).collect();
        Ok(draft.fitted(profile, &arena, None, &averaged)?.1.plan)
    }

    /// As [`Training::tune`](super::Training::tune), for the products of this step.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn tune(&self, device: &Device, params: &Params, cache: impl AsRef<std::path::Path>) -> Result<Device> {
        Ok(self.choose(device, params, cache)?.device)
    }

    /// As [`tune`](Self::tune), with what was chosen and how much faster it is.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn choose(&self, device: &Device, params: &Params, cache: impl AsRef<std::path::Path>) -> Result<Tuned> {
        tune(device, &self.plan(params, &device.profile())?, cache.as_ref())
    }

    /// Plans, and makes everything ready on a device, with the parameters at their initial values.
    ///
    /// # Errors
    /// All mistakes of the recording at once; a tensor that exceeds the device's limits.
    pub async fn compile_async(self, device: &Device, params: &Params) -> Result<Step> {
        let state = State::new_async(device, params).await?;
        self.compile_on_async(&state).await
    }

    /// As [`compile_async`](Self::compile_async), with the parameters of an existing state, such as
    /// that of a training step: both then see the same values.
    ///
    /// # Errors
    /// As there.
    pub async fn compile_on_async(self, state: &State) -> Result<Step> {
        let wanted = Targets { kept: self.outputs, ..Targets::default() };
        let averaged = if self.averages { state.averaged() } else { Vec::new() };
        if self.averages && !averaged.contains(&true) {
            let message = "`Inference::with_average` needs running averages, and this state has none: train with \
                           `Training::average` first, or load a checkpoint that holds them";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let draft = Draft::new(self.graph, (state.store(), state.arena().entries.len()), wanted, &[], self.options)?;
        let source = Source::new(draft, None, averaged, self.checks_feeds);
        Step::new(source, state, None, Snapshots::default()).await
    }

    /// As [`compile_async`](Self::compile_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn compile(self, device: &Device, params: &Params) -> Result<Step> {
        pollster::block_on(self.compile_async(device, params))
    }

    /// As [`compile_on_async`](Self::compile_on_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn compile_on(self, state: &State) -> Result<Step> {
        pollster::block_on(self.compile_on_async(state))
    }
}
