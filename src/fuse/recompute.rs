//! Activation checkpointing: what a segment of the forward list computes is not kept for the backward list, but
//! computed again there, from what the segment reads.
//!
//! Source: Chen, Xu, Zhang, Guestrin, "Training deep nets with sublinear memory cost" (2016).

use super::Simplified;
use crate::record::{Node, NodeId, NodeKind, Recording, TensorId};
use std::collections::{BTreeMap, BTreeSet};

/// Copies the forward nodes of segments to where backward nodes first need them. `segment` gives the segment of a
/// forward node. What other parts of the forward list read of a segment, and what is kept, stays as it is.
///
/// This follows the merging of equal nodes, which would undo it. Random ops carry their stream, so a copy makes
/// the same numbers.
#[must_use]
pub fn recompute(
    simplified: &Simplified,
    kept: &BTreeSet<TensorId>,
    segment: &dyn Fn(NodeId) -> Option<u32>,
) -> Simplified {
    let old = &simplified.recording;
    let segments: Vec<Option<u32>> = (0..old.nodes.len())
        .map(|index| {
            let node = &old.nodes[index];
            let forward = node.origin.is_none() && matches!(node.kind, NodeKind::Op(_));
            if forward { segment(NodeId(index as u32)) } else { None }
        })
        .collect();
    let mut stays: BTreeSet<TensorId> = kept.clone();
    for (node, own) in old.nodes.iter().zip(&segments) {
        let reads_forward = node.origin.is_none();
        stays.extend(node.inputs.iter().filter(|input| reads_forward && segments[input.node.index()] != *own));
    }
    let mut copying = Copying {
        old,
        segments,
        stays,
        nodes: Vec::new(),
        first: vec![NodeId(0); old.nodes.len()],
        again: BTreeMap::new(),
    };
    for index in 0..old.nodes.len() {
        copying.node(index);
    }
    let Copying { nodes, first, .. } = copying;
    let moved = |tensor: &TensorId| TensorId { node: first[tensor.node.index()], output: tensor.output };
    let recording = Recording {
        nodes,
        faults: old.faults.clone(),
        kept: old.kept.iter().map(moved).collect(),
        inputs: old.inputs.iter().map(|(name, node)| (name.clone(), first[node.index()])).collect(),
        assigned: Vec::new(),
        checks: old.checks.clone(),
    };
    simplified.moved(recording, |tensor| Some(moved(tensor)))
}

struct Copying<'a> {
    old: &'a Recording,
    segments: Vec<Option<u32>>,
    stays: BTreeSet<TensorId>,
    nodes: Vec<Node>,
    /// Where every old node stands now.
    first: Vec<NodeId>,
    /// Where its copy in the backward list stands.
    again: BTreeMap<usize, NodeId>,
}

impl Copying<'_> {
    fn node(&mut self, index: usize) {
        let mut node = self.old.nodes[index].clone();
        let origin = node.origin.map(|origin| self.first[origin.index()]);
        node.inputs = node
            .inputs
            .iter()
            .map(|&input| match origin {
                Some(origin) => self.again(input, origin),
                None => TensorId { node: self.first[input.node.index()], output: input.output },
            })
            .collect();
        node.origin = origin;
        self.first[index] = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
    }

    /// The tensor for a backward node that belongs to `origin`: itself where it stays, else a copy.
    fn again(&mut self, tensor: TensorId, origin: NodeId) -> TensorId {
        let index = tensor.node.index();
        if self.segments[index].is_none() || self.stays.contains(&tensor) {
            return TensorId { node: self.first[index], output: tensor.output };
        }
        if let Some(&node) = self.again.get(&index) {
            return TensorId { node, output: tensor.output };
        }
        let mut node = self.old.nodes[index].clone();
        node.inputs = node.inputs.iter().map(|&input| self.again(input, origin)).collect();
        node.origin = Some(origin);
        let copy = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        self.again.insert(index, copy);
        TensorId { node: copy, output: tensor.output }
    }
}
