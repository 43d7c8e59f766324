//! Evaluation that begins at tensors whose values are given.

use super::{Precision, eval_op};
use crate::base::{Error, ErrorKind, Result, Value};
use crate::record::{EvalContext, Graph, Leaf, NodeKind, Op, Recording, Tensor, TensorId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Evaluates `wanted` from the nearest tensors that `given` has a value of; never asks it for those that are wanted.
/// Every float that an op computes goes through `adjust`, if there is one, before it is used; then ops that are fused for speed
/// are evaluated as their compositions, so that what they compute on the way goes through it as well.
///
/// # Errors
/// Where an input or a parameter has no value.
pub(crate) fn evaluate_given<T: Precision>(
    recording: &Recording,
    wanted: &[TensorId],
    cx: EvalContext,
    given: impl Fn(TensorId) -> Option<Arc<Value<T>>>,
    adjust: &mut Option<&mut dyn FnMut(Value<T>) -> Value<T>>,
) -> Result<Vec<Arc<Value<T>>>> {
    let mut values: BTreeMap<TensorId, Arc<Value<T>>> = BTreeMap::new();
    let mut needed = vec![false; recording.nodes.len()];
    let mut open = wanted.to_vec();
    while let Some(tensor) = open.pop() {
        if values.contains_key(&tensor) {
            continue;
        }
        if !wanted.contains(&tensor)
            && let Some(value) = given(tensor)
        {
            values.insert(tensor, value);
        } else if !std::mem::replace(&mut needed[tensor.node.index()], true) {
            open.extend(&recording.node(tensor).inputs);
        }
    }
    for (index, node) in recording.nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        let outputs: Vec<Value<T>> = match &node.kind {
            NodeKind::Leaf(Leaf::Constant(tensor)) => vec![Value::from_host(tensor)],
            NodeKind::Leaf(_) => {
                return Err(Error::new(ErrorKind::Feed, format!("{} has no value", node.label())));
            }
            NodeKind::Op(op) => {
                let inputs: Vec<&Value<T>> =
                    node.inputs.iter().filter_map(|input| values.get(input).map(AsRef::as_ref)).collect();
                let composed = adjust.is_some().then(|| composed(op.as_ref(), &inputs, cx, adjust)).flatten();
                match composed {
                    Some(outputs) => outputs,
                    None => eval_op(op.as_ref(), &inputs, &node.outputs, cx)?,
                }
            }
        };
        for (output, value) in outputs.into_iter().enumerate() {
            let tensor = TensorId { node: crate::record::NodeId(index as u32), output: output as u32 };
            values.entry(tensor).or_insert_with(|| {
                Arc::new(match adjust {
                    Some(adjust) => adjust(value),
                    None => value,
                })
            });
        }
    }
    wanted
        .iter()
        .map(|tensor| {
            let missing = || Error::new(ErrorKind::Check, format!("{} was not evaluated", recording.describe(*tensor)));
            values.get(tensor).cloned().ok_or_else(missing)
        })
        .collect()
}

/// The outputs of an op by its composition, if it has one.
fn composed<T: Precision>(
    op: &dyn Op,
    inputs: &[&Value<T>],
    cx: EvalContext,
    adjust: &mut Option<&mut dyn FnMut(Value<T>) -> Value<T>>,
) -> Option<Vec<Value<T>>> {
    let g = Graph::new();
    let leaf = |(number, value): (usize, &&Value<T>)| g.typed_input(&number.to_string(), value.shape(), value.dtype());
    let leaves: Vec<Tensor<'_>> = inputs.iter().enumerate().map(leaf).collect();
    let wanted: Vec<TensorId> = op.composition(&leaves)?.iter().map(|tensor| tensor.id()).collect();
    let recording = g.recording();
    if !recording.faults.is_empty() {
        return None;
    }
    let given = |tensor: TensorId| {
        let place = leaves.iter().position(|leaf| leaf.id() == tensor)?;
        Some(Arc::new(inputs[place].clone()))
    };
    let values = evaluate_given(&recording, &wanted, cx, given, adjust).ok()?;
    Some(values.into_iter().map(|value| value.as_ref().clone()).collect())
}
