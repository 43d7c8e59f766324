//! Which ops run as one kernel.
//!
//! A group is a root (a matrix product, a reduction, a kernel of an op's own, or nothing) with pointwise ops
//! that are computed where the root's results are stored, and, for a reduction, pointwise ops that are computed
//! where its elements are loaded. Ops join one after another in the order of recording; every step is only taken
//! when no group would come to wait for itself, and when the kernel binds no more buffers than the device allows.

mod join;
mod reads;
mod relations;
mod sums;

use super::resolve::{Resolved, defect};
use crate::base::Result;
use crate::record::{Argument, Lowering, NodeId, TensorId};
use reads::{Read, reads};
use std::collections::{BTreeMap, BTreeSet};

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
    /// The nodes that get a place, each after those that it reads.
    order: Vec<NodeId>,
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
///
/// # Errors
/// When groups wait for one another, a defect of this library.
pub fn group(resolved: &Resolved, most_buffers: usize, fuses: bool) -> Result<Grouped> {
    let reads: BTreeMap<NodeId, Vec<Read>> = resolved.order.iter().map(|&node| (node, reads(resolved, node))).collect();
    let mut grouping = Grouping {
        resolved,
        order: needed(resolved, &reads),
        most_buffers,
        groups: Vec::new(),
        of: BTreeMap::new(),
        uniform: BTreeSet::new(),
        free: BTreeSet::new(),
        reads,
        readers: BTreeMap::new(),
        refusals: Vec::new(),
    };
    grouping.find_free(fuses);
    for place in 0..grouping.order.len() {
        grouping.place(grouping.order[place], fuses);
    }
    if fuses {
        grouping.ride_along();
        grouping.merge_neighbours();
        grouping.total();
    }
    grouping.finish()
}

/// The nodes without those that nobody reads, as are left where a recording was cut into parts: they would be work for nothing, and
/// a pointwise kernel that stores nothing is none.
fn needed(resolved: &Resolved, reads: &BTreeMap<NodeId, Vec<Read>>) -> Vec<NodeId> {
    let mut read: BTreeSet<TensorId> = resolved.wanted.clone();
    let mut order = Vec::new();
    for &node in resolved.order.iter().rev() {
        let outputs = resolved.recording.nodes[node.index()].outputs.len() as u32;
        if (0..outputs).any(|output| read.contains(&TensorId { node, output })) {
            read.extend(reads[&node].iter().map(|read| read.tensor));
            order.push(node);
        }
    }
    order.reverse();
    order
}

impl Grouping<'_> {
    /// Finds the nodes that are computed wherever they are read.
    fn find_free(&mut self, fuses: bool) {
        for &node in &self.order {
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
            Lowering::Contract(_) => {
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

    fn refuse(&mut self, producer: NodeId, consumer: NodeId, reason: &str) {
        self.refusals.push(Refusal { producer, consumer, reason: reason.to_owned() });
    }

    /// The groups in an order in which each comes after those that it reads, close to that of the recording.
    fn finish(self) -> Result<Grouped> {
        let position: BTreeMap<NodeId, usize> =
            self.order.iter().enumerate().map(|(place, &node)| (node, place)).collect();
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
        if let Some((&number, _)) = left.iter().next() {
            let node = self.group(number).nodes().next().unwrap_or(NodeId(0));
            let node = &self.resolved.recording.nodes[node.index()];
            return Err(defect(node, "its kernel and another one wait for each other"));
        }
        let apart = |refusal: &Refusal| self.of.get(&refusal.producer) != self.of.get(&refusal.consumer);
        let mut refusals = self.refusals.clone();
        refusals.retain(apart);
        refusals.dedup();
        Ok(Grouped { groups, free: self.free, uniform: self.uniform, stored, refusals })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::{resolve, simplify};
    use crate::record::{Graph, KernelClass, Recording};

    #[test]
    fn ops_that_nobody_reads_are_in_no_group() {
        let g = Graph::new();
        let x = g.input("x", [5, 5]);
        // Of products, sums and kernels of ops' own.
        let _ = (x.matmul(x).exp(), x.sum(0) * 2.0, x.softmax(-1));
        let wanted = x.sum(1).sin();
        let recording = g.recording();
        for class in [KernelClass::Gpu, KernelClass::Host] {
            let grouped = |recording: &Recording, kept: TensorId| {
                let resolved = resolve(recording, &[kept], &[], &[], class).unwrap();
                group(&resolved, 8, false).unwrap().groups.iter().flat_map(Group::nodes).count()
            };
            let simple = simplify(&recording, &[wanted.id()]);
            assert_eq!(grouped(&recording, wanted.id()), grouped(&simple.recording, simple.get(wanted.id()).unwrap()));
        }
    }
}
