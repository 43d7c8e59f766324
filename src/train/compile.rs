use super::Step;
use super::optim::Optimizer;
use super::step::{InputSlot, StepParts};
use crate::base::{DType, Error, Fault, Result, TensorType, View};
use crate::differentiate::backward;
use crate::dispatch::{Device, Program, ProgramRequest, State};
use crate::fuse::{Simplified, simplify};
use crate::plan::{Plan, Profile, Request, Update, build};
use crate::record::{
    Graph, KernelClass, Leaf, LowerContext, Lowering, NodeId, NodeKind, Param, Params, Recording, Tensor, TensorId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Graph {
    /// A training step: all trainable parameters of a store change against the gradient of `loss`,
    /// which must have one element and is kept. Compile it to run it.
    #[must_use]
    #[track_caller]
    pub fn train<'g>(&'g self, loss: Tensor<'g>, optimizer: impl Optimizer + 'static) -> Training<'g> {
        if loss.is_valid() && loss.graph().id() != self.id() {
            self.fault("train", &[], "the loss belongs to another graph");
        } else if loss.is_valid() && (loss.shape().elements() != 1 || loss.dtype() != DType::F32) {
            self.fault("train", &[loss], "the loss must be one float: take the `sum(..)` or `mean(..)`");
        } else {
            self.keep(loss);
        }
        Training { graph: self, loss, optimizer: Box::new(optimizer), only: None, checks_feeds: false }
    }

    /// A step that computes `outputs`, which are kept, and changes nothing.
    #[must_use]
    pub fn infer<'g>(&'g self, outputs: &[Tensor<'g>]) -> Inference<'g> {
        for &output in outputs {
            self.keep(output);
        }
        Inference { graph: self, checks_feeds: false }
    }
}

/// A training step that is not compiled yet; made by [`Graph::train`].
#[derive(Debug)]
pub struct Training<'g> {
    graph: &'g Graph,
    loss: Tensor<'g>,
    optimizer: Box<dyn Optimizer>,
    only: Option<Vec<String>>,
    checks_feeds: bool,
}

impl Training<'_> {
    /// Trains these parameters and leaves the others as they are.
    #[must_use]
    pub fn only(mut self, params: &[&Param]) -> Self {
        self.only = Some(params.iter().map(|param| param.name().to_owned()).collect());
        self
    }

    /// Looks for NaN and infinity in everything that is fed, and refuses it.
    #[must_use]
    pub fn check_feeds(mut self) -> Self {
        self.checks_feeds = true;
        self
    }

    /// The plan for given limits, without any device.
    ///
    /// # Errors
    /// All mistakes of the recording at once; a tensor that exceeds the limits.
    pub fn plan(&self, params: &Params, profile: &Profile) -> Result<Plan> {
        let arena = crate::plan::Arena::new(params.iter().map(|(name, value, _)| (name, value.shape())), profile)?;
        let frozen: Vec<bool> = params.iter().map(|(_, _, frozen)| frozen).collect();
        let update = self.optimizer.update()?;
        let draft = self.draft(params.store(), &arena, &frozen, params.faults())?;
        draft.plan(profile, &arena, Some(&update))
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
        let update = self.optimizer.update()?;
        let frozen: Vec<bool> = (0..state.arena().entries.len()).map(|number| state.is_frozen(number)).collect();
        let draft = self.draft(state.store(), state.arena(), &frozen, &[])?;
        let rate = self.optimizer.learning_rate();
        draft.finish(state, Some(update), Some((self.optimizer, rate)), self.checks_feeds).await
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

    fn draft(&self, store: u64, arena: &crate::plan::Arena, frozen: &[bool], faults: &[Fault]) -> Result<Draft> {
        let wanted = |number: usize| {
            let name = &arena.entries[number].name;
            self.only.as_ref().map_or(!frozen[number], |only| only.contains(name))
        };
        let trained: Vec<usize> = (0..arena.entries.len()).filter(|&number| wanted(number)).collect();
        let gradients = if self.loss.is_valid() { self.gradients(store, arena, &trained) } else { Vec::new() };
        Draft::new(self.graph, store, gradients, faults)
    }

    /// Records the gradient of every trained parameter.
    fn gradients(&self, store: u64, arena: &crate::plan::Arena, trained: &[usize]) -> Vec<(usize, TensorId)> {
        let leaves = self.graph.with_recording(|recording| parameter_leaves(recording, store));
        let of: Vec<TensorId> = trained.iter().filter_map(|number| leaves.get(number).copied()).collect();
        let ones = self.graph.on_behalf_of(self.loss.id().node, || self.graph.full(self.loss.shape(), 1.0));
        let found = backward(self.graph, &[(self.loss.id(), ones)], &of, 0);
        let reached: BTreeMap<TensorId, Tensor<'_>> =
            of.iter().zip(&found.gradients).filter_map(|(&leaf, gradient)| Some((leaf, (*gradient)?))).collect();
        let mut gradients = Vec::new();
        for &number in trained {
            if let Some(gradient) = leaves.get(&number).and_then(|leaf| reached.get(leaf)) {
                gradients.push((number, gradient.id()));
            } else {
                let entry = &arena.entries[number];
                let reason = if leaves.contains_key(&number) {
                    format!("the loss does not depend on parameter `{}`{}", entry.name, self.graph.cuts(&found.ended))
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

/// An inference step that is not compiled yet; made by [`Graph::infer`].
#[derive(Debug)]
pub struct Inference<'g> {
    graph: &'g Graph,
    checks_feeds: bool,
}

impl Inference<'_> {
    /// Looks for NaN and infinity in everything that is fed, and refuses it.
    #[must_use]
    pub const fn check_feeds(mut self) -> Self {
        self.checks_feeds = true;
        self
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
        Draft::new(self.graph, state.store(), Vec::new(), &[])?.finish(state, None, None, self.checks_feeds).await
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

/// A recording without mistakes, with what a step computes of it.
struct Draft {
    graph: u64,
    simplified: Simplified,
    kept: Vec<TensorId>,
    gradients: Vec<(usize, TensorId)>,
}

impl Draft {
    fn new(graph: &Graph, store: u64, gradients: Vec<(usize, TensorId)>, faults: &[Fault]) -> Result<Self> {
        let recording = graph.recording();
        let mut faults = [&recording.faults, faults].concat();
        faults.extend(strangers(&recording, store));
        if !faults.is_empty() {
            return Err(Error::recording(faults));
        }
        let kept: Vec<TensorId> = recording.kept.iter().copied().collect();
        let targets: Vec<TensorId> =
            kept.iter().copied().chain(gradients.iter().map(|&(_, gradient)| gradient)).collect();
        let simplified = simplify(&recording, &targets);
        let moved = |tensor: TensorId| simplified.get(tensor).expect("targets stay in a simplified recording");
        let kept = kept.into_iter().map(moved).collect();
        let gradients = gradients.into_iter().map(|(number, gradient)| (number, moved(gradient))).collect();
        Ok(Self { graph: graph.id(), simplified, kept, gradients })
    }

    fn plan(&self, profile: &Profile, arena: &crate::plan::Arena, update: Option<&Update>) -> Result<Plan> {
        build(&Request {
            recording: &self.simplified.recording,
            profile,
            arena,
            gradients: &self.gradients,
            kept: &self.kept,
            update,
        })
    }

    async fn finish(
        self,
        state: &State,
        update: Option<Update>,
        optimizer: Option<(Box<dyn Optimizer>, f64)>,
        checks_feeds: bool,
    ) -> Result<Step> {
        let plan = Arc::new(self.plan(&state.device().profile(), state.arena(), update.as_ref())?);
        let recording = Arc::new(self.simplified.recording.clone());
        let program = Program::new(ProgramRequest {
            recording: Arc::clone(&recording),
            plan: Arc::clone(&plan),
            state,
            kept: &self.kept,
            gradients: &self.gradients,
            update,
        })
        .await?;
        let inputs = input_slots(&self.simplified);
        Ok(Step::new(StepParts {
            graph: self.graph,
            program,
            plan,
            simplified: self.simplified,
            state: state.clone(),
            inputs,
            optimizer,
            checks_feeds,
        }))
    }
}

/// The leaf of every parameter of a store that occurs, by number.
fn parameter_leaves(recording: &Recording, store: u64) -> BTreeMap<usize, TensorId> {
    let leaf = |(index, node): (usize, &crate::record::Node)| match &node.kind {
        NodeKind::Leaf(Leaf::Parameter(info)) if info.store == store => {
            Some((info.index, TensorId { node: NodeId(index as u32), output: 0 }))
        }
        _ => None,
    };
    recording.nodes.iter().enumerate().filter_map(leaf).collect()
}

/// Faults for parameters of another store than the one that is compiled with.
fn strangers(recording: &Recording, store: u64) -> Vec<Fault> {
    let fault = |node: &crate::record::Node| match &node.kind {
        NodeKind::Leaf(Leaf::Parameter(info)) if info.store != store => Some(Fault {
            op: format!("parameter `{}`", info.name),
            operands: vec![node.outputs[0].to_string()],
            reason: "it belongs to another `Params` than the one that is compiled with".into(),
            location: node.place.location.clone(),
            scope: node.place.scope.clone(),
        }),
        _ => None,
    };
    recording.nodes.iter().filter_map(fault).collect()
}

/// All inputs of a recording, with the number of classes where an input of labels selects among some.
fn input_slots(simplified: &Simplified) -> Vec<InputSlot> {
    let recording = &simplified.recording;
    let limits = index_limits(recording);
    let slot = |(name, &node): (&String, &NodeId)| InputSlot {
        name: name.clone(),
        node,
        tensor_type: recording.nodes[node.index()].outputs[0].clone(),
        limit: limits.get(&node).copied(),
    };
    recording.inputs.iter().map(slot).collect()
}

/// For integer inputs: the least number of classes among the ops that select with them, directly or
/// through views.
fn index_limits(recording: &Recording) -> BTreeMap<NodeId, usize> {
    let mut limits: BTreeMap<NodeId, usize> = BTreeMap::new();
    for node in &recording.nodes {
        let NodeKind::Op(op) = &node.kind else { continue };
        let types: Vec<&TensorType> = node.inputs.iter().map(|&input| recording.tensor_type(input)).collect();
        for (place, &input) in node.inputs.iter().enumerate() {
            if let Some(limit) = op.index_limit(place, &types) {
                let source = through_views(recording, input).node;
                if matches!(recording.nodes[source.index()].kind, NodeKind::Leaf(Leaf::Input { .. })) {
                    limits.entry(source).and_modify(|least| *least = limit.min(*least)).or_insert(limit);
                }
            }
        }
    }
    limits
}

/// The tensor that a chain of views looks at.
fn through_views(recording: &Recording, mut tensor: TensorId) -> TensorId {
    loop {
        let node = recording.node(tensor);
        let NodeKind::Op(op) = &node.kind else { return tensor };
        let types: Vec<TensorType> = node.inputs.iter().map(|&input| recording.tensor_type(input).clone()).collect();
        let layouts: Vec<_> = types.iter().map(|input| crate::base::Layout::dense(&input.shape)).collect();
        let cx = LowerContext { inputs: &types, layouts: &layouts, outputs: &node.outputs, class: KernelClass::Cpu };
        match op.lower(&cx) {
            Lowering::View(View::Reshape(_) | View::Permute(_) | View::Broadcast(_) | View::Slice { .. }) => {
                tensor = node.inputs[0];
            }
            _ => return tensor,
        }
    }
}
