//! Which ops run as one kernel.
//!
//! A group is a root (a matrix product, a reduction, a kernel of an op's own, or nothing) with pointwise ops
//! that are computed where the root's results are stored, and, for a reduction, pointwise ops that are computed
//! where its elements are loaded. Ops join one after another in the order of recording; every step is only taken
//! when no group would come to wait for itself, and when the kernel binds no more buffers than the device allows.

use super::resolve::{Access, Resolved};
use crate::base::DType;
use crate::record::{Argument, Lowering, NodeId, NodeKind, Pointwise, Reduction, TensorId};
use std::collections::{BTreeMap, BTreeSet};

/// Fewer elements than this are added up by a reduction alone.
const FEWEST_TOTALLED: usize = 4096;

/// Ops that run as one kernel.
#[derive(Clone, Debug)]
pub struct Group {
    /// What is computed first, if it is not pointwise.
    pub root: Option<NodeId>,
    /// Pointwise ops on the results, per output of the root; one entry where there is no root.
    pub bodies: Vec<Body>,
    /// Pointwise ops on what a reduction loads.
    pub prologue: Vec<NodeId>,
    /// A sum that a matrix product computes on the way.
    pub sums: Option<RideAlong>,
    /// Sums of all elements of a pointwise group's results, each in another group, that the group begins: it
    /// stores the sum of every run of elements, and that other group adds up these.
    pub totals: Vec<NodeId>,
}

/// Pointwise ops on one output of a root.
#[derive(Clone, Debug)]
pub struct Body {
    /// Which output.
    pub output: u32,
    /// How many elements.
    pub elements: usize,
    /// The ops, each after those that it reads.
    pub nodes: Vec<NodeId>,
}

/// The sum of an operand of a matrix product along the inner axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RideAlong {
    /// The node of the sum.
    pub node: NodeId,
    /// Which operand: 0 for the rows of the first, 1 for the columns of the second.
    pub operand: usize,
}

/// Why two neighbours run as kernels of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The node that makes a tensor.
    pub producer: NodeId,
    /// The node that reads it.
    pub consumer: NodeId,
    /// Why they are apart.
    pub reason: String,
}

/// One way in which a node reads a tensor.
#[derive(Clone, Debug)]
pub struct Read {
    /// The tensor.
    pub tensor: TensorId,
    /// Whether every element is read at its own place, by a pointwise op.
    pub in_place: bool,
    /// Whether a pointwise op reads one element per element, at any place.
    pub plain: bool,
}

/// The result of grouping.
#[derive(Debug)]
pub struct Grouped {
    /// The groups, each after those that it reads.
    pub groups: Vec<Group>,
    /// Nodes without inputs, and constants made of them, that are computed wherever they are read.
    pub free: BTreeSet<NodeId>,
    /// Those of them that have one value everywhere.
    pub uniform: BTreeSet<NodeId>,
    /// Tensors that have to be in memory.
    pub stored: BTreeSet<TensorId>,
    /// Why neighbours are apart.
    pub refusals: Vec<Refusal>,
}

struct Grouping<'a> {
    resolved: &'a Resolved,
    most_buffers: usize,
    groups: Vec<Option<Group>>,
    of: BTreeMap<NodeId, usize>,
    uniform: BTreeSet<NodeId>,
    free: BTreeSet<NodeId>,
    reads: BTreeMap<NodeId, Vec<Read>>,
    readers: BTreeMap<TensorId, Vec<NodeId>>,
    refusals: Vec<Refusal>,
}

/// Groups the ops of a resolved recording. With `fuses` off, every op is a group of its own.
#[must_use]
pub fn group(resolved: &Resolved, most_buffers: usize, fuses: bool) -> Grouped {
    let mut grouping = Grouping {
        resolved,
        most_buffers,
        groups: Vec::new(),
        of: BTreeMap::new(),
        uniform: BTreeSet::new(),
        free: BTreeSet::new(),
        reads: resolved.order.iter().map(|&node| (node, reads(resolved, node))).collect(),
        readers: BTreeMap::new(),
        refusals: Vec::new(),
    };
    grouping.find_free(fuses);
    for &node in &resolved.order {
        grouping.place(node, fuses);
    }
    if fuses {
        grouping.ride_along();
        grouping.merge_neighbours();
        grouping.total();
    }
    grouping.finish()
}

/// How a node reads its inputs.
pub fn reads(resolved: &Resolved, node: NodeId) -> Vec<Read> {
    let inputs = resolved.recording.nodes[node.index()].inputs.len();
    let access = |place: usize| resolved.input(node, place);
    let indirect = |place: usize| Read { tensor: access(place).tensor, in_place: false, plain: false };
    match &resolved.lowerings[&node] {
        Lowering::Pointwise(pointwise) => {
            let mut reads = Vec::new();
            for argument in &pointwise.arguments {
                match argument {
                    Argument::Input(place) => {
                        let Access { tensor, layout, .. } = access(*place);
                        let elements = resolved.recording.tensor_type(*tensor).shape.elements();
                        let in_place = layout.is_dense() && layout.shape.elements() == elements;
                        reads.push(Read { tensor: *tensor, in_place, plain: true });
                    }
                    Argument::Joined { inputs, .. } => reads.extend(inputs.iter().map(|&place| indirect(place))),
                    Argument::Padded { input, .. } => reads.push(indirect(*input)),
                    Argument::Index | Argument::Coordinate(_) | Argument::Seed => {}
                }
            }
            reads
        }
        _ => (0..inputs).map(indirect).collect(),
    }
}

impl Grouping<'_> {
    fn pointwise(&self, node: NodeId) -> Option<&Pointwise> {
        match self.resolved.lowerings.get(&node) {
            Some(Lowering::Pointwise(pointwise)) => Some(pointwise),
            _ => None,
        }
    }

    fn is_backward(&self, node: NodeId) -> bool {
        self.resolved.recording.nodes[node.index()].origin.is_some()
    }

    fn is_computed(&self, tensor: TensorId) -> bool {
        matches!(self.resolved.node_of(tensor).kind, NodeKind::Op(_))
    }

    /// Whether a read needs no memory: a free node is computed where it is read.
    fn is_inlined(&self, read: &Read) -> bool {
        self.free.contains(&read.tensor.node)
            && ((read.plain && self.uniform.contains(&read.tensor.node)) || read.in_place)
    }

    /// Finds the nodes that are computed wherever they are read.
    fn find_free(&mut self, fuses: bool) {
        for &node in &self.resolved.order {
            for read in &self.reads[&node] {
                self.readers.entry(read.tensor).or_default().push(node);
            }
            let Some(pointwise) = self.pointwise(node) else { continue };
            let constant = pointwise.arguments.iter().all(|argument| matches!(argument, Argument::Input(_)));
            let reads = &self.reads[&node];
            let has_inputs = !reads.is_empty();
            let uniform = constant && reads.iter().all(|read| self.uniform.contains(&read.tensor.node));
            if uniform {
                self.uniform.insert(node);
            }
            // Without fusion only numbers are, as they are no work.
            if (uniform && (fuses || !has_inputs)) || (fuses && !has_inputs) {
                self.free.insert(node);
            }
        }
    }

    fn place(&mut self, node: NodeId, fuses: bool) {
        let outputs = self.resolved.recording.nodes[node.index()].outputs.clone();
        let body = |output: usize| Body {
            output: output as u32,
            elements: outputs[output].shape.elements(),
            nodes: Vec::new(),
        };
        let rooted = |bodies: Vec<Body>| Group {
            root: Some(node),
            bodies,
            prologue: Vec::new(),
            sums: None,
            totals: Vec::new(),
        };
        match &self.resolved.lowerings[&node] {
            Lowering::View(_) => {}
            Lowering::Pointwise(_) => {
                if self.free.contains(&node) && !self.needs_memory(node) {
                    return;
                }
                if !fuses || self.free.contains(&node) || !self.join(node) {
                    let mut group = rooted(vec![Body { nodes: vec![node], ..body(0) }]);
                    group.root = None;
                    self.open(group, &[node]);
                }
            }
            Lowering::Reduce(_) => {
                let number = self.open(rooted(vec![body(0)]), &[node]);
                if fuses {
                    self.absorb_prologue(number, node);
                }
            }
            Lowering::Contract => {
                self.open(rooted(vec![body(0)]), &[node]);
            }
            Lowering::Kernel(kernel) => {
                let hooked = kernel.stages.iter().flat_map(|stage| &stage.stores).map(|(output, _)| *output);
                let bodies = hooked.collect::<BTreeSet<usize>>().into_iter().map(body).collect();
                self.open(rooted(bodies), &[node]);
            }
        }
    }

    /// Whether a free node is read by something that reads memory.
    fn needs_memory(&self, node: NodeId) -> bool {
        let tensor = TensorId { node, output: 0 };
        let read_from_memory =
            |reader: &NodeId| self.reads[reader].iter().any(|read| read.tensor == tensor && !self.is_inlined(read));
        self.resolved.wanted.contains(&tensor)
            || self.readers.get(&tensor).is_some_and(|readers| readers.iter().any(read_from_memory))
    }

    fn open(&mut self, group: Group, nodes: &[NodeId]) -> usize {
        let number = self.groups.len();
        self.groups.push(Some(group));
        for &node in nodes {
            self.of.insert(node, number);
        }
        number
    }

    fn group(&self, number: usize) -> &Group {
        self.groups[number].as_ref().expect("a group that nodes belong to exists")
    }

    fn group_mut(&mut self, number: usize) -> &mut Group {
        self.groups[number].as_mut().expect("a group that nodes belong to exists")
    }

    fn refuse(&mut self, producer: NodeId, consumer: NodeId, reason: &str) {
        self.refusals.push(Refusal { producer, consumer, reason: reason.to_owned() });
    }

    /// The group and body in which a tensor is at hand, element by element.
    fn body_of(&self, tensor: TensorId) -> Option<(usize, usize)> {
        let &number = self.of.get(&tensor.node)?;
        let group = self.groups[number].as_ref()?;
        let place = group.bodies.iter().position(|body| {
            body.nodes.contains(&tensor.node) || (group.root == Some(tensor.node) && body.output == tensor.output)
        })?;
        Some((number, place))
    }

    /// The groups that a group reads from.
    fn sources(&self, number: usize) -> BTreeSet<usize> {
        let mut sources = BTreeSet::new();
        for node in self.group(number).nodes() {
            for read in self.reads[&node].clone() {
                if let Some(&source) = self.of.get(&read.tensor.node)
                    && source != number
                    && !self.is_inlined(&read)
                {
                    sources.insert(source);
                }
            }
        }
        sources
    }

    /// Whether group `a` has to wait for group `b`, directly or not.
    fn waits_for(&self, a: usize, b: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![a];
        while let Some(number) = open.pop() {
            for source in self.sources(number) {
                if source == b {
                    return true;
                }
                if seen.insert(source) {
                    open.push(source);
                }
            }
        }
        false
    }

    /// Whether a tensor has to be in memory although the group that makes it is `number`.
    fn is_stored(&self, tensor: TensorId, number: usize) -> bool {
        let group = self.group(number);
        let outside = |reader: &NodeId| {
            self.of.get(reader) != Some(&number)
                && !group.totals.contains(reader)
                && !(self.free.contains(&tensor.node)
                    && self.reads[reader].iter().all(|read| read.tensor != tensor || self.is_inlined(read)))
        };
        self.resolved.wanted.contains(&tensor)
            || self.readers.get(&tensor).is_some_and(|readers| readers.iter().any(outside))
    }

    /// The storage buffers that the kernel of a group binds.
    fn buffers(&self, number: usize) -> usize {
        let group = self.group(number);
        let mut loaded = BTreeSet::new();
        for node in group.nodes() {
            for read in self.reads[&node].clone() {
                if self.of.get(&read.tensor.node) != Some(&number) && !self.is_inlined(&read) {
                    loaded.insert(read.tensor);
                }
            }
        }
        let mut stored = 0;
        for body in &group.bodies {
            let root = group.root.map(|node| TensorId { node, output: body.output });
            let tensors = body.nodes.iter().map(|&node| TensorId { node, output: 0 }).chain(root);
            // An output that nothing needs is stored all the same, as the kernel has a binding for it.
            stored += tensors.filter(|&tensor| self.is_stored(tensor, number)).count().max(1);
        }
        if let Some(root) = group.root {
            stored += self.resolved.recording.nodes[root.index()].outputs.len() - group.bodies.len();
        }
        loaded.len() + stored + usize::from(group.sums.is_some()) + group.totals.len()
    }

    /// Lets a pointwise node join a group that makes one of its inputs.
    fn join(&mut self, node: NodeId) -> bool {
        let mut candidates: Vec<(usize, usize, NodeId)> = Vec::new();
        for read in self.reads[&node].clone() {
            if self.is_inlined(&read) || !self.is_computed(read.tensor) {
                continue;
            }
            match self.body_of(read.tensor) {
                Some((group, body)) if read.in_place => {
                    if !candidates.iter().any(|candidate| candidate.0 == group) {
                        candidates.push((group, body, read.tensor.node));
                    }
                }
                Some(_) => self.refuse(read.tensor.node, node, "it reads elements at other places than its own"),
                None => self.refuse(read.tensor.node, node, "the producer's kernel has no place for pointwise work"),
            }
        }
        // The latest group first: the others are done by then. A product's or reduction's end before others.
        candidates.sort_by_key(|&(number, ..)| (self.group(number).root.is_none(), usize::MAX - number));
        for &(number, body, producer) in &candidates {
            match self.try_join(node, number, body) {
                Ok(()) => {
                    for &(other, ..) in candidates.iter().filter(|(other, ..)| *other != number) {
                        let _ = self.try_merge(other, number, body);
                    }
                    return true;
                }
                Err(reason) => self.refuse(producer, node, reason),
            }
        }
        false
    }

    fn try_join(&mut self, node: NodeId, number: usize, body: usize) -> Result<(), &'static str> {
        for read in self.reads[&node].clone() {
            match self.of.get(&read.tensor.node) {
                _ if self.is_inlined(&read) => {}
                Some(&own)
                    if own == number && (!read.in_place || self.body_of(read.tensor) != Some((number, body))) =>
                {
                    return Err("it reads elements of the same kernel at other places than its own");
                }
                Some(&other) if self.waits_for(other, number) => {
                    return Err("another input of it is computed from the same kernel's results");
                }
                _ => {}
            }
        }
        let before = self.stored_by(number);
        self.of.insert(node, number);
        self.group_mut(number).bodies[body].nodes.push(node);
        let early = self.is_backward(node) && !self.group_is_backward(number);
        let reason = if early && self.stored_by(number) > before {
            "it belongs to the backward list, and would have to be stored until then"
        } else if self.buffers(number) > self.most_buffers {
            "the kernel would bind more buffers than the device allows"
        } else {
            return Ok(());
        };
        self.group_mut(number).bodies[body].nodes.pop();
        self.of.remove(&node);
        Err(reason)
    }

    /// How many tensors a group stores that do not outlive the step.
    fn stored_by(&self, number: usize) -> usize {
        let group = self.group(number);
        let tensors = group.bodies.iter().flat_map(|body| {
            let root = group.root.map(|node| TensorId { node, output: body.output });
            body.nodes.iter().map(|&node| TensorId { node, output: 0 }).chain(root)
        });
        let stays = |tensor: &TensorId| !self.resolved.wanted.contains(tensor) && self.is_stored(*tensor, number);
        tensors.filter(stays).count()
    }

    fn group_is_backward(&self, number: usize) -> bool {
        let group = self.group(number);
        let first = group.root.or_else(|| group.bodies.first().and_then(|body| body.nodes.first().copied()));
        first.is_some_and(|node| self.is_backward(node))
    }

    /// Moves the ops of a pointwise group into a body of another group.
    fn try_merge(&mut self, from: usize, number: usize, body: usize) -> Result<(), &'static str> {
        let moved = self.group(from).clone();
        if from == number || moved.root.is_some() || !moved.totals.is_empty() {
            return Err("both have roots");
        }
        if moved.bodies[0].elements != self.group(number).bodies[body].elements {
            return Err("they have different numbers of elements");
        }
        // Everything that passes between the two must pass in place, and not through a third group.
        let nodes: Vec<NodeId> = self.group(number).nodes().chain(moved.nodes()).collect();
        for &node in &nodes {
            for read in self.reads[&node].clone() {
                let source = self.of.get(&read.tensor.node).copied();
                let between = (self.of.get(&node) == Some(&from) && source == Some(number))
                    || (self.of.get(&node) == Some(&number) && source == Some(from));
                let at_hand =
                    read.in_place && (source == Some(from) || self.body_of(read.tensor) == Some((number, body)));
                let by_body =
                    self.of.get(&node) == Some(&from) || self.group(number).bodies[body].nodes.contains(&node);
                if between && !self.is_inlined(&read) && !(at_hand && by_body) {
                    return Err("one reads the other's elements at other places");
                }
            }
        }
        let third = |a: usize, b: usize| self.sources(a).iter().any(|&other| other != b && self.waits_for(other, b));
        if third(from, number) || third(number, from) {
            return Err("a third kernel stands between them");
        }
        let before = self.group(number).clone();
        let mut nodes = before.bodies[body].nodes.clone();
        nodes.extend(&moved.bodies[0].nodes);
        self.group_mut(number).bodies[body].nodes = self.sorted(nodes);
        self.groups[from] = None;
        for node in &moved.bodies[0].nodes {
            self.of.insert(*node, number);
        }
        if self.buffers(number) > self.most_buffers {
            for node in &moved.bodies[0].nodes {
                self.of.insert(*node, from);
            }
            self.groups[from] = Some(moved);
            self.groups[number] = Some(before);
            return Err("the kernel would bind more buffers than the device allows");
        }
        Ok(())
    }

    /// Nodes in an order in which each comes after those that it reads.
    fn sorted(&self, nodes: Vec<NodeId>) -> Vec<NodeId> {
        let wanted: BTreeSet<NodeId> = nodes.into_iter().collect();
        self.resolved.order.iter().copied().filter(|node| wanted.contains(node)).collect()
    }

    /// Lets a reduction compute what it loads, where nothing else needs that.
    fn absorb_prologue(&mut self, number: usize, node: NodeId) {
        let tensor = self.resolved.input(node, 0).tensor;
        let Some(&from) = self.of.get(&tensor.node) else { return };
        let source = self.group(from).clone();
        if source.root.is_some() {
            return;
        }
        let tensors: Vec<TensorId> = source.bodies[0].nodes.iter().map(|&node| TensorId { node, output: 0 }).collect();
        let only_here = |tensor: &TensorId| {
            let outside = |reader: &NodeId| *reader != node && self.of.get(reader) != Some(&from);
            !self.resolved.wanted.contains(tensor)
                && !self.readers.get(tensor).is_some_and(|readers| readers.iter().any(outside))
        };
        // A node that is recorded later is not in any group yet, and counts as outside.
        if !tensors.iter().all(only_here) {
            self.refuse(tensor.node, node, "what the reduction would compute is needed elsewhere as well");
            return;
        }
        let loads_floats = source.bodies[0].nodes.iter().flat_map(|node| self.reads[node].clone()).any(|read| {
            self.of.get(&read.tensor.node) != Some(&from)
                && !self.is_inlined(&read)
                && self.resolved.recording.tensor_type(read.tensor).dtype == DType::F32
        });
        if !loads_floats {
            return;
        }
        self.group_mut(number).prologue.clone_from(&source.bodies[0].nodes);
        for node in &source.bodies[0].nodes {
            self.of.insert(*node, number);
        }
        self.groups[from] = None;
        if self.buffers(number) > self.most_buffers {
            for node in &source.bodies[0].nodes {
                self.of.insert(*node, from);
            }
            self.groups[from] = Some(source);
            self.group_mut(number).prologue.clear();
            self.refuse(tensor.node, node, "the kernel would bind more buffers than the device allows");
        }
    }

    /// Lets matrix products compute sums of their operands along the inner axis: bias gradients.
    fn ride_along(&mut self) {
        for sum in 0..self.groups.len() {
            let Some(group) = &self.groups[sum] else { continue };
            let Some(node) = group.root.filter(|_| group.prologue.is_empty() && group.bodies[0].nodes.is_empty())
            else {
                continue;
            };
            for product in 0..self.groups.len() {
                if let Some(operand) = self.rides(node, product)
                    && !self.waits_for(sum, product)
                    && !self.waits_for(product, sum)
                {
                    self.group_mut(product).sums = Some(RideAlong { node, operand });
                    if self.buffers(product) > self.most_buffers {
                        self.group_mut(product).sums = None;
                        continue;
                    }
                    self.of.insert(node, product);
                    self.groups[sum] = None;
                    break;
                }
            }
        }
    }

    /// Which operand of a group's matrix product a sum adds up along the inner axis, if any.
    fn rides(&self, sum: NodeId, product: usize) -> Option<usize> {
        let root = self.groups[product].as_ref().filter(|group| group.sums.is_none())?.root?;
        let Lowering::Reduce(reduce) = &self.resolved.lowerings[&sum] else { return None };
        let Lowering::Contract = self.resolved.lowerings[&root] else { return None };
        if reduce.kind != Reduction::Sum || reduce.axes.len() != 1 {
            return None;
        }
        let summed = self.resolved.input(sum, 0);
        let axis = reduce.axes[0];
        if summed.layout.shape.rank() != 2 {
            return None;
        }
        // The inner axis is the last of the first operand and the first of the second.
        (0..2).find(|&operand| {
            let access = self.resolved.input(root, operand);
            let inner = 1 - operand;
            let along = |layout: &crate::base::Layout, axis: usize| (layout.shape[axis], layout.strides[axis]);
            access.tensor == summed.tensor
                && access.layout.shape.rank() == 2
                && access.layout.offset == summed.layout.offset
                && along(&access.layout, inner) == along(&summed.layout, axis)
                && along(&access.layout, 1 - inner) == along(&summed.layout, 1 - axis)
        })
    }

    /// Merges pointwise groups with groups that they share tensors with.
    fn merge_neighbours(&mut self) {
        for from in 0..self.groups.len() {
            let Some(group) = self.groups[from].clone().filter(|group| group.root.is_none()) else { continue };
            let loaded = self.tensors_read(from);
            for number in 0..self.groups.len() {
                if number == from || self.groups[number].is_none() {
                    continue;
                }
                let Some(body) =
                    self.group(number).bodies.iter().position(|body| body.elements == group.bodies[0].elements)
                else {
                    continue;
                };
                let makes = loaded.iter().any(|&tensor| self.body_of(tensor) == Some((number, body)));
                let shares = self.group(number).root.is_none()
                    && self.tensors_read(number).intersection(&loaded).next().is_some();
                if (makes || shares)
                    && self.may_run_together(from, number)
                    && self.try_merge(from, number, body).is_ok()
                {
                    break;
                }
            }
        }
    }

    fn tensors_read(&self, number: usize) -> BTreeSet<TensorId> {
        let reads = self.group(number).nodes().flat_map(|node| self.reads[&node].clone());
        reads.filter(|read| read.in_place && !self.is_inlined(read)).map(|read| read.tensor).collect()
    }

    /// Backward work moves into the forward list only where its results stay to the end of the step anyway:
    /// others would have to be stored in between.
    fn may_run_together(&self, from: usize, number: usize) -> bool {
        if self.group_is_backward(from) == self.group_is_backward(number) {
            return true;
        }
        let tensors = self.group(from).bodies[0].nodes.iter().map(|&node| TensorId { node, output: 0 });
        tensors.filter(|&tensor| self.is_stored(tensor, from)).all(|tensor| self.resolved.wanted.contains(&tensor))
    }

    /// Lets pointwise groups add up all elements of what they compute.
    fn total(&mut self) {
        for sum in 0..self.groups.len() {
            let Some(group) = &self.groups[sum] else { continue };
            let Some(node) = group.root.filter(|_| group.prologue.is_empty() && group.bodies[0].elements == 1) else {
                continue;
            };
            let Lowering::Reduce(reduce) = &self.resolved.lowerings[&node] else { continue };
            let access = self.resolved.input(node, 0);
            let whole = access.layout.is_dense()
                && access.layout.shape.elements()
                    == self.resolved.recording.tensor_type(access.tensor).shape.elements();
            let Some((number, _)) = self.body_of(access.tensor) else { continue };
            if reduce.kind == Reduction::Sum
                && whole
                && self.group(number).root.is_none()
                && self.group(number).bodies[0].elements >= FEWEST_TOTALLED
            {
                self.group_mut(number).totals.push(node);
                if self.buffers(number) > self.most_buffers {
                    self.group_mut(number).totals.pop();
                }
            }
        }
    }

    /// The groups in an order in which each comes after those that it reads, close to that of the recording.
    fn finish(self) -> Grouped {
        let position: BTreeMap<NodeId, usize> =
            self.resolved.order.iter().enumerate().map(|(place, &node)| (node, place)).collect();
        let mut left: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for number in (0..self.groups.len()).filter(|&number| self.groups[number].is_some()) {
            left.insert(number, self.sources(number));
        }
        // Pointwise groups run when they are needed: at the place of their last op.
        let key = |number: usize| {
            let group = self.group(number);
            let last = || group.bodies[0].nodes.last().copied();
            group.root.or_else(last).map_or(0, |node| position[&node])
        };
        let mut stored: BTreeSet<TensorId> = self.resolved.wanted.clone();
        for (&node, &number) in &self.of {
            for output in 0..self.resolved.recording.nodes[node.index()].outputs.len() as u32 {
                let tensor = TensorId { node, output };
                if self.is_stored(tensor, number) {
                    stored.insert(tensor);
                }
            }
        }
        let mut groups = Vec::new();
        while let Some(next) = left
            .iter()
            .filter(|(_, sources)| sources.is_empty())
            .map(|(&number, _)| number)
            .min_by_key(|&number| key(number))
        {
            left.remove(&next);
            for sources in left.values_mut() {
                sources.remove(&next);
            }
            groups.push(self.group(next).clone());
        }
        let apart = |refusal: &Refusal| self.of.get(&refusal.producer) != self.of.get(&refusal.consumer);
        let mut refusals = self.refusals.clone();
        refusals.retain(apart);
        refusals.dedup();
        Grouped { groups, free: self.free, uniform: self.uniform, stored, refusals }
    }
}

impl Group {
    /// All nodes, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let sums = self.sums.map(|sums| sums.node);
        let bodies = self.bodies.iter().flat_map(|body| &body.nodes).copied();
        self.prologue.iter().copied().chain(self.root).chain(bodies).chain(sums)
    }
}
