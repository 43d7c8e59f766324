//! What dispatches that compute nodes of the recording should write.

use super::judge::{Reading, Want};
use super::walk::{Disturbance, Walk, disturbed};
use crate::base::{DType, Layout, Result, TensorType, Value};
use crate::plan::{Dispatch, Held};
use crate::record::{EvalContext, LowerContext, Lowering, NodeKind, TensorId};
use crate::reference::evaluate_given;
use std::sync::Arc;

/// Rounding of one operation in single precision, relative to its result.
const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;

/// What floats may differ by that are sums of so many terms; none where they are computed element by element. `values` are
/// the reference's, of which each is allowed some roundings, and where terms cancel the greatest decides.
pub(super) fn allowances(values: &[f64], terms: Option<f64>) -> Vec<f64> {
    let greatest = values.iter().filter(|value| value.is_finite()).fold(0.0f64, |most, value| most.max(value.abs()));
    // Errors of a long sum grow as a random walk.
    let grown = ROUNDING * terms.unwrap_or(0.0).sqrt();
    let (relative, share) = (1e-5 + grown, terms.map_or(0.0, |_| 1e-6 + grown));
    // Devices may take what is smaller than normal numbers for zero. Nothing but infinity is close to infinity.
    let one = |value: &f64| relative * value.abs() + share * greatest + f64::from(f32::MIN_POSITIVE);
    values.iter().map(|value| if value.is_finite() { one(value) } else { 0.0 }).collect()
}

impl Walk<'_> {
    /// What a dispatch that computes nodes should write, from what the device has stored before.
    pub(super) fn node_wants(&self, dispatch: &Dispatch, disturbance: &mut Disturbance<'_>) -> Result<Vec<Want>> {
        let held: Vec<(usize, Held)> =
            self.writes(dispatch).into_iter().map(|binding| (binding, dispatch.holds[binding])).collect();
        let tensor = |held: Held| match held {
            Held::Tensor(tensor) => Some(tensor),
            Held::Partial(node) => Some(TensorId { node, output: 0 }),
            Held::Scratch | Held::State => None,
        };
        let wanted: Vec<TensorId> = held.iter().filter_map(|(_, held)| tensor(*held)).collect();
        let cx = EvalContext { seed: self.scalars[0].seed };
        let recording = self.recording;
        let known: std::collections::BTreeMap<TensorId, Arc<Value<f64>>> = match disturbance {
            None => self.known.clone(),
            Some(_) => self
                .known
                .iter()
                .map(|(&tensor, value)| (tensor, Arc::new(disturbed(value.as_ref().clone(), disturbance))))
                .collect(),
        };
        let is_disturbed = disturbance.is_some();
        let mut disturb = |value| disturbed(value, disturbance);
        let mut adjust: Option<&mut dyn FnMut(Value<f64>) -> Value<f64>> =
            if is_disturbed { Some(&mut disturb) } else { None };
        let values = evaluate_given::<f64>(recording, &wanted, cx, |tensor| known.get(&tensor).cloned(), &mut adjust)?;
        let mut values = wanted.iter().zip(values);
        let terms = self.terms(dispatch);
        let mut wants = Vec::new();
        for (binding, held) in held {
            if tensor(held).is_none() {
                continue;
            }
            let Some((&tensor, value)) = values.next() else { break };
            let tensor_type = recording.tensor_type(tensor);
            let values: Vec<f64> = match value.as_ref() {
                Value::Real(array) => array.iter().copied().collect(),
                Value::I32(array) => array.iter().copied().map(f64::from).collect(),
                Value::U32(array) => array.iter().copied().map(f64::from).collect(),
            };
            let is_float = tensor_type.dtype == DType::F32;
            let allowed = if is_float { allowances(&values, terms) } else { vec![0.0; values.len()] };
            let words = (dispatch.bindings[binding].bytes / DType::BYTES as u64) as usize;
            let (reading, what) = match held {
                Held::Partial(_) => (Reading::Total, format!("partial sums of {}", recording.describe(tensor))),
                _ => (Reading::Elements(tensor_type.dtype), recording.describe(tensor)),
            };
            wants.push(Want {
                binding,
                words: 0..words,
                what,
                shape: tensor_type.shape.to_vec(),
                reading,
                values,
                allowed,
            });
        }
        Ok(wants)
    }

    /// How many terms the longest sum of a dispatch has; none where every op of it works element by element.
    fn terms(&self, dispatch: &Dispatch) -> Option<f64> {
        let mut most = None;
        for node in &dispatch.nodes {
            let node = &self.recording.nodes[node.index()];
            let NodeKind::Op(op) = &node.kind else { continue };
            let types: Vec<TensorType> =
                node.inputs.iter().map(|input| self.recording.tensor_type(*input).clone()).collect();
            let layouts: Vec<Layout> = types.iter().map(|input| Layout::dense(&input.shape)).collect();
            let class = self.plan.profile.class;
            let cx = LowerContext { inputs: &types, layouts: &layouts, outputs: &node.outputs, class };
            let elements = |of: &TensorType| of.shape.elements();
            let terms = match op.lower(&cx) {
                Lowering::View(_) | Lowering::Pointwise(_) => continue,
                Lowering::Contract(contraction) => contraction.inner(&types),
                Lowering::Reduce(_) => elements(&types[0]) / elements(&node.outputs[0]).max(1),
                // Whatever it does, it adds up no more than rows of its inputs.
                Lowering::Kernel(_) => {
                    let rows = types.iter().flat_map(|input| input.shape.iter().copied());
                    let ratio = types.iter().map(elements).max().unwrap_or(1) / elements(&node.outputs[0]).max(1);
                    rows.max().unwrap_or(1).max(ratio)
                }
            };
            most = Some(most.unwrap_or(1.0f64).max(terms as f64));
        }
        most
    }

    /// What a dispatch that gathers rows of a batch from a part of the data should write: those rows, to the bit.
    pub(super) fn batch_wants(&self, dispatch: &Dispatch) -> Vec<Want> {
        use crate::plan::BufferKind;
        let Some(Held::Tensor(tensor)) = dispatch.holds.get(2).copied() else { return Vec::new() };
        let BufferKind::Dataset { input, part } = self.plan.buffers[dispatch.bindings[0].buffer].kind else {
            return Vec::new();
        };
        let tensor_type = self.recording.tensor_type(tensor);
        let batch = tensor_type.shape[0];
        let row = tensor_type.shape.elements() / batch;
        let rows_of = |part: usize| {
            let of = |buffer: &&crate::plan::Buffer| buffer.kind == BufferKind::Dataset { input, part };
            self.plan.buffers.iter().find(of).map_or(0, |buffer| buffer.bytes as usize / DType::BYTES / row)
        };
        let first = part * rows_of(0);
        let data = self.words(&dispatch.bindings[0]);
        let order = &self.words(&dispatch.bindings[1])[self.scalars[0].first_row as usize..];
        let mut wants = Vec::new();
        for (place, &number) in order.iter().take(batch).enumerate() {
            let Some(own) = (number as usize).checked_sub(first).filter(|&own| own < rows_of(part)) else { continue };
            let values: Vec<f64> = data[own * row..(own + 1) * row].iter().copied().map(f64::from).collect();
            wants.push(Want {
                binding: 2,
                words: place * row..(place + 1) * row,
                what: format!("row {place} of {}, row {number} of the data", self.recording.describe(tensor)),
                shape: tensor_type.shape[1..].to_vec(),
                // Whatever they are: the same bits.
                reading: Reading::Elements(DType::U32),
                allowed: vec![0.0; values.len()],
                values,
            });
        }
        wants
    }
}
