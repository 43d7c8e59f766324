//! Checks of a case that need no device: its gradient, and the compositions of its ops.

use super::{Distance, Element, check_gradient, distance, evaluate, worst};
use crate::base::{DType, Error, ErrorKind, Generator, HostTensor, Result, Value};
use crate::record::{Case, CaseInput, EvalContext, Graph, Leaf, NodeId, NodeKind, Tensor, TensorId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A case on a graph: its inputs, its output, and for a differentiable one the gradients of the float inputs.
#[derive(Debug)]
pub struct RecordedCase<'g> {
    /// The inputs, and last, for a differentiable case, the gradient of the output.
    pub inputs: Vec<Tensor<'g>>,
    /// The result.
    pub output: Tensor<'g>,
    /// Every float input of the case with its gradient.
    pub gradients: Vec<(Tensor<'g>, Tensor<'g>)>,
}

/// A result of a case as a device computes it, beside the float64 reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// `output`, or `gradient of in0` and so on.
    pub name: String,
    /// How many elements it has.
    pub elements: usize,
    /// How far it is from the reference.
    pub distance: Distance,
    /// The element that is worst against what is allowed, if any differs.
    pub worst: Option<Element>,
}

impl Compared {
    /// Compares by the tolerance of cases: `tolerance` times |want| plus a tenth of it times max|want| is allowed.
    #[must_use]
    pub fn new(name: impl Into<String>, got: &[f64], want: &[f64], tolerance: f64) -> Self {
        let (distance, worst) = worst(got, want, |want, greatest| tolerance * want + tolerance / 10.0 * greatest);
        Self { name: name.into(), elements: want.len(), distance, worst }
    }
}

/// What a device computes of a case, beside the float64 reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// The output, and then the gradients of the float inputs.
    pub results: Vec<Compared>,
}

impl Measured {
    /// The worst of all results in each respect.
    #[must_use]
    pub fn distance(&self) -> Distance {
        self.results.iter().fold(Distance::default(), |all, result| all.join(result.distance))
    }

    /// How many elements were compared.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.results.iter().map(|result| result.elements).sum()
    }

    /// What is wrong, where something is: which results, by how much, and the worst element of each.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        /// More results than these are only counted.
        const MOST: usize = 3;
        let complaint = |result: &Compared| {
            let Distance { excess, relative, ulps } = result.distance;
            let element = |Element { index, got, want }| {
                format!("; element {index} of {} is {got:e} and should be {want:e}", result.elements)
            };
            format!(
                "the {} is off by {excess:.3} times what is allowed (relative error {relative:.2e}, {ulps:.1} ulps){}",
                result.name,
                result.worst.map(element).unwrap_or_default()
            )
        };
        let wrong: Vec<&Compared> = self.results.iter().filter(|result| !result.distance.passes()).collect();
        let mut texts: Vec<String> = wrong.iter().take(MOST).copied().map(complaint).collect();
        if wrong.len() > MOST {
            texts.push(format!("so are {} more of {} results", wrong.len() - MOST, self.results.len()));
        }
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// Random data for a recorded case, by input.
type Drawn = BTreeMap<NodeId, HostTensor>;

impl<'g> RecordedCase<'g> {
    /// Records a case.
    ///
    /// # Errors
    /// The mistakes of the recording.
    pub fn new(case: &Case, graph: &'g Graph) -> Result<Self> {
        let mut inputs = case.record_inputs(graph);
        let output = case.build(&inputs);
        let mut gradients = Vec::new();
        if case.differentiable && output.is_valid() {
            let upstream = graph.input("upstream", output.shape());
            let floats: Vec<Tensor<'g>> = inputs.iter().copied().filter(|input| input.dtype() == DType::F32).collect();
            let found = graph.vector_jacobian(&[(output, upstream)], &floats);
            gradients = floats.into_iter().zip(found).collect();
            inputs.push(upstream);
        }
        let faults = graph.recording().faults;
        if faults.is_empty() { Ok(Self { inputs, output, gradients }) } else { Err(Error::recording(faults)) }
    }

    /// Fresh random data for all inputs.
    #[must_use]
    pub fn draw(&self, case: &Case, generator: &mut Generator) -> BTreeMap<NodeId, HostTensor> {
        let upstream = (self.inputs.len() > case.inputs.len())
            // Of both signs, but not balanced: sums of it over many elements do not cancel to rounding.
            .then(|| CaseInput::uniform(self.output.shape(), -0.5, 1.0));
        let inputs = self.inputs.iter().map(|input| input.id().node);
        inputs.zip(case.inputs.iter().chain(&upstream)).map(|(node, input)| (node, input.draw(generator))).collect()
    }

    /// The output, and the gradients.
    #[must_use]
    pub fn results(&self) -> Vec<Tensor<'g>> {
        [self.output].into_iter().chain(self.gradients.iter().map(|&(_, gradient)| gradient)).collect()
    }
}

/// Tensors of a recording in float64, for given inputs, flat.
///
/// # Errors
/// When an input has no value.
pub(crate) fn values(graph: &Graph, wanted: &[Tensor<'_>], data: &Drawn, seed: [u32; 2]) -> Result<Vec<Vec<f64>>> {
    let ids: Vec<TensorId> = wanted.iter().map(|tensor| tensor.id()).collect();
    let evaluation = evaluate::<f64>(&graph.recording(), &ids, &EvalContext { seed }, |id, node, leaf| {
        let value = match leaf {
            Leaf::Constant(tensor) => Some(tensor.as_ref()),
            _ => data.get(&id),
        };
        let missing =
            || Error::new(ErrorKind::Feed, format!("{} has no value: a case has no parameters", node.label()));
        Ok(Arc::new(Value::from_host(value.ok_or_else(missing)?)))
    })?;
    let numbers = |&id: &TensorId| evaluation.get(id).map(|value| value.to_real().iter().copied().collect());
    Ok(ids.iter().filter_map(numbers).collect())
}

/// What a check found to be wrong with a case.
pub(crate) fn wrong<T>(case: &Case, reason: String) -> Result<T> {
    Err(Error::new(ErrorKind::Check, format!("case `{}`: {reason}", case.name)))
}

impl Case {
    /// Compares the gradient of every float input with central differences, in float64 along three random directions, for
    /// fresh random data. A case that is not differentiable passes.
    ///
    /// # Errors
    /// [`ErrorKind::Check`] where they differ by 1e-6 or more, relative to the norms of gradient and direction, or where the
    /// gradient is so small that the comparison means nothing; the mistakes of the recording.
    pub fn check_gradient(&self, generator: &mut Generator) -> Result<()> {
        if !self.differentiable {
            return Ok(());
        }
        let g = Graph::new();
        let recorded = RecordedCase::new(self, &g)?;
        let data = recorded.draw(self, generator);
        let Some(&upstream) = recorded.inputs.last().filter(|_| !recorded.gradients.is_empty()) else {
            return wrong(self, "no input has a gradient".into());
        };
        let loss = (recorded.output * upstream).sum(..);
        let pairs: Vec<(NodeId, TensorId)> =
            recorded.gradients.iter().map(|(input, gradient)| (input.id().node, gradient.id())).collect();
        let check = check_gradient(&g.recording(), loss.id(), &pairs, &data, 3, generator)?;
        if !check.is_meaningful() {
            let (significant, elements) = (check.significant, check.elements);
            let reason = format!(
                "only {significant} of {elements} gradient elements are not negligible: the check means nothing, draw other \
                 inputs"
            );
            return wrong(self, reason);
        }
        // Not `>=`, which NaN would pass.
        if check.error < 1e-6 {
            return Ok(());
        }
        let reason = format!(
            "the gradient differs from central differences in float64 by {:.2e}, and less than 1e-6 is allowed: `Op::vjp` does \
             not fit the reference",
            check.error
        );
        wrong(self, reason)
    }

    /// Compares the outputs of every op that the case records, its gradients included, with those of the op's
    /// [composition](crate::record::Op::composition), in float64 for fresh random data. Ops without one pass.
    ///
    /// # Errors
    /// [`ErrorKind::Check`] where they differ; the mistakes of the recording.
    pub fn check_composition(&self, generator: &mut Generator) -> Result<()> {
        let g = Graph::new();
        let recorded = RecordedCase::new(self, &g)?;
        let data = recorded.draw(self, generator);
        for (index, node) in g.recording().nodes.iter().enumerate() {
            let NodeKind::Op(op) = &node.kind else { continue };
            let inputs: Vec<Tensor<'_>> = node.inputs.iter().map(|&input| g.at(input)).collect();
            let Some(composed) = op.composition(&inputs) else { continue };
            let outputs =
                (0..composed.len() as u32).map(|output| g.at(TensorId { node: NodeId(index as u32), output }));
            let wanted: Vec<Tensor<'_>> = outputs.chain(composed.iter().copied()).collect();
            let all = values(&g, &wanted, &data, [0, 0])?;
            let (fused, composed) = all.split_at(composed.len());
            for (fused, composed) in fused.iter().zip(composed) {
                let found = distance(fused, composed, 1e-11, 1e-11);
                if found.excess.is_nan() || found.excess > 1.0 {
                    return wrong(self, format!("{} differs from its composition: {found:?}", op.name()));
                }
            }
        }
        Ok(())
    }
}
