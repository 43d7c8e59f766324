//! Batches gathered from data that stay on the device: the first dispatches of a step.

use super::{Builder, Draft, Memory};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::fuse::{self, Gather, Place, Usage};
use crate::plan::{BufferKind, Dispatch, Held, KernelText, Phase};
use crate::record::{NodeId, TensorId};

/// Inputs whose data stay on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// The inputs, whose first axis is the batch.
    pub inputs: Vec<NodeId>,
    /// Rows of the data.
    pub rows: usize,
}

impl Builder<'_> {
    /// A dispatch for every part of the data of every input.
    pub(super) fn batches(&mut self) -> Result<()> {
        let Some(resident) = self.request.resident else { return Ok(()) };
        let profile = self.request.profile;
        let most = profile.binding_bytes.min(profile.buffer_bytes) / DType::BYTES as u64;
        let order_bytes = (resident.rows * DType::BYTES) as u64;
        self.fits(order_bytes, || format!("the order of the {} rows of a dataset", resident.rows))?;
        let order =
            Memory::Fixed { buffer: self.buffer(BufferKind::Order, order_bytes), offset: 0, bytes: order_bytes };
        for &input in &resident.inputs {
            let node = &self.resolved.recording.nodes[input.index()];
            let shape = &node.outputs[0].shape;
            let batch = shape[0];
            let words = shape.elements() / batch.max(1);
            if words == 0 {
                continue;
            }
            // An input has at least one row, and was found to fit.
            let part_rows = (most as usize / words).max(1);
            for (part, first) in (0..resident.rows).step_by(part_rows).enumerate() {
                let gather = Gather { batch, words, first, rows: part_rows.min(resident.rows - first) };
                let bytes = (gather.rows * words * DType::BYTES) as u64;
                let data = self.buffer(BufferKind::Dataset { input, part }, bytes);
                let (wgsl, workgroups) = fuse::gather(gather)
                    .map_err(|reason| Error::new(ErrorKind::Driver, format!("gather_rows: {reason}")))?;
                let text = KernelText {
                    name: "gather_rows".into(),
                    wgsl,
                    usages: vec![Usage::Read, Usage::Read, Usage::Write],
                    uses_step: true,
                };
                let dispatch = Dispatch {
                    phase: Phase::Batch,
                    kernel: self.kernel_number(text),
                    label: format!("{} {}", node.label(), node.outputs[0]),
                    work: None,
                    bindings: Vec::new(),
                    holds: vec![Held::State, Held::State, Held::Tensor(TensorId { node: input, output: 0 })],
                    images: Vec::new(),
                    chosen: None,
                    workgroups,
                    operations: 0,
                    node: Some(input),
                    nodes: vec![input],
                    origin: None,
                    location: node.place.location.clone(),
                    scope: node.place.scope.clone(),
                };
                let place = self.places[&Place::Tensor(TensorId { node: input, output: 0 })];
                self.gathers.push(gather);
                let operands = vec![Memory::Fixed { buffer: data, offset: 0, bytes }, order, place];
                self.push(Draft { dispatch, operands })?;
            }
        }
        Ok(())
    }
}
