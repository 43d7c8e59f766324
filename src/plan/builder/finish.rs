//! Slots for what is left, and the plan.

use super::{Builder, Memory};
use crate::base::Result;
use crate::plan::slots::{Lifetime, assign};
use crate::plan::{Binding, Buffer, BufferKind, Dispatch, Plan, Stored};
use crate::record::TensorId;
use std::collections::HashMap;

impl Builder<'_> {
    pub(super) fn finish(mut self) -> Result<Plan> {
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
        let stored = |tensor: TensorId| {
            let located = &self.located[&tensor];
            (
                tensor,
                Stored { binding: bind(located.memory), shape: located.layout.shape.clone(), dtype: located.dtype },
            )
        };
        let mut readable: Vec<(TensorId, Stored)> = self.request.kept.iter().map(|&tensor| stored(tensor)).collect();
        readable.sort_by_key(|(tensor, _)| *tensor);
        readable.dedup_by_key(|(tensor, _)| *tensor);
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
        Ok(Plan {
            profile: self.request.profile.clone(),
            kernels: self.kernels,
            buffers: self.buffers,
            dispatches,
            readable,
            live_bytes: slots.live,
        })
    }
}
