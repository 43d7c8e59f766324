use super::Step;
use super::optim::Optimizer;
use super::step::{InputSlot, StepParts};
use crate::base::{Error, Fault, Layout, Result, TensorType};
use crate::dispatch::{Program, ProgramRequest, State};
use crate::fuse::{Simplified, recompute, simplify};
use crate::plan::{Arena, Planned, Profile, Request, Update, build};
use crate::record::{Graph, KernelClass, Leaf, LowerContext, Lowering, Node, NodeId, NodeKind, Recording, TensorId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A recording without mistakes, with what a step computes of it.
pub(super) struct Draft {
    graph: u64,
    simplified: Simplified,
    kept: Vec<TensorId>,
    gradients: Vec<(usize, TensorId)>,
    /// Whether neighbouring ops may run as one kernel.
    fuses: bool,
}

impl Draft {
    /// `kept` are tensors that shall be readable, `faults` mistakes beside those of the recording.
    pub fn new(
        graph: &Graph,
        store: u64,
        kept: impl IntoIterator<Item = TensorId>,
        gradients: Vec<(usize, TensorId)>,
        faults: &[Fault],
    ) -> Result<Self> {
        let recording = graph.recording();
        let mut faults = [&recording.faults, faults].concat();
        faults.extend(strangers(&recording, store));
        if !faults.is_empty() {
            return Err(Error::recording(faults));
        }
        let kept: Vec<TensorId> = kept.into_iter().collect();
        let targets: Vec<TensorId> =
            kept.iter().copied().chain(gradients.iter().map(|&(_, gradient)| gradient)).collect();
        let mut simplified = simplify(&recording, &targets);
        if simplified.recording.nodes.iter().any(|node| node.segment.is_some()) {
            let stays = kept.iter().filter_map(|&tensor| simplified.get(tensor)).collect();
            let segment = |node: NodeId| simplified.recording.nodes[node.index()].segment;
            simplified = recompute(&simplified, &stays, &segment);
        }
        let moved = |tensor: TensorId| simplified.get(tensor).expect("targets stay in a simplified recording");
        let kept: Vec<TensorId> = kept.into_iter().map(moved).collect();
        let gradients = gradients.into_iter().map(|(number, gradient)| (number, moved(gradient))).collect();
        simplified.recording.kept = kept.iter().copied().collect();
        Ok(Self { graph: graph.id(), simplified, kept, gradients, fuses: true })
    }

    /// With every op as a dispatch of its own.
    pub const fn unfused(mut self, unfused: bool) -> Self {
        self.fuses = !unfused;
        self
    }

    pub fn plan(&self, profile: &Profile, arena: &Arena, update: Option<&Update>) -> Result<Planned> {
        build(&Request {
            recording: &self.simplified.recording,
            profile,
            arena,
            gradients: &self.gradients,
            kept: &self.kept,
            update,
            fuses: self.fuses,
        })
    }

    pub async fn finish(
        self,
        state: &State,
        update: Option<Update>,
        optimizer: Option<(Box<dyn Optimizer>, f64)>,
        checks_feeds: bool,
    ) -> Result<Step> {
        let Planned { plan, natives } = self.plan(&state.device().profile(), state.arena(), update.as_ref())?;
        let plan = Arc::new(plan);
        let recording = Arc::new(self.simplified.recording.clone());
        let program = Program::new(ProgramRequest {
            recording: Arc::clone(&recording),
            plan: Arc::clone(&plan),
            natives,
            state,
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
            trained: self.gradients.iter().map(|&(number, _)| number).collect(),
            checks_feeds,
        }))
    }
}

/// The leaf of every parameter of a store that occurs, by number.
pub(super) fn parameter_leaves(recording: &Recording, store: u64) -> BTreeMap<usize, TensorId> {
    let leaf = |(index, node): (usize, &Node)| match &node.kind {
        NodeKind::Leaf(Leaf::Parameter(info)) if info.store == store => {
            Some((info.index, TensorId { node: NodeId(index as u32), output: 0 }))
        }
        _ => None,
    };
    recording.nodes.iter().enumerate().filter_map(leaf).collect()
}

/// Faults for parameters of another store than the one that is compiled with.
pub(super) fn strangers(recording: &Recording, store: u64) -> Vec<Fault> {
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
        let layouts: Vec<_> = types.iter().map(|input| Layout::dense(&input.shape)).collect();
        let cx = LowerContext { inputs: &types, layouts: &layouts, outputs: &node.outputs, class: KernelClass::Cpu };
        match op.lower(&cx) {
            Lowering::View(_) => tensor = node.inputs[0],
            _ => return tensor,
        }
    }
}
