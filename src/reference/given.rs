//! Evaluation that begins at tensors whose values are given.

use super::{Precision, eval_op};
use crate::base::{Error, ErrorKind, Result, Value};
use crate::record::{EvalContext, Leaf, NodeKind, Recording, TensorId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Evaluates `wanted` from the nearest tensors that `given` has a value of; never asks it for those that are wanted.
/// Every float that an op computes goes through `adjust` before it is used.
///
/// # Errors
/// Where an input or a parameter has no value.
pub(crate) fn evaluate_given<T: Precision>(
    recording: &Recording,
    wanted: &[TensorId],
    cx: EvalContext,
    given: impl Fn(TensorId) -> Option<Arc<Value<T>>>,
    mut adjust: impl FnMut(Value<T>) -> Value<T>,
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
                eval_op(op.as_ref(), &inputs, &node.outputs, cx)?
            }
        };
        for (output, value) in outputs.into_iter().enumerate() {
            let tensor = TensorId { node: crate::record::NodeId(index as u32), output: output as u32 };
            values.entry(tensor).or_insert_with(|| Arc::new(adjust(value)));
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
