//! The gradient rule of one op where it stands in a recording.

use super::landscape::{Landscape, Outcome, Slope};
use crate::base::{DType, Generator, HostTensor, Result, Value};
use crate::differentiate::backward;
use crate::record::{EvalContext, Graph, Leaf, NodeId, NodeKind, Recording, Tensor, TensorId};
use std::sync::Arc;

/// An input for which a gradient rule is wrong.
#[derive(Clone, Debug)]
pub(crate) struct WrongRule {
    pub input: usize,
    /// Whether the rule gives it any gradient.
    pub has_gradient: bool,
    pub slope: Slope,
}

/// The inputs of an op for which its rule gives what differences of its outputs do not, at the values that it has in a
/// landscape. An op that ends paths by its meaning has none.
pub(crate) fn wrong_rules(
    recording: &Recording,
    node: NodeId,
    landscape: &Landscape<'_>,
    cx: EvalContext,
    generator: &mut Generator,
) -> Result<Vec<WrongRule>> {
    let place = &recording.nodes[node.index()];
    let NodeKind::Op(op) = &place.kind else { return Ok(Vec::new()) };
    let values: Option<Vec<Arc<Value<f64>>>> =
        place.inputs.iter().map(|&input| landscape.value(input).cloned()).collect();
    let Some(values) = values.filter(|_| place.name() != "detach") else { return Ok(Vec::new()) };
    let graph = Graph::new();
    let mut inputs: Vec<Tensor<'_>> = Vec::new();
    for (number, &input) in place.inputs.iter().enumerate() {
        // One tensor that is two inputs is one leaf, as it is in the recording.
        let known = place.inputs[..number].iter().position(|&other| other == input);
        let fresh = || match recording.tensor_type(input).dtype {
            DType::F32 => graph.input(&format!("in{number}"), recording.tensor_type(input).shape.clone()),
            _ => graph.constant(values[number].to_host()),
        };
        inputs.push(known.map_or_else(fresh, |other| inputs[other]));
    }
    let outputs = graph.record_shared(Arc::clone(op), &inputs, place.outputs.len());
    // A random combination of the outputs: every one counts.
    let parts = outputs.iter().filter(|output| output.is_valid() && output.dtype() == DType::F32).map(|&output| {
        let weights: Vec<f32> = (0..output.shape().elements()).map(|_| generator.normal(0.0, 1.0) as f32).collect();
        Ok((output * graph.constant(HostTensor::new(output.shape(), crate::base::HostData::F32(weights))?)).sum(..))
    });
    let Some(loss) = parts.collect::<Result<Vec<Tensor<'_>>>>()?.into_iter().reduce(|sum, part| sum + part) else {
        return Ok(Vec::new());
    };
    let first = |number: &usize| place.inputs[..*number].iter().all(|other| *other != place.inputs[*number]);
    let floats: Vec<usize> = (0..inputs.len()).filter(|&n| inputs[n].dtype() == DType::F32).filter(first).collect();
    let of: Vec<TensorId> = floats.iter().map(|&number| inputs[number].id()).collect();
    let (found, faults) = graph.with_own_faults(|| backward(&graph, &[(loss.id(), graph.scalar(1.0))], &of, 0));
    if !faults.is_empty() {
        return Ok(Vec::new());
    }
    let recorded = graph.recording();
    let value_of = |id: NodeId, leaf: &Leaf| match leaf {
        Leaf::Constant(tensor) => Arc::new(Value::from_host(tensor)),
        _ => {
            let number = inputs.iter().position(|input| input.id().node == id).expect("all leaves are inputs");
            Arc::clone(&values[number])
        }
    };
    let local = Landscape::new(&recorded, loss.id(), cx, |id, _, leaf| Ok(value_of(id, leaf)))?;
    let wanted: Vec<TensorId> = found.gradients.iter().flatten().map(|gradient| gradient.id()).collect();
    let evaluated = super::evaluate::<f64>(&recorded, &wanted, &cx, |id, _, leaf| Ok(value_of(id, leaf)))?;
    let mut wrong = Vec::new();
    for ((&number, input), gradient) in floats.iter().zip(&of).zip(&found.gradients) {
        let gradient = gradient.and_then(|gradient| evaluated.get(gradient.id()));
        let direction = Landscape::direction(values[number].real(), generator);
        let slope = local.slope(input.node, gradient.map(|gradient| gradient.real()), &direction);
        if let Some(slope) = slope.filter(|slope| slope.outcome == Outcome::Differs) {
            wrong.push(WrongRule { input: number, has_gradient: gradient.is_some(), slope });
        }
    }
    Ok(wrong)
}
