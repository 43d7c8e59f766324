//! Reverse mode: from a loss to gradients, recorded as ordinary ops.
//!
//! The nodes between the loss and what is asked for are walked from last to first. Each hands the
//! gradient of its outputs to its op, whose rule records the gradients of its inputs; where a
//! tensor was used several times, its gradients add up. What is recorded this way carries the
//! forward node it came from, so that the backward list is the reversed forward list.

mod gathered;
mod paths;
mod table;
mod walked;

use crate::base::DType;
use crate::record::{Cotangents, Graph, Node, NodeId, NodeKind, Op, Tensor, TensorId, Vjp};
use gathered::{Gathered, Gradient, Part};
pub use paths::{EndReason, Fate, GradientPath, GradientPaths, ParameterPath, PathEnd, PathOp};
use std::collections::BTreeMap;
use std::sync::Arc;
pub(crate) use walked::Walked;

/// The gradients that a walk found, and where paths ended on purpose.
pub(crate) struct Backward<'g> {
    /// One per tensor asked for; `None` where the loss does not depend on it.
    pub gradients: Vec<Option<Tensor<'g>>>,
    /// Nodes through which a float path ended: detached, or flat.
    pub ended: Vec<NodeId>,
    /// Nodes with the numbers of their inputs that something came back to.
    pub passed: Vec<(NodeId, usize)>,
    /// Nodes with the numbers of their inputs that depend on what was asked for and get nothing, though others may.
    pub withheld: Vec<(NodeId, usize)>,
}

/// Walks back from `seeds` (tensors with the gradients of them) to the tensors `of`, looking only
/// at nodes from `first` on.
pub(crate) fn backward<'g>(
    graph: &'g Graph,
    seeds: &[(TensorId, Tensor<'g>)],
    of: &[TensorId],
    first: usize,
) -> Backward<'g> {
    let nodes: Vec<Node> = graph.with_recording(|recording| recording.nodes.clone());
    let active = active_tensors(&nodes, of, first);
    let is_active = |tensor: &TensorId| active[tensor.node.index()].get(tensor.output as usize) == Some(&true);

    let mut gradients: BTreeMap<TensorId, Gathered<'g>> = BTreeMap::new();
    for &(tensor, gradient) in seeds {
        gradients.entry(tensor).or_default().add(Gradient::Whole(gradient));
    }
    let (mut ended, mut passed, mut withheld) = (Vec::new(), Vec::new(), Vec::new());
    let last = seeds.iter().map(|(tensor, _)| tensor.node.index() + 1).max().unwrap_or(0);
    for index in (first..last).rev() {
        let (node, id) = (&nodes[index], NodeId(index as u32));
        let NodeKind::Op(op) = &node.kind else { continue };
        let outputs: Vec<TensorId> =
            (0..node.outputs.len() as u32).map(|output| TensorId { node: id, output }).collect();
        if !outputs.iter().any(|output| gradients.contains_key(output)) || !node.inputs.iter().any(is_active) {
            continue;
        }
        let cotangents = outputs.iter().map(|output| total(graph, &mut gradients, *output)).collect();
        let cx = Vjp {
            inputs: node.inputs.iter().map(|&input| graph.tensor(input)).collect(),
            outputs: outputs.into_iter().map(|output| graph.tensor(output)).collect(),
            cotangents,
        };
        graph.on_behalf_of(id, || {
            let own = input_gradients(op, &cx);
            // Where one input has a gradient, what has none may be part of that: no path is cut.
            let cuts = own.iter().all(Option::is_none);
            for (number, (input, gradient)) in
                node.inputs.iter().zip(own).enumerate().filter(|(_, (input, _))| is_active(input))
            {
                if let Some(gradient) = gradient {
                    gradients.entry(*input).or_default().add(gradient);
                    passed.push((id, number));
                    continue;
                }
                if cuts && !gradients.contains_key(input) {
                    ended.push(id);
                }
                withheld.push((id, number));
            }
        });
    }
    let gradients = of.iter().map(|tensor| total(graph, &mut gradients, *tensor)).collect();
    Backward { gradients, ended, passed, withheld }
}

/// For every node and output: whether it is a float that depends on one of the tensors `of`.
fn active_tensors(nodes: &[Node], of: &[TensorId], first: usize) -> Vec<Vec<bool>> {
    let mut active: Vec<Vec<bool>> = nodes.iter().map(|node| vec![false; node.outputs.len()]).collect();
    for tensor in of {
        active[tensor.node.index()][tensor.output as usize] = true;
    }
    for index in first..nodes.len() {
        if nodes[index].inputs.iter().any(|input| active[input.node.index()][input.output as usize]) {
            for (output, tensor_type) in nodes[index].outputs.iter().enumerate() {
                active[index][output] |= tensor_type.dtype == DType::F32;
            }
        }
    }
    active
}

/// The gradient of a tensor, where there is one, recorded on behalf of what made the tensor.
fn total<'g>(
    graph: &'g Graph,
    gradients: &mut BTreeMap<TensorId, Gathered<'g>>,
    tensor: TensorId,
) -> Option<Tensor<'g>> {
    let gathered = gradients.get_mut(&tensor)?;
    graph.on_behalf_of(tensor.node, || gathered.total(graph, &graph.tensor(tensor).shape()))
}

/// What an op gives back to each of its inputs.
fn input_gradients<'g>(op: &Arc<dyn Op>, cx: &Vjp<'g>) -> Vec<Option<Gradient<'g>>> {
    let graph = cx.outputs[0].graph();
    let whole =
        |gradients: Vec<Option<Tensor<'g>>>| gradients.into_iter().map(|own| own.map(Gradient::Whole)).collect();
    match op.vjp(cx) {
        Cotangents::Inputs(gradients) if gradients.len() == cx.inputs.len() => whole(gradients),
        Cotangents::Inputs(gradients) => {
            let reason = format!("its gradient rule answers for {} inputs: a defect of the op", gradients.len());
            graph.fault(op.name(), &cx.inputs, reason);
            vec![None; cx.inputs.len()]
        }
        Cotangents::Part { axis, start, gradient } if cx.inputs.len() == 1 => {
            vec![Some(Gradient::Part(Part { axis, start, gradient }))]
        }
        Cotangents::Part { .. } => {
            let reason = "its gradient rule answers for part of one input: a defect of the op, which has several";
            graph.fault(op.name(), &cx.inputs, reason);
            vec![None; cx.inputs.len()]
        }
        Cotangents::Composition => whole(through_composition(op, cx)),
        Cotangents::Missing => missing(op, cx),
    }
}

/// The gradients of all inputs of an op's composition.
fn through_composition<'g>(op: &Arc<dyn Op>, cx: &Vjp<'g>) -> Vec<Option<Tensor<'g>>> {
    let graph = cx.outputs[0].graph();
    let first = graph.with_recording(|recording| recording.nodes.len());
    let Some(outputs) = op.composition(&cx.inputs) else {
        return missing(op, cx);
    };
    let seeds: Vec<_> = outputs
        .iter()
        .zip(&cx.cotangents)
        .filter_map(|(output, cotangent)| Some((output.id(), (*cotangent)?)))
        .collect();
    if seeds.iter().any(|(output, _)| !output.is_valid()) {
        return vec![None; cx.inputs.len()];
    }
    let inputs: Vec<TensorId> = cx.inputs.iter().map(|input| input.id()).collect();
    let mut gradients = backward(graph, &seeds, &inputs, first).gradients;
    // A tensor that is two inputs has its whole gradient already.
    for place in 1..inputs.len() {
        if inputs[..place].contains(&inputs[place]) {
            gradients[place] = None;
        }
    }
    gradients
}

fn missing<T: Clone>(op: &Arc<dyn Op>, cx: &Vjp<'_>) -> Vec<Option<T>> {
    let reason = "it has no gradient rule, and a gradient has to pass through it: `detach` its input if none should, or write the rule";
    cx.outputs[0].graph().fault(op.name(), &cx.inputs, reason);
    vec![None; cx.inputs.len()]
}

impl Graph {
    /// The gradient of a one-element `loss` with respect to any tensor, intermediate ones included.
    /// It is a tensor like any other: it can be kept, computed with, and differentiated again.
    ///
    /// ```
    /// use retrograd::Graph;
    /// let g = Graph::new();
    /// let x = g.input("x", [3]);
    /// let dx = g.gradient((x * x).sum(..), x); // 2 x
    /// assert_eq!(dx.shape(), x.shape());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn gradient<'g>(&'g self, loss: Tensor<'g>, of: Tensor<'g>) -> Tensor<'g> {
        self.gradients(loss, &[of])[0]
    }

    /// The gradients of a one-element `loss` with respect to several tensors, from one walk.
    #[must_use]
    #[track_caller]
    pub fn gradients<'g>(&'g self, loss: Tensor<'g>, of: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        let invalid = vec![self.tensor(TensorId::INVALID); of.len()];
        if loss.is_valid() && loss.shape().elements() != 1 {
            let reason = "the loss must have one element: take its `sum(..)` or `mean(..)`";
            self.fault("gradient", &[loss], reason);
            return invalid;
        }
        if !loss.is_valid() || of.iter().any(|tensor| !tensor.is_valid()) {
            return invalid;
        }
        let ones = self.on_behalf_of(loss.id().node, || self.full(loss.shape(), 1.0));
        self.vector_jacobian(&[(loss, ones)], of)
    }

    /// The vector-Jacobian product: for `outputs` paired with cotangents of the same shapes, the
    /// gradient of the sum of their products with respect to every tensor `of`.
    #[must_use]
    #[track_caller]
    pub fn vector_jacobian<'g>(&'g self, outputs: &[(Tensor<'g>, Tensor<'g>)], of: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        let _here = self.here();
        let invalid = vec![self.tensor(TensorId::INVALID); of.len()];
        let involved = outputs.iter().flat_map(|&(output, cotangent)| [output, cotangent]).chain(of.iter().copied());
        for tensor in involved {
            if !tensor.is_valid() {
                return invalid;
            }
            if tensor.graph().id() != self.id() {
                self.fault("gradient", &[], "a tensor belongs to another graph");
                return invalid;
            }
            if tensor.dtype() != DType::F32 {
                self.fault("gradient", &[tensor], "only floats have gradients");
                return invalid;
            }
        }
        for &(output, cotangent) in outputs {
            if output.shape() != cotangent.shape() {
                self.fault("vector_jacobian", &[output, cotangent], "an output and its cotangent need the same shape");
                return invalid;
            }
        }
        let seeds: Vec<_> = outputs.iter().map(|&(output, cotangent)| (output.id(), cotangent)).collect();
        let targets: Vec<TensorId> = of.iter().map(|tensor| tensor.id()).collect();
        let found = backward(self, &seeds, &targets, 0);
        let mut gradients = Vec::new();
        for (tensor, gradient) in of.iter().zip(found.gradients) {
            gradients.push(match gradient {
                Some(gradient) => gradient,
                None => self.fault(
                    "gradient",
                    &[*tensor],
                    format!("the loss does not depend on this tensor{}", self.cuts(&found.ended)),
                ),
            });
        }
        gradients
    }

    /// Where paths of gradients were cut, as part of a message.
    pub(crate) fn cuts(&self, ended: &[NodeId]) -> String {
        if ended.is_empty() {
            return String::new();
        }
        let list = self.with_recording(|recording| {
            let describe = |node: &NodeId| {
                let node = &recording.nodes[node.index()];
                format!("{} at {}", node.label(), node.place.location)
            };
            ended.iter().take(4).map(describe).collect::<Vec<_>>().join("; ")
        });
        format!(" (paths of gradients end at: {list})")
    }
}
