//! The gradients to test, and their values on the host.

use super::GradientTest;
use crate::base::{DType, Error, ErrorKind, Fault, HostTensor, Result, Shape, Value};
use crate::differentiate::{Fate, Walked, backward};
use crate::record::{EvalContext, Feed, Leaf, Node, NodeId, NodeKind, Params, Recording, Tensor, TensorId};
use crate::reference::{Evaluation, Precision, evaluate};
use crate::train::draft::{Draft, Options, Targets, parameter_leaves, strange, strange_cells, strangers};
use crate::train::step::key;
use ndarray::ArrayD;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A tensor whose gradient is tested.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub name: String,
    pub is_input: bool,
    pub shape: Shape,
    /// Its leaf, where it occurs in the recording.
    pub leaf: Option<TensorId>,
    /// Its gradient, where one comes back.
    pub gradient: Option<TensorId>,
}

/// A recording with the gradients of a loss.
pub(super) struct Walk {
    pub recording: Recording,
    pub loss: TensorId,
    pub targets: Vec<Target>,
    pub ends: Vec<String>,
    /// The ops that a gradient passes, or ends at.
    pub ops: Vec<NodeId>,
    pub cx: EvalContext,
}

/// The values of leaves by node.
pub(super) type Leaves = BTreeMap<NodeId, HostTensor>;

impl Walk {
    /// Records the gradients, and drafts a step that computes them.
    pub fn new(test: &GradientTest<'_>, params: &Params) -> Result<(Self, Draft)> {
        let (graph, loss) = (test.graph, test.loss);
        let (store, count) = (params.store(), params.len());
        let mut faults = graph.with_recording(|recording| {
            let strange = [strangers(recording, store, count), strange_cells(recording, store, count)].concat();
            [&recording.faults, params.faults(), &strange].into_iter().flatten().cloned().collect::<Vec<Fault>>()
        });
        let refuse = |operands: Vec<String>, reason: &str| Fault {
            op: "check_gradients".into(),
            operands,
            reason: reason.into(),
            location: graph.with_recording(|recording| {
                let node = recording.nodes.get(loss.id().node.index()).filter(|_| loss.graph().id() == graph.id());
                node.map_or_else(String::new, |node| node.place.location.clone())
            }),
            scope: String::new(),
        };
        if loss.is_valid() && loss.graph().id() != graph.id() {
            faults.push(refuse(Vec::new(), "the loss belongs to another graph"));
        } else if loss.is_valid() && (loss.shape().elements() != 1 || loss.dtype() != DType::F32) {
            let reason = "the loss must be one float: take the `sum(..)` or `mean(..)`";
            faults.push(refuse(vec![loss.tensor_type().to_string()], reason));
        }
        for info in test.only.iter().flatten() {
            let cell = info.cell.then(|| "it is a cell, which no gradient changes".to_owned());
            if let Some(reason) = strange(info, store, count).or(cell) {
                faults.push(refuse(Vec::new(), &format!("parameter `{}`: {reason}", info.name)));
            }
        }
        if !faults.is_empty() || !loss.is_valid() {
            return Err(Error::recording(faults));
        }
        let mut targets = graph.with_recording(|recording| targets(recording, test, params));
        if targets.iter().all(|target| target.leaf.is_none()) {
            let message = "there is nothing whose gradient could be tested: the recording has no parameter that is not frozen, and \
                           no float input";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let of: Vec<TensorId> = targets.iter().filter_map(|target| target.leaf).collect();
        let before = graph.with_recording(|recording| recording.nodes.len());
        let (found, faults) = graph.with_own_faults(|| {
            let ones = graph.on_behalf_of(loss.id().node, || graph.full(loss.shape(), 1.0));
            backward(graph, &[(loss.id(), ones)], &of, 0)
        });
        let mut gradients = found.gradients.iter();
        for target in targets.iter_mut().filter(|target| target.leaf.is_some()) {
            target.gradient = gradients.next().copied().flatten().map(Tensor::id);
        }
        let kept = [loss.id()].into_iter().chain(targets.iter().filter_map(|target| target.gradient)).collect();
        let wanted = Targets { kept, ..Targets::default() };
        let draft = Draft::new(graph, (store, count), wanted, &faults, Options::default())?;
        let recording = graph.recording();
        let named = |target: &Target| Some((target.name.clone(), target.leaf?, target.gradient));
        let leaves: Vec<(String, TensorId, Option<TensorId>)> = targets.iter().filter_map(named).collect();
        let (passed, withheld, id) = (&found.passed, &found.withheld, loss.id());
        let walked =
            Walked { recording: &recording, before, loss: id, passed, withheld, leaves: &leaves, faults: &faults };
        let fates: Vec<(String, Shape, Option<Fate>)> = Vec::new();
        let ends = walked.paths(fates).end_lines();
        let mut ops: Vec<NodeId> = passed.iter().chain(withheld).map(|&(node, _)| node).collect();
        ops.retain(|node| node.index() < before);
        ops.sort_unstable();
        ops.dedup();
        let cx = EvalContext { seed: key(params.seed(), 1) };
        Ok((Self { recording, loss: id, targets, ends, ops, cx }, draft))
    }

    /// The values of all leaves.
    pub fn leaves(&self, params: &Params, feeds: &[Feed<'_>]) -> Leaves {
        let mut leaves = Leaves::new();
        let values: Vec<&HostTensor> = params.iter().map(|(_, value, _)| value).collect();
        for (index, node) in self.recording.nodes.iter().enumerate() {
            if let NodeKind::Leaf(Leaf::Parameter(info)) = &node.kind
                && let Some(value) = values.get(info.index)
            {
                leaves.insert(NodeId(index as u32), (*value).clone());
            }
        }
        for feed in feeds {
            let shape = self.recording.tensor_type(feed.tensor).shape.clone();
            // What does not fit is for an input that nothing depends on: the device's step has taken the rest.
            if let Ok(value) = HostTensor::new(shape, feed.data.as_ref().clone()) {
                leaves.insert(feed.tensor.node, value);
            }
        }
        leaves
    }

    /// Tensors at these leaves.
    pub fn evaluate<T: Precision>(&self, wanted: &[TensorId], leaves: &Leaves) -> Result<Evaluation<T>> {
        evaluate::<T>(&self.recording, wanted, &self.cx, |id, node, leaf| {
            Ok(Arc::new(Value::from_host(host_value(id, node, leaf, leaves)?)))
        })
    }

    /// The loss in float64 where a leaf has another value, what is detached included.
    pub fn loss_at(&self, leaf: TensorId, value: HostTensor, leaves: &Leaves) -> Result<f64> {
        let moved = Arc::new(Value::from_host(&value));
        let evaluated = evaluate::<f64>(&self.recording, &[self.loss], &self.cx, |id, node, source| {
            if id == leaf.node {
                return Ok(Arc::clone(&moved));
            }
            Ok(Arc::new(Value::from_host(host_value(id, node, source, leaves)?)))
        })?;
        Ok(evaluated.get(self.loss).map_or(f64::NAN, |loss| loss.real().iter().sum()))
    }

    /// All gradients.
    pub fn gradients(&self) -> Vec<TensorId> {
        self.targets.iter().filter_map(|target| target.gradient).collect()
    }
}

/// What is tested: parameters, then float inputs.
fn targets(recording: &Recording, test: &GradientTest<'_>, params: &Params) -> Vec<Target> {
    let leaves = parameter_leaves(recording, params.store());
    let frozen: Vec<bool> = params.iter().map(|(_, _, frozen)| frozen).collect();
    let wanted = |number: usize| match &test.only {
        Some(only) => only.iter().any(|info| info.index == number),
        None => !frozen[number],
    };
    let parameters = params.extents().enumerate().filter(|&(number, (.., cell))| !cell && wanted(number));
    let parameters = parameters.map(|(number, (name, shape, _))| Target {
        name: name.to_owned(),
        is_input: false,
        shape: shape.clone(),
        leaf: leaves.get(&number).copied(),
        gradient: None,
    });
    let reached = recording.reached_from([test.loss.id()]);
    let inputs = recording.inputs.iter().map(|(name, &node)| (name, TensorId { node, output: 0 }));
    let inputs = inputs.filter(|(_, leaf)| test.inputs && reached[leaf.node.index()] && recording.is_float(*leaf));
    let inputs = inputs.map(|(name, leaf)| Target {
        name: name.clone(),
        is_input: true,
        shape: recording.tensor_type(leaf).shape.clone(),
        leaf: Some(leaf),
        gradient: None,
    });
    parameters.chain(inputs).collect()
}

/// The value of a leaf.
fn host_value<'v>(id: NodeId, node: &Node, leaf: &'v Leaf, leaves: &'v Leaves) -> Result<&'v HostTensor> {
    match leaf {
        Leaf::Constant(tensor) => Ok(tensor.as_ref()),
        _ => leaves.get(&id).ok_or_else(|| missing(node)),
    }
}

pub(super) fn missing(node: &Node) -> Error {
    Error::new(ErrorKind::Feed, format!("{} has no value", node.label()))
}

/// The Euclidean norm.
pub(super) fn norm(values: &ArrayD<f64>) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}
