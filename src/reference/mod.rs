//! Evaluation of a recording on the host, op by op: in float64 the oracle of every check, in
//! float32 the CPU device.

mod case;
mod check;
mod distance;
mod given;
mod landscape;
mod local;
mod single;

pub use case::{Compared, Measured, RecordedCase};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use case::{values, wrong};
pub use check::{GradientCheck, check_gradient};
pub use distance::{Distance, Element, distance, within, worst};
pub(crate) use given::evaluate_given;
pub use landscape::{Landscape, Outcome, Slope};
pub(crate) use local::wrong_rules;
pub(crate) use single::eval_op;

use crate::base::{Error, Real, Result, Value};
use crate::record::{EvalContext, Leaf, Node, NodeId, NodeKind, Op, Recording, TensorId};
use std::sync::Arc;

/// A float type that ops can be evaluated in behind `dyn`.
pub trait Precision: Real {
    /// Evaluates an op.
    fn eval(op: &dyn Op, inputs: &[&Value<Self>], cx: &EvalContext) -> Vec<Value<Self>>;
}

impl Precision for f32 {
    fn eval(op: &dyn Op, inputs: &[&Value<Self>], cx: &EvalContext) -> Vec<Value<Self>> {
        op.eval_f32(inputs, cx)
    }
}

impl Precision for f64 {
    fn eval(op: &dyn Op, inputs: &[&Value<Self>], cx: &EvalContext) -> Vec<Value<Self>> {
        op.eval_f64(inputs, cx)
    }
}

/// The values of a recording's tensors.
#[derive(Debug)]
pub struct Evaluation<T> {
    values: Vec<Vec<Option<Arc<Value<T>>>>>,
}

impl<T: Precision> Evaluation<T> {
    /// The value of a tensor, where it was asked for.
    #[must_use]
    pub fn get(&self, tensor: TensorId) -> Option<&Arc<Value<T>>> {
        self.values.get(tensor.node.index())?.get(tensor.output as usize)?.as_ref()
    }
}

/// Evaluates what `wanted` depends on. Values are dropped as soon as nothing needs them any more,
/// except those wanted.
///
/// # Errors
/// Those of `leaf`, which gives the values of inputs, parameters and constants; [`ErrorKind::Check`](crate::ErrorKind::Check)
/// where an op's reference does not give what its shape rule promises.
pub fn evaluate<T: Precision>(
    recording: &Recording,
    wanted: &[TensorId],
    cx: &EvalContext,
    mut leaf: impl FnMut(NodeId, &Node, &Leaf) -> Result<Arc<Value<T>>>,
) -> Result<Evaluation<T>> {
    let needed = recording.reached_from(wanted.iter().copied());
    let last_use = last_uses(recording, &needed, wanted);
    let mut values: Vec<Vec<Option<Arc<Value<T>>>>> = vec![Vec::new(); recording.nodes.len()];
    for (index, node) in recording.nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        values[index] = match &node.kind {
            NodeKind::Leaf(source) => vec![Some(leaf(NodeId(index as u32), node, source)?)],
            NodeKind::Op(op) => {
                let inputs: Vec<Arc<Value<T>>> = node
                    .inputs
                    .iter()
                    .filter_map(|input| values[input.node.index()][input.output as usize].clone())
                    .collect();
                let references: Vec<&Value<T>> = inputs.iter().map(AsRef::as_ref).collect();
                let results = eval_op(op.as_ref(), &references, &node.outputs, *cx)
                    .map_err(|error| Error::new(error.kind(), format!("{error}\n  at {}", node.place.location)))?;
                results.into_iter().map(|value| Some(Arc::new(value))).collect()
            }
        };
        for input in &node.inputs {
            if last_use[input.node.index()] == Some(index) {
                values[input.node.index()].iter_mut().for_each(|value| *value = None);
            }
        }
    }
    Ok(Evaluation { values })
}

/// For every node the last node that reads it; `None` for wanted ones, which are never dropped.
fn last_uses(recording: &Recording, needed: &[bool], wanted: &[TensorId]) -> Vec<Option<usize>> {
    let mut last = vec![None; recording.nodes.len()];
    for (index, node) in recording.nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        for input in &node.inputs {
            last[input.node.index()] = Some(index);
        }
    }
    for tensor in wanted {
        last[tensor.node.index()] = None;
    }
    last
}
