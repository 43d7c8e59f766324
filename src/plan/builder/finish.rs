//! Slots for what is left, and the plan.

use super::{Builder, Memory, Planned};
use crate::base::Result;
use crate::fuse::{Grouped, Place, Resolved};
use crate::plan::slots::{Lifetime, assign};
use crate::plan::{Apart, Binding, Buffer, BufferKind, Dispatch, Plan, Stored};
use crate::record::TensorId;
use std::collections::HashMap;

impl Builder<'_> {
    pub(super) fn finish(mut self) -> Result<Planned> {
        let end = self.drafts.len();
        let mut uses: Vec<Option<(usize, usize)>> = vec![None; self.intermediates.len()];
        for (time, draft) in self.drafts.iter().enumerate() {
            for operand in &draft.operands {
                if let Memory::Virtual(number) = operand {
                    let (first, _) = uses[*number].unwrap_or((time, time));
                    uses[*number] = Some((first, time));
                }
            }
        }
        // Kept tensors get a buffer each; the others share slots by lifetime.
        let shared: Vec<usize> =
            (0..uses.len()).filter(|&number| uses[number].is_some() && !self.intermediates[number].kept).collect();
        let lifetimes: Vec<Lifetime> = shared
            .iter()
            .map(|&number| {
                let (first, last) = uses[number].unwrap_or((0, end));
                Lifetime { bytes: self.intermediates[number].bytes, first, last }
            })
            .collect();
        let slots = assign(&lifetimes);
        let first_slot = self.buffers.len();
        for (number, &bytes) in slots.bytes.iter().enumerate() {
            self.buffers.push(Buffer { kind: BufferKind::Slot(number), bytes });
        }
        let mut buffer_of: HashMap<usize, usize> =
            shared.iter().zip(&slots.of).map(|(&number, slot)| (number, first_slot + slot)).collect();
        let kept: Vec<usize> = (0..uses.len()).filter(|&number| self.intermediates[number].kept).collect();
        for (place, number) in kept.into_iter().enumerate() {
            buffer_of.insert(number, self.buffers.len());
            self.buffers.push(Buffer { kind: BufferKind::Kept(place), bytes: self.intermediates[number].bytes });
        }
        let bind = |memory: Memory| match memory {
            Memory::Fixed { buffer, offset, bytes } => Binding { buffer, offset, bytes },
            Memory::Virtual(number) => {
                Binding { buffer: buffer_of[&number], offset: 0, bytes: self.intermediates[number].bytes }
            }
        };
        let stored = |(&tensor, &memory): (&TensorId, &TensorId)| {
            let tensor_type = self.type_of(tensor);
            let binding = bind(self.places[&Place::Tensor(memory)]);
            (tensor, Stored { binding, shape: tensor_type.shape.clone(), dtype: tensor_type.dtype })
        };
        let readable: Vec<(TensorId, Stored)> = self.resolved.kept.iter().map(stored).collect();
        let dispatches: Vec<Dispatch> = self
            .drafts
            .iter()
            .map(|draft| Dispatch {
                bindings: draft.operands.iter().map(|&memory| bind(memory)).collect(),
                ..draft.dispatch.clone()
            })
            .collect();
        for buffer in &self.buffers {
            self.fits(buffer.bytes, || buffer.kind.to_string())?;
        }
        let plan = Plan {
            profile: self.request.profile.clone(),
            kernels: self.kernels,
            buffers: self.buffers,
            dispatches,
            readable,
            live_bytes: slots.live,
            apart: apart(self.resolved, self.grouped),
        };
        Ok(Planned { plan, natives: self.natives })
    }
}

/// Why neighbours run as kernels of their own, in words.
fn apart(resolved: &Resolved, grouped: &Grouped) -> Vec<Apart> {
    let name = |node: crate::record::NodeId| {
        let node = &resolved.recording.nodes[node.index()];
        format!("{} at {}", node.label(), node.place.location)
    };
    let describe = |refusal: &crate::fuse::Refusal| Apart {
        producer: name(refusal.producer),
        consumer: name(refusal.consumer),
        reason: refusal.reason.clone(),
    };
    grouped.refusals.iter().map(describe).collect()
}
