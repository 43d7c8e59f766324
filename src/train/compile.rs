use super::Step;
use super::craft::Craft;
use super::dataset::Dataset;
use super::draft::{Draft, Options, Targets, parameter_leaves, strange, strange_cells, strangers};
use super::optim::{Grouped, Optimizer};
use super::recover::Snapshots;
use super::source::Source;
use super::trainer::{TrainedGroup, Trainer};
#[cfg(not(target_arch = "wasm32"))]
use super::tune::{Tuned, tune};
use crate::base::{DType, Error, Fault, Result};
use crate::differentiate::backward;
use crate::dispatch::{Device, State};
use crate::plan::{Arena, Choices, Plan, Profile};
use crate::record::{Feed, Graph, Param, ParamInfo, Params, Tensor, TensorId};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Graph {
    /// A training step: all trainable parameters of a store change against the gradient of `loss`,
    /// which must have one element and is kept. Compile it to run it. The optimizer may have [groups](crate::optim::Groups).
    #[must_use]
    #[track_caller]
    pub fn train<'g>(&'g self, loss: Tensor<'g>, optimizer: impl Into<Grouped>) -> Training<'g> {
        let location = std::panic::Location::caller().to_string();
        let refuse = |operands: Vec<String>, reason: &str| Fault {
            op: "train".into(),
            operands,
            reason: reason.into(),
            location: location.clone(),
            scope: String::new(),
        };
        let mut faults = Vec::new();
        if loss.is_valid() && loss.graph().id() != self.id() {
            faults.push(refuse(Vec::new(), "the loss belongs to another graph"));
        } else if loss.is_valid() && (loss.shape().elements() != 1 || loss.dtype() != DType::F32) {
            faults.push(refuse(
                vec![loss.tensor_type().to_string()],
                "the loss must be one float: take the `sum(..)` or `mean(..)`",
            ));
        }
        if !self.is_training() {
            faults.push(refuse(
                Vec::new(),
                "the graph was recorded for evaluation, where layers do not do what they do in training: begin it with \
                 `Graph::new`",
            ));
        }
        Training {
            graph: self,
            loss,
            optimizer: optimizer.into(),
            craft: Craft::default(),
            only: None,
            checks_feeds: false,
            options: Options::default(),
            snapshots: None,
            faults,
            location,
        }
    }
}

/// A training step that is not compiled yet; made by [`Graph::train`].
#[derive(Debug)]
pub struct Training<'g> {
    pub(super) graph: &'g Graph,
    pub(super) loss: Tensor<'g>,
    optimizer: Grouped,
    pub(super) craft: Craft,
    pub(super) only: Option<Vec<ParamInfo>>,
    checks_feeds: bool,
    pub(super) options: Options,
    /// After how many steps a snapshot is taken.
    pub(super) snapshots: Option<u32>,
    pub(super) faults: Vec<Fault>,
    /// Where `Graph::train` was called.
    pub(super) location: String,
}

impl Training<'_> {
    /// Trains these parameters and leaves the others as they are.
    #[must_use]
    pub fn only(mut self, params: &[&Param]) -> Self {
        for cell in params.iter().filter(|param| param.is_cell()) {
            self.faults.push(Fault {
                op: "train".into(),
                operands: Vec::new(),
                reason: format!("`{}` in `Training::only` is a cell, which no gradient changes", cell.name()),
                location: self.location.clone(),
                scope: String::new(),
            });
        }
        self.only = Some(params.iter().map(|param| param.info().clone()).collect());
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

    /// Lets the whole step take at most so many bytes of device memory: parameters, gradients, optimizer states,
    /// inputs, a dataset and everything between. Where it would take more, forward results are computed again in the backward
    /// list instead of being kept, as little as suffices; see [`Graph::recompute`].
    #[must_use]
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.options.budget = Some(bytes);
        self
    }

    /// Takes over what another compilation of the same recording chose, whatever the environment, a
    /// [tuned](Self::tune) device or later rules would choose: the same kernels run, and the same bits come out, as long as device
    /// and driver are the same. Keep the choices beside the results of a training that somebody should be able to repeat.
    ///
    /// ```
    /// use retrograd::{nn, optim::Adam, plan::Choices, Device, Graph, Params};
    /// let mut params = Params::seeded(1);
    /// let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    /// let g = Graph::new();
    /// let loss = layer.forward(g.input("x", [4, 3])).square().mean(..);
    /// let step = g.train(loss, Adam::new(1e-3)).compile(&Device::cpu(), &params)?;
    /// let text = serde_json::to_string(&step.plan().choices()).unwrap();
    ///
    /// let choices: Choices = serde_json::from_str(&text).unwrap();
    /// let again = g.train(loss, Adam::new(1e-3)).pinned(&choices).compile(&Device::cpu(), &params)?;
    /// assert_eq!(again.plan().fingerprint(), step.plan().fingerprint());
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// Compiling fails with [`ErrorKind::Argument`](crate::ErrorKind::Argument) or
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) where the device cannot run what was chosen, and where another plan comes
    /// out than the one that the choices were taken from, as of another batch size or version of this library.
    #[must_use]
    pub fn pinned(mut self, choices: &Choices) -> Self {
        self.options.pinned = Some(Arc::new(choices.clone()));
        self
    }

    /// Puts the data of inputs on the device once; every step then takes the next batch of them there, and these
    /// inputs are no longer fed. The arrays have the input's shape with more rows: `x.feed(&images)` with `images` of
    /// shape [60000, 784] for an input [128, 784]. Each pass over the data takes the rows in a new order, which depends
    /// on the seed of the parameters and the number of the pass alone; rows that fill no batch are left out of a pass.
    ///
    /// Which batch comes next follows from how many steps the state has seen, so a step that goes on from a checkpoint
    /// goes on in the data as well. A second dataset takes the place of the first. Data that are larger than one binding of the device may be are split.
    ///
    /// Compiling fails with [`ErrorKind::Feed`](crate::ErrorKind::Feed) where the arrays do not fit the inputs or one
    /// another, and with [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory) where the device has no room.
    #[must_use]
    pub fn dataset<'a>(mut self, data: impl AsRef<[Feed<'a>]>) -> Self {
        self.options.dataset = Some(Arc::new(Dataset::new(data.as_ref(), true)));
        self
    }

    /// As [`dataset`](Self::dataset), but every pass takes the rows in the order in which they are given.
    #[must_use]
    pub fn dataset_in_order<'a>(mut self, data: impl AsRef<[Feed<'a>]>) -> Self {
        self.options.dataset = Some(Arc::new(Dataset::new(data.as_ref(), false)));
        self
    }

    /// The plan for given limits, without any device.
    ///
    /// # Errors
    /// All mistakes of the recording at once; a tensor that exceeds the limits.
    pub fn plan(&self, params: &Params, profile: &Profile) -> Result<Plan> {
        let arena = Arena::new(params.extents(), profile)?;
        let frozen: Vec<bool> = params.iter().map(|(_, _, frozen)| frozen).collect();
        let draft = self.draft(params.store(), &arena, &frozen, params.faults())?;
        let updates = self.craft.updates(&self.optimizer, &arena, &draft.trained())?;
        Ok(draft.fitted(profile, &arena, Some(&updates), &[])?.1.plan)
    }

    /// Measures which kernels compute the matrix products of this step fastest on a device, and returns the device
    /// with these choices: compile on it. Nothing is measured while steps run, and without this call a portable
    /// choice is made.
    ///
    /// The choices are kept in the file `cache`, by adapter, driver, kernels and sizes up to a power of two, and
    /// taken from there the next time. What the file holds for other adapters stays; entries that are damaged, or
    /// of other kernels, are ignored with a warning (through the `log` crate) and measured anew, and a file that is no
    /// such cache is moved aside, to its name with `.old` behind it. Folders that are missing are made. Measuring takes
    /// a second or so for every product. On the host there is nothing to choose.
    ///
    /// ```no_run
    /// # use retrograd::{nn, optim::Adam, Device, Graph, Params};
    /// # fn main() -> retrograd::Result<()> {
    /// # let (device, mut params, g) = (Device::best()?, Params::seeded(1), Graph::new());
    /// # let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    /// # let loss = layer.forward(g.input("x", [4, 3])).square().mean(..);
    /// let training = g.train(loss, Adam::new(1e-3));
    /// let device = training.tune(&device, &params, "tuning.json")?;
    /// let step = training.compile(&device, &params)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// All mistakes of the recording at once; a device that is lost; a file that cannot be written.
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

    /// Differentiates, plans, and makes everything ready on a device, with the parameters at their
    /// initial values.
    ///
    /// # Errors
    /// All mistakes of the recording at once; a parameter that no gradient reaches; a tensor that
    /// exceeds the device's limits; a device without room.
    pub async fn compile_async(self, device: &Device, params: &Params) -> Result<Step> {
        let faults = params.faults();
        if !faults.is_empty() {
            let all = self.graph.with_recording(|recording| [&recording.faults, faults].concat());
            return Err(Error::recording(all));
        }
        let state = State::new_async(device, params).await?;
        self.compile_on_async(&state).await
    }

    /// As [`compile_async`](Self::compile_async), with the parameters of an existing state.
    ///
    /// # Errors
    /// As there.
    pub async fn compile_on_async(self, state: &State) -> Result<Step> {
        let snapshots = Snapshots::new(self.snapshots)?;
        let draft = self.draft(state.store(), state.arena(), &state.frozen(), &[])?;
        let trained = draft.trained();
        let updates = self.craft.updates(&self.optimizer, state.arena(), &trained)?;
        let rate = self.optimizer.learning_rate();
        let group = |(number, (optimizer, factor)): (usize, (Box<dyn Optimizer>, f64))| {
            let parameters =
                trained.iter().copied().filter(|&parameter| updates.group_of[parameter] == number).collect();
            TrainedGroup { optimizer, factor, states: updates.groups[number].states.clone(), parameters }
        };
        let groups = self.optimizer.into_optimizers()?.into_iter().enumerate().map(group).collect();
        let (schedule, average) = (self.craft.schedule, self.craft.average);
        let trainer = Trainer { rate, rate_is_set: false, groups, schedule, accumulate: updates.accumulate, average };
        if updates.averages {
            state.begin_averages(&trained).await?;
        }
        let source = Source::new(draft, Some(updates), Vec::new(), self.checks_feeds);
        Step::new(source, state, Some(trainer), snapshots).await
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

    fn draft(&self, store: u64, arena: &Arena, frozen: &[bool], faults: &[Fault]) -> Result<Draft> {
        let mut faults = [&self.faults, faults].concat();
        let mut gradients = Vec::new();
        // Parameters of another store are the cause of much else: they are reported alone.
        let count = arena.entries.len();
        let strangers = self.graph.with_recording(|recording| {
            [strangers(recording, store, count), strange_cells(recording, store, count)].concat()
        });
        if !strangers.is_empty() {
            return Err(Error::recording(strangers));
        }
        if self.loss.is_valid() && self.faults.is_empty() {
            let _there = self.graph.there(&self.location);
            let (recorded, own) = self.graph.with_own_faults(|| self.gradients(store, arena, frozen));
            gradients = recorded;
            faults.extend(own);
        }
        let (kept, assigned) =
            self.graph.with_recording(|recording| (recording.kept.clone(), recording.assigned.clone()));
        let loss = Some(self.loss.id()).filter(|_| self.loss.is_valid() && self.faults.is_empty());
        let by_number = |(info, value): (ParamInfo, TensorId)| (info.index, value);
        let wanted = Targets {
            kept: kept.into_iter().chain(loss).collect(),
            gradients,
            assigned: assigned.into_iter().map(by_number).collect(),
        };
        Draft::new(self.graph, (store, count), wanted, &faults, self.options.clone())
    }

    /// The numbers of the parameters to train.
    pub(super) fn trained(&self, store: u64, frozen: &[bool]) -> Vec<usize> {
        let Some(only) = &self.only else {
            return (0..frozen.len()).filter(|&number| !frozen[number]).collect();
        };
        if only.is_empty() {
            self.graph.fault("train", &[self.loss], "`Training::only` names no parameter: there is nothing to train");
        }
        let mut numbers = Vec::new();
        for info in only {
            match strange(info, store, frozen.len()) {
                Some(reason) => {
                    let reason = format!("parameter `{}` in `Training::only`: {reason}", info.name);
                    self.graph.fault("train", &[self.loss], reason);
                }
                None => numbers.push(info.index),
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Records the gradient of every trained parameter.
    fn gradients(&self, store: u64, arena: &Arena, frozen: &[bool]) -> Vec<(usize, TensorId)> {
        let trained = self.trained(store, frozen);
        let leaves = self.graph.with_recording(|recording| parameter_leaves(recording, store));
        let of: Vec<TensorId> = trained.iter().filter_map(|number| leaves.get(number).copied()).collect();
        let ones = self.graph.on_behalf_of(self.loss.id().node, || self.graph.full(self.loss.shape(), 1.0));
        let found = backward(self.graph, &[(self.loss.id(), ones)], &of, 0);
        let reached: BTreeMap<TensorId, Tensor<'_>> =
            of.iter().zip(&found.gradients).filter_map(|(&leaf, gradient)| Some((leaf, (*gradient)?))).collect();
        let mut gradients = Vec::new();
        for &number in &trained {
            if let Some(gradient) = leaves.get(&number).and_then(|leaf| reached.get(leaf)) {
                gradients.push((number, gradient.id()));
            } else {
                let entry = &arena.entries[number];
                let reason = if let Some(leaf) = leaves.get(&number) {
                    // Only where there is a path can it have been cut.
                    let depends = self
                        .graph
                        .with_recording(|recording| recording.reached_from([self.loss.id()])[leaf.node.index()]);
                    if depends {
                        let cuts = self.graph.cuts(&found.ended);
                        format!("no gradient of the loss reaches parameter `{}`{cuts}", entry.name)
                    } else {
                        format!("the loss does not depend on parameter `{}`", entry.name)
                    }
                } else {
                    format!("parameter `{}` f32{} does not occur in the recording", entry.name, entry.shape)
                };
                let advice =
                    "use it, freeze it with `Params::set_frozen`, or name the trained ones with `Training::only`";
                self.graph.fault("train", &[self.loss], format!("{reason}: {advice}"));
            }
        }
        gradients
    }
}
