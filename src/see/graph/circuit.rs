//! Small graphs with the value and the gradient of every tensor, as textbooks draw circuits.

use super::{GraphPicture, MOST, Signal};
use crate::base::{DType, Error, ErrorKind, HostTensor, Result, Value};
use crate::differentiate::backward;
use crate::record::{EvalContext, Feed, Graph, Leaf, NodeId, NodeKind, Params, Recording, Tensor, TensorId};
use crate::reference::evaluate;
use crate::see::text::number;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most elements of a tensor that are shown one by one.
const ELEMENTS: usize = 4;

impl Graph {
    /// What `loss` is computed from, as a circuit: every wire carries the value of its tensor above, and the gradient of `loss`
    /// with respect to it below, both computed in float64 on the host. A tensor that is used several times has the sum of the
    /// gradients that come back. Of more than four elements the Euclidean norm is shown. The recording stays as it is.
    ///
    /// ```
    /// use retrograd::{Graph, Params};
    /// let g = Graph::new();
    /// let (x, y, z) = (g.input("x", [1]), g.input("y", [1]), g.input("z", [1]));
    /// let f = (x + y) * z;
    /// let picture = g.circuit(f, &Params::seeded(1), [x.feed(&[-2.0f32]), y.feed(&[5.0f32]), z.feed(&[-4.0f32])])?;
    /// assert!(picture.svg().contains("-12"));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// All mistakes of the recording at once; [`ErrorKind::Argument`] for a loss of more than one element, or of another graph;
    /// [`ErrorKind::Feed`] for an input that is missing or does not fit; [`ErrorKind::Limit`] for more than 60 nodes.
    pub fn circuit<'a>(
        &self,
        loss: Tensor<'_>,
        params: &Params,
        feeds: impl AsRef<[Feed<'a>]>,
    ) -> Result<GraphPicture> {
        let faults = self.with_recording(|recording| [recording.faults.as_slice(), params.faults()].concat());
        if !faults.is_empty() || !loss.is_valid() {
            return Err(Error::recording(faults));
        }
        let refuse = |kind: ErrorKind, message: String| Err(Error::new(kind, message));
        if loss.graph().id() != self.id() {
            return refuse(ErrorKind::Argument, "the loss of a circuit must belong to the graph that draws it".into());
        }
        if loss.shape().elements() != 1 || loss.dtype() != DType::F32 {
            let of = loss.tensor_type();
            return refuse(
                ErrorKind::Argument,
                format!("a circuit needs a loss of one float, and this is {of}: take its `sum(..)` or `mean(..)`"),
            );
        }
        let recording = self.recording();
        let shown = recording.reached_from([loss.id()]);
        let count = shown.iter().filter(|shown| **shown).count();
        if count > MOST {
            return refuse(
                ErrorKind::Limit,
                format!(
                    "the circuit has {count} nodes, and values can be read beside at most {MOST}: draw a smaller part, or the \
                     graph without values by `GraphPicture::new(&g.recording())`"
                ),
            );
        }
        let leaves = leaves(self, &recording, params, feeds.as_ref())?;
        let tensors: Vec<TensorId> = outputs(&recording, &shown).collect();
        let floats: Vec<TensorId> = tensors.iter().copied().filter(|&own| recording.is_float(own)).collect();
        let (whole, gradients, faults) = self.aside(|| {
            let (found, faults) = self.with_own_faults(|| {
                let ones = self.on_behalf_of(loss.id().node, || self.full(loss.shape(), 1.0));
                backward(self, &[(loss.id(), ones)], &floats, 0)
            });
            let gradients: Vec<Option<TensorId>> =
                found.gradients.iter().map(|gradient| gradient.map(Tensor::id)).collect();
            (self.recording(), gradients, faults)
        });
        if !faults.is_empty() {
            return Err(Error::recording(faults));
        }
        let wanted: Vec<TensorId> = tensors.iter().copied().chain(gradients.iter().flatten().copied()).collect();
        let values = evaluate::<f64>(&whole, &wanted, &EvalContext::default(), |id, node, leaf| match leaf {
            Leaf::Constant(value) => Ok(Arc::new(Value::from_host(value))),
            _ => match leaves.get(&id) {
                Some(value) => Ok(Arc::new(Value::from_host(value))),
                None => Err(Error::new(ErrorKind::Feed, format!("{} has no value: feed it", node.label()))),
            },
        })?;
        let told = |tensor: TensorId| values.get(tensor).map(|value| tell(value));
        let mut picture = GraphPicture::expanded(&recording);
        for &tensor in &tensors {
            picture.marks[tensor.node.index()].signals[tensor.output as usize].value = told(tensor);
        }
        for (&tensor, gradient) in floats.iter().zip(gradients) {
            picture.marks[tensor.node.index()].signals[tensor.output as usize].gradient = gradient.and_then(told);
        }
        picture.keep_only(&shown);
        picture.is_circuit = true;
        picture.notes = vec!["above a wire: its value; below: the gradient with respect to it".into()];
        Ok(picture)
    }
}

impl GraphPicture {
    /// Forgets other boxes.
    fn keep_only(&mut self, shown: &[bool]) {
        let mut numbers = vec![0; shown.len()];
        for index in 1..shown.len() {
            numbers[index] = numbers[index - 1] + usize::from(shown[index - 1]);
        }
        self.wires.retain(|wire| shown[wire.from] && shown[wire.to]);
        for wire in &mut self.wires {
            (wire.from, wire.to) = (numbers[wire.from], numbers[wire.to]);
        }
        let mut own = shown.iter();
        self.marks.retain(|_| own.next() == Some(&true));
        for mark in &mut self.marks {
            mark.signals.resize_with(mark.signals.len().max(1), Signal::default);
        }
    }
}

/// All tensors that these nodes make.
fn outputs<'r>(recording: &'r Recording, shown: &'r [bool]) -> impl Iterator<Item = TensorId> + 'r {
    let nodes = recording.nodes.iter().enumerate().filter(|(index, _)| shown[*index]);
    nodes.flat_map(|(index, node)| {
        (0..node.outputs.len() as u32).map(move |output| TensorId { node: NodeId(index as u32), output })
    })
}

/// The values of parameters and inputs.
fn leaves(
    graph: &Graph,
    recording: &Recording,
    params: &Params,
    feeds: &[Feed<'_>],
) -> Result<BTreeMap<NodeId, HostTensor>> {
    let mut leaves = BTreeMap::new();
    let values: Vec<&HostTensor> = params.iter().map(|(_, value, _)| value).collect();
    for (index, node) in recording.nodes.iter().enumerate() {
        if let NodeKind::Leaf(Leaf::Parameter(info)) = &node.kind {
            let own = values.get(info.index).filter(|_| info.store == params.store());
            let strange = || {
                Error::new(
                    ErrorKind::Argument,
                    format!("{} belongs to other `Params` than those that were given", node.label()),
                )
            };
            leaves.insert(NodeId(index as u32), (*own.ok_or_else(strange)?).clone());
        }
    }
    for feed in feeds {
        if feed.graph != graph.id() || !feed.tensor.is_valid() {
            return Err(Error::new(ErrorKind::Feed, "what is fed belongs to another graph"));
        }
        let node = recording.node(feed.tensor);
        let expected = recording.tensor_type(feed.tensor);
        let fits = feed.data.dtype() == expected.dtype
            && feed.data.len() == expected.shape.elements()
            && feed.shape.as_ref().is_none_or(|own| *own == expected.shape);
        if !fits || !matches!(node.kind, NodeKind::Leaf(Leaf::Input { .. })) {
            let message = format!(
                "{} is fed {} elements of {}: feed inputs only, with their shape and type",
                recording.describe(feed.tensor),
                feed.data.len(),
                feed.data.dtype()
            );
            return Err(Error::new(ErrorKind::Feed, message));
        }
        let value = HostTensor::new(expected.shape.clone(), feed.data.as_ref().clone())?;
        leaves.insert(feed.tensor.node, value);
    }
    Ok(leaves)
}

/// A value in a few characters.
fn tell(value: &Value<f64>) -> String {
    let elements: Vec<f64> = value.to_real().iter().copied().collect();
    match elements.as_slice() {
        [one] => number(*one),
        few if few.len() <= ELEMENTS => {
            format!("[{}]", few.iter().map(|&own| number(own)).collect::<Vec<_>>().join(", "))
        }
        many => format!("norm {}", number(many.iter().map(|own| own * own).sum::<f64>().sqrt())),
    }
}
