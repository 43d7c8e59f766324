//! What groups need of one another, and what they need of a device.

use super::{Group, Grouping, Read};
use crate::record::{Lowering, NodeId, NodeKind, Pointwise, TensorId};
use std::collections::BTreeSet;

impl Grouping<'_> {
    pub(super) fn pointwise(&self, node: NodeId) -> Option<&Pointwise> {
        match self.resolved.lowerings.get(&node) {
            Some(Lowering::Pointwise(pointwise)) => Some(pointwise),
            _ => None,
        }
    }

    pub(super) fn is_backward(&self, node: NodeId) -> bool {
        self.resolved.recording.nodes[node.index()].origin.is_some()
    }

    pub(super) fn is_computed(&self, tensor: TensorId) -> bool {
        // What is bound by itself of a leaf is none the less fed.
        matches!(self.resolved.node_of(tensor).kind, NodeKind::Op(_)) && !self.resolved.windows.contains_key(&tensor)
    }

    /// Whether a read needs no memory: a free node is computed where it is read.
    pub(super) fn is_inlined(&self, read: &Read) -> bool {
        self.free.contains(&read.tensor.node)
            && ((read.plain && self.uniform.contains(&read.tensor.node)) || read.in_place)
    }

    pub(super) fn group(&self, number: usize) -> &Group {
        self.groups[number].as_ref().expect("a group that nodes belong to exists")
    }

    pub(super) fn group_mut(&mut self, number: usize) -> &mut Group {
        self.groups[number].as_mut().expect("a group that nodes belong to exists")
    }

    /// The group and body in which a tensor is at hand, element by element.
    pub(super) fn body_of(&self, tensor: TensorId) -> Option<(usize, usize)> {
        let &number = self.of.get(&tensor.node)?;
        let group = self.groups[number].as_ref()?;
        let place = group.bodies.iter().position(|body| {
            body.nodes.contains(&tensor.node) || (group.root == Some(tensor.node) && body.output == tensor.output)
        })?;
        Some((number, place))
    }

    /// The groups that a group reads from.
    pub(super) fn sources(&self, number: usize) -> BTreeSet<usize> {
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
    pub(super) fn waits_for(&self, a: usize, b: usize) -> bool {
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
    pub(super) fn is_stored(&self, tensor: TensorId, number: usize) -> bool {
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
    pub(super) fn buffers(&self, number: usize) -> usize {
        let group = self.group(number);
        let mut loaded = BTreeSet::new();
        // Products and kernels of an op's own bind their inputs under names of their own: what is fused to them
        // binds the same tensors once more.
        let mut own = 0;
        for node in group.nodes() {
            if group.root == Some(node) && !matches!(self.resolved.lowerings[&node], Lowering::Reduce(_)) {
                own += self.reads[&node].len();
                continue;
            }
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
        own + loaded.len() + stored + usize::from(group.sums.is_some()) + group.totals.len()
    }

    /// How many tensors a group stores that do not outlive the step.
    pub(super) fn stored_by(&self, number: usize) -> usize {
        let group = self.group(number);
        let tensors = group.bodies.iter().flat_map(|body| {
            let root = group.root.map(|node| TensorId { node, output: body.output });
            body.nodes.iter().map(|&node| TensorId { node, output: 0 }).chain(root)
        });
        let stays = |tensor: &TensorId| !self.resolved.wanted.contains(tensor) && self.is_stored(*tensor, number);
        tensors.filter(stays).count()
    }

    pub(super) fn group_is_backward(&self, number: usize) -> bool {
        let group = self.group(number);
        let first = group.root.or_else(|| group.bodies.first().and_then(|body| body.nodes.first().copied()));
        first.is_some_and(|node| self.is_backward(node))
    }

    pub(super) fn tensors_read(&self, number: usize) -> BTreeSet<TensorId> {
        let reads = self.group(number).nodes().flat_map(|node| self.reads[&node].clone());
        reads.filter(|read| read.in_place && !self.is_inlined(read)).map(|read| read.tensor).collect()
    }

    /// Nodes in an order in which each comes after those that it reads.
    pub(super) fn sorted(&self, nodes: Vec<NodeId>) -> Vec<NodeId> {
        let wanted: BTreeSet<NodeId> = nodes.into_iter().collect();
        self.order.iter().copied().filter(|node| wanted.contains(node)).collect()
    }
}
