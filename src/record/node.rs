use super::{Op, ParamInfo};
use crate::base::{DType, Fault, HostTensor, TensorType};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The position of a node in its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The position as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One output of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TensorId {
    /// The node that makes the tensor.
    pub node: NodeId,
    /// Which of its outputs it is.
    pub output: u32,
}

impl TensorId {
    /// What a faulty op returns. Ops on it are invalid as well and add no faults of their own.
    pub const INVALID: Self = Self { node: NodeId(u32::MAX), output: 0 };

    /// Whether the tensor exists.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self != Self::INVALID
    }
}

/// Where in the user's program, and in which scopes, something was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Source file, line and column.
    pub location: String,
    /// Names of the enclosing scopes, joined by dots.
    pub scope: String,
}

/// Where a tensor comes from that no op computes.
#[derive(Clone, Debug)]
pub enum Leaf {
    /// Fed by the caller before every step.
    Input {
        /// The name the caller gave.
        name: String,
    },
    /// Lives in the device's state.
    Parameter(ParamInfo),
    /// Uploaded once.
    Constant(Arc<HostTensor>),
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// A source.
    Leaf(Leaf),
    /// A computation.
    Op(Arc<dyn Op>),
}

/// One line of a recording.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// What it reads; always earlier nodes.
    pub inputs: Vec<TensorId>,
    /// The types of what it makes.
    pub outputs: Vec<TensorType>,
    /// Where it was recorded.
    pub place: Place,
    /// The node whose gradient rule recorded it: present for backward nodes only.
    pub origin: Option<NodeId>,
    /// The segment whose results are not kept for the backward list; see [`Graph::recompute`](super::Graph::recompute).
    pub segment: Option<u32>,
}

impl Node {
    /// The op's name, or the kind of leaf.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            NodeKind::Leaf(Leaf::Input { .. }) => "input",
            NodeKind::Leaf(Leaf::Parameter(_)) => "parameter",
            NodeKind::Leaf(Leaf::Constant(_)) => "constant",
            NodeKind::Op(op) => op.name(),
        }
    }

    /// Op name and attributes, or the leaf's name: what a message calls the node.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.kind {
            NodeKind::Leaf(Leaf::Input { name }) => format!("input `{name}`"),
            NodeKind::Leaf(Leaf::Parameter(info)) => format!("parameter `{}`", info.name),
            NodeKind::Leaf(Leaf::Constant(_)) => "constant".to_owned(),
            NodeKind::Op(op) => {
                let attributes = op.attributes().to_string();
                if attributes.is_empty() { op.name().to_owned() } else { format!("{} {attributes}", op.name()) }
            }
        }
    }
}

/// Everything that was recorded: plain data, read from top to bottom.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// All nodes; every node reads only earlier ones.
    pub nodes: Vec<Node>,
    /// Root causes of invalid tensors.
    pub faults: Vec<Fault>,
    /// Tensors that the caller wants to read after a step.
    pub kept: BTreeSet<TensorId>,
    /// The node of every input by name.
    pub inputs: BTreeMap<String, NodeId>,
    /// What cells become when a training step ends.
    pub assigned: Vec<(ParamInfo, TensorId)>,
    /// Computed indices that are looked at when something is read.
    pub checks: Vec<IndexCheck>,
}

/// A check of indices that a step computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexCheck {
    /// The indices.
    pub index: TensorId,
    /// They must lie in 0 .. this.
    pub limit: usize,
    /// One float: above 0 where any of them does not.
    pub any: TensorId,
    /// One integer: the row-major position of the first that does not, where any.
    pub position: TensorId,
    /// The op that uses them.
    pub op: String,
    /// Where it was recorded.
    pub place: Place,
}

impl Recording {
    /// The node that makes a tensor.
    #[must_use]
    pub fn node(&self, tensor: TensorId) -> &Node {
        &self.nodes[tensor.node.index()]
    }

    /// The type of a tensor.
    #[must_use]
    pub fn tensor_type(&self, tensor: TensorId) -> &TensorType {
        &self.node(tensor).outputs[tensor.output as usize]
    }

    /// Whether a tensor can carry a gradient.
    #[must_use]
    pub fn is_float(&self, tensor: TensorId) -> bool {
        self.tensor_type(tensor).dtype == DType::F32
    }

    /// What a message calls a tensor: `relu f32[64, 10] at src/main.rs:12:9`.
    #[must_use]
    pub fn describe(&self, tensor: TensorId) -> String {
        let node = self.node(tensor);
        format!("{} {} at {}", node.label(), self.tensor_type(tensor), node.place.location)
    }

    /// The nodes that `targets` depend on, themselves included, as a mask over all nodes.
    #[must_use]
    pub fn reached_from(&self, targets: impl IntoIterator<Item = TensorId>) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        for target in targets {
            reached[target.node.index()] = true;
        }
        for index in (0..self.nodes.len()).rev() {
            if reached[index] {
                for input in &self.nodes[index].inputs {
                    reached[input.node.index()] = true;
                }
            }
        }
        reached
    }
}
