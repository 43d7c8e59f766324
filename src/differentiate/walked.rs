//! The paths of gradients, from what a walk found.

use super::paths::{EndReason, Fate, GradientPath, GradientPaths, ParameterPath, PathEnd, PathOp};
use crate::base::{DType, Fault, Layout, Shape, TensorType};
use crate::record::{KernelClass, LowerContext, Lowering, Node, NodeId, NodeKind, Recording, TensorId};
use std::collections::{BTreeMap, BTreeSet};

/// What a walk from a loss found, as the paths are told from it.
pub(crate) struct Walked<'a> {
    /// The recording with the backward nodes.
    pub recording: &'a Recording,
    /// How many nodes there were before the walk.
    pub before: usize,
    pub loss: TensorId,
    /// The edges that something came back through, and those that got nothing.
    pub passed: &'a [(NodeId, usize)],
    pub withheld: &'a [(NodeId, usize)],
    /// The leaves that gradients were asked for, with their names and gradients.
    pub leaves: &'a [(String, TensorId, Option<TensorId>)],
    pub faults: &'a [Fault],
}

impl Walked<'_> {
    /// The paths; `fates` says of every parameter its name, shape, and fate where that is known already.
    pub fn paths(&self, fates: Vec<(String, Shape, Option<Fate>)>) -> GradientPaths {
        let ends = self.ends();
        let ways = Ways::new(self);
        let parameters: Vec<ParameterPath> = fates
            .into_iter()
            .map(|(name, shape, known)| {
                let fate = known.unwrap_or_else(|| self.fate(&name, &ways, &ends));
                ParameterPath { name, shape, fate }
            })
            .collect();
        let on_paths = parameters.iter().flat_map(|parameter| match &parameter.fate {
            Fate::Trained(path) => path.ops.clone(),
            _ => Vec::new(),
        });
        let wanted: BTreeSet<NodeId> = on_paths.chain(ends.iter().map(|end| end.node)).collect();
        let mut backward = self.backward();
        let ops = wanted.into_iter().map(|node| self.op(node, backward.remove(&node).unwrap_or_default())).collect();
        let faults = self.faults.iter().map(ToString::to_string).collect();
        let location = &self.recording.node(self.loss).place.location;
        let loss = format!("{} at {location}", self.recording.tensor_type(self.loss));
        GradientPaths { loss, parameters, ops, ends, faults }
    }

    fn op(&self, id: NodeId, backward: Vec<NodeId>) -> PathOp {
        let node = &self.recording.nodes[id.index()];
        let (op, label) = (node.name().to_owned(), node.label());
        let attributes = label.strip_prefix(&op).unwrap_or_default().trim().to_owned();
        let output = node.outputs.first().map(TensorType::to_string).unwrap_or_default();
        let (place, is_view) = (node.place.clone(), self.is_view(node));
        PathOp { node: id, op, attributes, output, is_view, location: place.location, scope: place.scope, backward }
    }

    fn is_view(&self, node: &Node) -> bool {
        let NodeKind::Op(op) = &node.kind else { return false };
        let types: Vec<TensorType> =
            node.inputs.iter().map(|&input| self.recording.tensor_type(input).clone()).collect();
        let layouts: Vec<Layout> = types.iter().map(|input| Layout::dense(&input.shape)).collect();
        let cx = LowerContext { inputs: &types, layouts: &layouts, outputs: &node.outputs, class: KernelClass::Cpu };
        matches!(op.lower(&cx), Lowering::View(_))
    }

    /// The backward nodes by the forward node that they were recorded for.
    fn backward(&self) -> BTreeMap<NodeId, Vec<NodeId>> {
        let mut by_forward: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for (index, node) in self.recording.nodes.iter().enumerate().skip(self.before) {
            // The rule of an op that is differentiated by its composition records both on behalf of the op.
            let mut origin = node.origin;
            while let Some(inner) = origin.filter(|origin| origin.index() >= self.before) {
                origin = self.recording.nodes[inner.index()].origin;
            }
            if let Some(forward) = origin {
                by_forward.entry(forward).or_default().push(NodeId(index as u32));
            }
        }
        by_forward
    }

    /// Where paths end, in the order of recording.
    fn ends(&self) -> Vec<PathEnd> {
        let nodes = &self.recording.nodes[..self.before];
        let reached = self.recording.reached_from([self.loss]);
        let depends = self.depends();
        let is_active = |input: &TensorId| depends[input.node.index()] && self.recording.is_float(*input);
        let integer = |node: &Node| node.outputs.iter().all(|output| output.dtype != DType::F32);
        let mut found: BTreeSet<(NodeId, usize, EndReason)> = BTreeSet::new();
        for (index, node) in nodes.iter().enumerate().filter(|(index, node)| reached[*index] && integer(node)) {
            let inputs = node.inputs.iter().enumerate().filter(|(_, input)| is_active(input));
            found.extend(inputs.map(|(number, _)| (NodeId(index as u32), number, EndReason::IntegerResult)));
        }
        for &(id, number) in self.withheld.iter().filter(|(id, _)| id.index() < self.before) {
            let node = &nodes[id.index()];
            // A tensor that is two inputs may have all of its gradient by the first; and what is computed from another input may
            // count as part of that.
            let behind = self.recording.reached_from([node.inputs[number]]);
            let covers = |&(other, place): &(NodeId, usize)| other == id && behind[node.inputs[place].node.index()];
            if !self.passed.iter().any(covers) {
                let reason = if node.name() == "detach" { EndReason::Detached } else { EndReason::NoGradient };
                found.insert((id, number, reason));
            }
        }
        let end = |(node, input, reason): (NodeId, usize, EndReason)| {
            let behind = self.recording.reached_from([nodes[node.index()].inputs[input]]);
            let names = self.leaves.iter().filter(|(_, leaf, _)| behind[leaf.node.index()]);
            PathEnd { node, input, reason, parameters: names.map(|(name, ..)| name.clone()).collect() }
        };
        found.into_iter().map(end).collect()
    }

    /// For every node whether it depends on a leaf through floats.
    fn depends(&self) -> Vec<bool> {
        let mut depends = vec![false; self.before];
        for (_, leaf, _) in self.leaves {
            depends[leaf.node.index()] = true;
        }
        for (index, node) in self.recording.nodes[..self.before].iter().enumerate() {
            depends[index] |=
                node.inputs.iter().any(|input| depends[input.node.index()] && self.recording.is_float(*input));
        }
        depends
    }

    fn fate(&self, name: &str, ways: &Ways, ends: &[PathEnd]) -> Fate {
        let Some((_, leaf, gradient)) = self.leaves.iter().find(|(other, ..)| other == name) else {
            return Fate::NotReached { reason: "it does not occur in the recording".into(), cuts: Vec::new() };
        };
        let Some(gradient) = gradient else {
            let behind = |(_, end): &(usize, &PathEnd)| end.parameters.iter().any(|other| other == name);
            let cuts: Vec<usize> = ends.iter().enumerate().filter(behind).map(|(number, _)| number).collect();
            let reason = if cuts.is_empty() { "the loss does not depend on it" } else { "all paths to it are cut" };
            return Fate::NotReached { reason: reason.into(), cuts };
        };
        let needed = self.recording.reached_from([*gradient]);
        Fate::Trained(GradientPath {
            ops: ways.shortest(leaf.node),
            uses: ways.uses[leaf.node.index()],
            paths: ways.paths[leaf.node.index()],
            gradient: gradient.node,
            backward: needed.iter().skip(self.before).filter(|needed| **needed).count(),
        })
    }
}

/// How nodes are reached from the loss.
struct Ways {
    /// The node after it on a shortest path.
    next: Vec<Option<NodeId>>,
    uses: Vec<usize>,
    paths: Vec<f64>,
}

impl Ways {
    fn new(walked: &Walked<'_>) -> Self {
        let count = walked.before;
        let (mut next, mut length) = (vec![None; count], vec![usize::MAX; count]);
        let (mut uses, mut paths) = (vec![0; count], vec![0.0; count]);
        length[walked.loss.node.index()] = 0;
        paths[walked.loss.node.index()] = 1.0;
        // What reads a node stands behind it, so that all of it is known when the node's turn comes.
        let mut edges: Vec<(NodeId, usize)> =
            walked.passed.iter().copied().filter(|(node, _)| node.index() < count).collect();
        edges.sort_by(|one, other| other.cmp(one));
        for (node, number) in edges {
            let input = walked.recording.nodes[node.index()].inputs[number].node.index();
            uses[input] += 1;
            paths[input] += paths[node.index()];
            let through = length[node.index()].saturating_add(1);
            if through < length[input] {
                length[input] = through;
                next[input] = Some(node);
            }
        }
        Self { next, uses, paths }
    }

    fn shortest(&self, leaf: NodeId) -> Vec<NodeId> {
        let mut ops: Vec<NodeId> =
            std::iter::successors(self.next[leaf.index()], |node| self.next[node.index()]).collect();
        ops.reverse();
        ops
    }
}
