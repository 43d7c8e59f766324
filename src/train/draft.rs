use super::dataset::Dataset;
use super::input::InputSlot;
use super::numbers::check_every;
use crate::base::{Error, ErrorKind, Fault, Layout, Result, TensorType};
use crate::fuse::{Gradient, Simplified, recompute, simplify, split};
use crate::plan::{Arena, Choices, Planned, Profile, Request, Resident, Updates, build};
use crate::record::{
    Graph, IndexCheck, KernelClass, Leaf, LowerContext, Lowering, Node, NodeId, NodeKind, ParamInfo, Recording,
    TensorId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A recording without mistakes, with what a step computes of it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    graph: u64,
    simplified: Simplified,
    kept: Vec<TensorId>,
    gradients: Vec<Gradient>,
    assigned: Vec<(usize, TensorId)>,
    /// What these were in the original recording.
    original: Targets,
    /// The number of classes that an input of labels selects among, by its name.
    limits: BTreeMap<String, usize>,
    options: Options,
}

/// What a step computes, as tensors of a recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    /// What shall be readable.
    pub kept: Vec<TensorId>,
    /// Gradients by the number of their parameter.
    pub gradients: Vec<(usize, TensorId)>,
    /// New values of cells by the number of their parameter.
    pub assigned: Vec<(usize, TensorId)>,
}

/// How a plan is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// Whether every op runs as a kernel of its own.
    pub unfused: bool,
    /// The bytes that the whole step may take.
    pub budget: Option<u64>,
    /// Data that stay on the device.
    pub dataset: Option<Arc<Dataset>>,
    /// What another plan chose.
    pub pinned: Option<Arc<Choices>>,
    /// The numbers of every so many steps are looked at.
    pub check_numbers: Option<u32>,
}

impl Draft {
    /// `faults` are mistakes beside those of the recording. What checks of computed indices found is kept as well.
    /// `parameters` is how many the store has.
    pub fn new(
        graph: &Graph,
        (store, parameters): (u64, usize),
        mut wanted: Targets,
        faults: &[Fault],
        options: Options,
    ) -> Result<Self> {
        check_every(options.check_numbers)?;
        let recording = graph.recording();
        let mut faults = [&recording.faults, faults].concat();
        faults.extend(strangers(&recording, store, parameters));
        if !faults.is_empty() {
            return Err(Error::recording(faults));
        }
        let targets = |wanted: &Targets| -> Vec<TensorId> {
            let own = wanted.gradients.iter().chain(&wanted.assigned).map(|&(_, tensor)| tensor);
            wanted.kept.iter().copied().chain(own).collect()
        };
        let reached = recording.reached_from(targets(&wanted));
        let checks = recording.checks.iter().filter(|check| reached[check.index.node.index()]);
        wanted.kept.extend(checks.flat_map(|check| [check.any, check.position]));
        let simplified = simplify(&recording, &targets(&wanted));
        let draft = Self::moved(graph.id(), simplified, wanted, options);
        if draft.simplified.recording.nodes.iter().any(|node| node.segment.is_some()) {
            return Ok(draft.segmented(&|node| draft.simplified.recording.nodes[node.index()].segment));
        }
        Ok(draft)
    }

    fn moved(graph: u64, mut simplified: Simplified, original: Targets, options: Options) -> Self {
        let moved = |tensor: TensorId| simplified.get(tensor).expect("targets stay in a simplified recording");
        let numbered =
            |list: &[(usize, TensorId)]| list.iter().map(|&(number, tensor)| (number, moved(tensor))).collect();
        let kept: Vec<TensorId> = original.kept.iter().copied().map(moved).collect();
        let assigned = numbered(&original.assigned);
        let whole = |&(parameter, tensor): &(usize, TensorId)| Gradient { parameter, start: 0, tensor: moved(tensor) };
        let gradients = original.gradients.iter().map(whole).collect();
        simplified.recording.kept = kept.iter().copied().collect();
        let limits = index_limits(&simplified.recording);
        Self { graph, simplified, kept, gradients, assigned, original, limits, options }
    }

    /// With segments of the forward list computed again in the backward list.
    fn segmented(&self, segment: &dyn Fn(NodeId) -> Option<u32>) -> Self {
        let stays = self.kept.iter().copied().collect();
        let simplified = recompute(&self.simplified, &stays, segment);
        Self::moved(self.graph, simplified, self.original.clone(), self.options.clone())
    }

    /// With what a device cannot bind as a whole in parts.
    fn in_parts(&self, profile: &Profile) -> Result<Self> {
        let limit = profile.binding_bytes.min(profile.buffer_bytes);
        let assigned = self.assigned.iter().map(|(_, value)| *value);
        let whole: Vec<TensorId> = self.kept.iter().copied().chain(assigned).collect();
        let Some(split) = split(&self.simplified, &self.gradients, &whole, (&profile.name, profile.class, limit))?
        else {
            return Ok(self.clone());
        };
        // Gradients that are in parts are none of the tensors that stay as they are.
        let gradients = Vec::new();
        let others = Targets { gradients, ..self.original.clone() };
        let draft = Self::moved(self.graph, split.simplified, others, self.options.clone());
        let (original, limits) = (self.original.clone(), self.limits.clone());
        Ok(Self { gradients: split.gradients, original, limits, ..draft })
    }

    /// This draft and its plan; where that exceeds the budget, the first that fits with ever more, ever shorter
    /// segments computed again.
    pub fn fitted(
        self,
        profile: &Profile,
        arena: &Arena,
        updates: Option<&Updates>,
        averaged: &[bool],
    ) -> Result<(Self, Planned)> {
        let Some(choices) = self.options.pinned.clone() else {
            return self.within_budget(profile, arena, updates, averaged);
        };
        let fitted = self.within_budget(&choices.profile_on(profile)?, arena, updates, averaged)?;
        choices.check(&fitted.1.plan)?;
        Ok(fitted)
    }

    fn within_budget(
        self,
        profile: &Profile,
        arena: &Arena,
        updates: Option<&Updates>,
        averaged: &[bool],
    ) -> Result<(Self, Planned)> {
        let draft = self.in_parts(profile)?;
        let planned = draft.plan(profile, arena, updates, averaged)?;
        let bytes = planned.plan.total_bytes();
        let Some(budget) = self.options.budget.filter(|&budget| bytes > budget) else { return Ok((draft, planned)) };
        let is_op = |node: &&Node| node.origin.is_none() && matches!(node.kind, NodeKind::Op(_));
        let mut before = vec![0; self.simplified.recording.nodes.len()];
        let mut ops = 0;
        for (count, node) in before.iter_mut().zip(&self.simplified.recording.nodes) {
            *count = ops;
            ops += usize::from(is_op(&node));
        }
        let mut least = bytes;
        for parts in [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].into_iter().filter(|&parts| parts <= ops) {
            let draft = self.segmented(&|node| Some((before[node.index()] * parts / ops) as u32)).in_parts(profile)?;
            let planned = draft.plan(profile, arena, updates, averaged)?;
            least = least.min(planned.plan.total_bytes());
            if planned.plan.total_bytes() <= budget {
                return Ok((draft, planned));
            }
        }
        let message = format!(
            "the step takes {bytes} bytes, {least} with forward results computed again, and the budget is {budget}: \
             use a smaller batch or model, or a budget of at least {least}"
        );
        Err(Error::new(ErrorKind::Limit, message))
    }

    /// Which inputs have data on the device, with the rows of a batch.
    pub fn resident(&self) -> Result<Option<(Resident, u32)>> {
        self.options.dataset.as_ref().map(|dataset| dataset.resident(self.graph, &self.simplified)).transpose()
    }

    fn plan(&self, profile: &Profile, arena: &Arena, updates: Option<&Updates>, averaged: &[bool]) -> Result<Planned> {
        let resident = self.resident()?;
        build(&Request {
            recording: &self.simplified.recording,
            profile,
            arena,
            gradients: &self.gradients,
            assigned: &self.assigned,
            kept: &self.kept,
            resident: resident.as_ref().map(|(resident, _)| resident),
            updates,
            averaged,
            fuses: !self.options.unfused,
        })
    }

    /// The numbers of the parameters that have gradients.
    pub fn trained(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = self.gradients.iter().map(|gradient| gradient.parameter).collect();
        numbers.dedup();
        numbers
    }

    /// The graph that was drafted.
    pub const fn graph(&self) -> u64 {
        self.graph
    }

    /// What is left of the recording.
    pub const fn simplified(&self) -> &Simplified {
        &self.simplified
    }

    /// The numbers of every so many steps are looked at, if they are.
    pub const fn check_numbers(&self) -> Option<u32> {
        self.options.check_numbers
    }

    /// Data that stay on the device.
    pub fn dataset(&self) -> Option<&Dataset> {
        self.options.dataset.as_deref()
    }

    /// Lets go of the data, which may be large.
    pub fn forget_dataset(&mut self) {
        self.options.dataset = None;
    }
}

/// The checks of computed indices that are left, with their tensors in the simplified recording.
pub(super) fn index_checks(simplified: &Simplified) -> Vec<IndexCheck> {
    let moved = |check: &IndexCheck| {
        let kept = |tensor| simplified.get(tensor).filter(|tensor| simplified.recording.kept.contains(tensor));
        Some(IndexCheck { any: kept(check.any)?, position: kept(check.position)?, ..check.clone() })
    };
    simplified.recording.checks.iter().filter_map(moved).collect()
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

/// Faults for parameters that are not among the `count` of the store that is compiled with.
pub(super) fn strangers(recording: &Recording, store: u64, count: usize) -> Vec<Fault> {
    let fault = |node: &Node| match &node.kind {
        NodeKind::Leaf(Leaf::Parameter(info)) => Some(Fault {
            op: format!("parameter `{}`", info.name),
            operands: vec![node.outputs[0].to_string()],
            reason: strange(info, store, count)?,
            location: node.place.location.clone(),
            scope: node.place.scope.clone(),
        }),
        _ => None,
    };
    recording.nodes.iter().filter_map(fault).collect()
}

/// Faults for cells that get new values and are not among the `count` parameters of the store that is compiled with.
pub(super) fn strange_cells(recording: &Recording, store: u64, count: usize) -> Vec<Fault> {
    let fault = |(info, value): &(ParamInfo, TensorId)| {
        let node = recording.node(*value);
        Some(Fault {
            op: format!("assign to `{}`", info.name),
            operands: vec![recording.tensor_type(*value).to_string()],
            reason: strange(info, store, count)?,
            location: node.place.location.clone(),
            scope: node.place.scope.clone(),
        })
    };
    recording.assigned.iter().filter_map(fault).collect()
}

/// Why a parameter is not among those that are compiled with, if it is not.
pub(super) fn strange(info: &ParamInfo, store: u64, count: usize) -> Option<String> {
    if info.store != store {
        return Some("it belongs to another `Params` than the one that is compiled with".into());
    }
    let late = "it was added to its `Params` after the state was made, which does not hold it: add all parameters first, then \
                make the state, by `State::new` or the first `compile`";
    (info.index >= count).then(|| late.into())
}

/// All inputs of a draft, with the number of classes where an input of labels selects among some.
pub(super) fn input_slots(draft: &Draft) -> Vec<InputSlot> {
    let recording = &draft.simplified.recording;
    let slot = |(name, &node): (&String, &NodeId)| InputSlot {
        name: name.clone(),
        node,
        tensor_type: recording.nodes[node.index()].outputs[0].clone(),
        limit: draft.limits.get(name).copied(),
    };
    recording.inputs.iter().map(slot).collect()
}

/// For integer inputs: the least number of classes among the ops that select with them, directly or
/// through views.
fn index_limits(recording: &Recording) -> BTreeMap<String, usize> {
    let mut limits: BTreeMap<String, usize> = BTreeMap::new();
    for node in &recording.nodes {
        let NodeKind::Op(op) = &node.kind else { continue };
        let types: Vec<&TensorType> = node.inputs.iter().map(|&input| recording.tensor_type(input)).collect();
        for (place, &input) in node.inputs.iter().enumerate() {
            if let Some(limit) = op.index_limit(place, &types) {
                let source = through_views(recording, input).node;
                if let NodeKind::Leaf(Leaf::Input { name }) = &recording.nodes[source.index()].kind {
                    limits.entry(name.clone()).and_modify(|least| *least = limit.min(*least)).or_insert(limit);
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
