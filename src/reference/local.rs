//! The gradient rule of one op where it stands in a recording.

use super::landscape::{Landscape, Outcome, Slope};
use crate::base::{DType, Error, ErrorKind, Generator, HostData, HostTensor, Result, Value};
use crate::differentiate::backward;
use crate::record::{EvalContext, Graph, Leaf, Node, NodeId, NodeKind, Recording, Tensor, TensorId};
use std::collections::BTreeMap;
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
    if place.name() == "detach" || place.inputs.iter().any(|&input| landscape.value(input).is_none()) {
        return Ok(Vec::new());
    }
    let graph = Graph::new();
    let alone = Inputs::new(&graph, recording, place, &[]);
    let outputs = graph.record_shared(Arc::clone(op), &alone.tensors, place.outputs.len());
    // What gets no gradient may be computed from an input that does, and count as part of it.
    let derived = derived(&graph, place, recording, &alone, &outputs);
    let graph = Graph::new();
    let inputs = Inputs::new(&graph, recording, place, &derived);
    let outputs = graph.record_shared(Arc::clone(op), &inputs.tensors, place.outputs.len());
    // A random combination of the outputs: every one counts.
    let parts = outputs.iter().filter(|output| output.is_valid() && output.dtype() == DType::F32).map(|&output| {
        let weights: Vec<f32> = (0..output.shape().elements()).map(|_| generator.normal(0.0, 1.0) as f32).collect();
        Ok((output * graph.constant(HostTensor::new(output.shape(), HostData::F32(weights))?)).sum(..))
    });
    let Some(loss) = parts.collect::<Result<Vec<Tensor<'_>>>>()?.into_iter().reduce(|sum, part| sum + part) else {
        return Ok(Vec::new());
    };
    let first = |number: &usize| place.inputs[..*number].iter().all(|other| *other != place.inputs[*number]);
    let tested = |number: &usize| inputs.tensors[*number].dtype() == DType::F32 && !derived.contains(number);
    let floats: Vec<usize> = (0..place.inputs.len()).filter(tested).filter(first).collect();
    let of: Vec<TensorId> = floats.iter().map(|&number| inputs.tensors[number].id()).collect();
    let (found, faults) = graph.with_own_faults(|| backward(&graph, &[(loss.id(), graph.scalar(1.0))], &of, 0));
    if !faults.is_empty() {
        return Ok(Vec::new());
    }
    let recorded = graph.recording();
    let value_of = |id: NodeId, _: &Node, leaf: &Leaf| match (leaf, inputs.leaves.get(&id)) {
        (_, Some(&original)) => {
            Ok(Arc::clone(landscape.value(original).expect("the landscape holds what an op needs")))
        }
        (Leaf::Constant(tensor), _) => Ok(Arc::new(Value::from_host(tensor))),
        _ => Err(Error::new(ErrorKind::Feed, "a leaf of an op by itself has no value")),
    };
    let local = Landscape::new(&recorded, loss.id(), cx, value_of)?;
    let wanted: Vec<TensorId> = found.gradients.iter().flatten().map(|gradient| gradient.id()).collect();
    let evaluated = super::evaluate::<f64>(&recorded, &wanted, &cx, value_of)?;
    let mut wrong = Vec::new();
    for ((&number, input), gradient) in floats.iter().zip(&of).zip(&found.gradients) {
        let gradient = gradient.and_then(|gradient| evaluated.get(gradient.id()));
        let Some(value) = local.value(*input) else { continue };
        let direction = Landscape::direction(value.real(), generator);
        let slope = local.slope(input.node, gradient.map(|gradient| gradient.real()), &direction);
        if let Some(slope) = slope.filter(|slope| slope.outcome == Outcome::Differs) {
            wrong.push(WrongRule { input: number, has_gradient: gradient.is_some(), slope });
        }
    }
    Ok(wrong)
}

/// The inputs of one op in a recording of its own.
struct Inputs<'g> {
    tensors: Vec<Tensor<'g>>,
    /// What its leaves are in the original.
    leaves: BTreeMap<NodeId, TensorId>,
}

impl<'g> Inputs<'g> {
    /// Leaves, but for the `derived` inputs, which are computed from the others as they are in the original.
    fn new(graph: &'g Graph, recording: &Recording, place: &Node, derived: &[usize]) -> Self {
        let mut known: BTreeMap<TensorId, Tensor<'g>> = BTreeMap::new();
        let mut leaves = BTreeMap::new();
        // One tensor that is two inputs is one leaf, as it is in the original.
        for (number, &input) in place.inputs.iter().enumerate() {
            if !derived.contains(&number) {
                leaf(graph, recording, input, &mut known, &mut leaves);
            }
        }
        let tensors =
            place.inputs.iter().map(|&input| computed(graph, recording, input, &mut known, &mut leaves)).collect();
        Self { tensors, leaves }
    }
}

/// A leaf that stands for a tensor of the original.
fn leaf<'g>(
    graph: &'g Graph,
    recording: &Recording,
    tensor: TensorId,
    known: &mut BTreeMap<TensorId, Tensor<'g>>,
    leaves: &mut BTreeMap<NodeId, TensorId>,
) -> Tensor<'g> {
    *known.entry(tensor).or_insert_with(|| {
        let (name, kind) = (format!("in{}", leaves.len()), recording.tensor_type(tensor).clone());
        let leaf = graph.typed_input(&name, kind.shape, kind.dtype);
        leaves.insert(leaf.id().node, tensor);
        leaf
    })
}

/// A tensor of the original, computed from what is known where it depends on that.
fn computed<'g>(
    graph: &'g Graph,
    recording: &Recording,
    tensor: TensorId,
    known: &mut BTreeMap<TensorId, Tensor<'g>>,
    leaves: &mut BTreeMap<NodeId, TensorId>,
) -> Tensor<'g> {
    if let Some(&tensor) = known.get(&tensor) {
        return tensor;
    }
    let node = recording.node(tensor);
    let behind = recording.reached_from([tensor]);
    let depends = known.keys().any(|other| behind[other.node.index()]);
    let NodeKind::Op(op) = node.kind.clone() else { return leaf(graph, recording, tensor, known, leaves) };
    if !depends {
        return leaf(graph, recording, tensor, known, leaves);
    }
    let inputs: Vec<Tensor<'g>> =
        node.inputs.iter().map(|&input| computed(graph, recording, input, known, leaves)).collect();
    let outputs = graph.record_shared(op, &inputs, node.outputs.len());
    for (output, &made) in outputs.iter().enumerate() {
        known.insert(TensorId { node: tensor.node, output: output as u32 }, made);
    }
    outputs[tensor.output as usize]
}

/// The inputs that get nothing by the rule and are computed from inputs that get something.
fn derived(
    graph: &Graph,
    place: &Node,
    recording: &Recording,
    inputs: &Inputs<'_>,
    outputs: &[Tensor<'_>],
) -> Vec<usize> {
    let floats = outputs.iter().filter(|output| output.is_valid() && output.dtype() == DType::F32);
    let seeds: Vec<(TensorId, Tensor<'_>)> =
        floats.map(|output| (output.id(), graph.full(output.shape(), 1.0))).collect();
    let of: Vec<TensorId> =
        inputs.tensors.iter().filter(|tensor| tensor.dtype() == DType::F32).map(|tensor| tensor.id()).collect();
    let (found, _) = graph.with_own_faults(|| backward(graph, &seeds, &of, 0));
    let given: Vec<usize> = found.passed.iter().map(|&(_, number)| number).collect();
    let of_given = |number: &usize| {
        let behind = recording.reached_from([place.inputs[*number]]);
        given
            .iter()
            .any(|&other| place.inputs[other] != place.inputs[*number] && behind[place.inputs[other].node.index()])
    };
    found.withheld.iter().map(|&(_, number)| number).filter(of_given).collect()
}
