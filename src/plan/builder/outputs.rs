//! What outlives the intermediate tensors: kept tensors, gradients, updated parameters.

use super::{Builder, Draft, Located, Memory};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::plan::{BufferKind, Dispatch, KernelText, Phase};
use crate::record::grid;

impl Builder<'_> {
    /// Gives kept tensors memory of their own, densely.
    pub(super) fn keep(&mut self) -> Result<()> {
        for &tensor in self.request.kept {
            let located = self.located[&tensor].clone();
            let node = self.request.recording.node(tensor).clone();
            // Parameters change in updates, also those of other steps: what is kept is the value that this
            // step used.
            let in_arena = match located.memory {
                Memory::Fixed { buffer, .. } => matches!(self.buffers[buffer].kind, BufferKind::Parameters(_)),
                Memory::Virtual(_) => false,
            };
            let located = if located.layout.is_dense() && !in_arena && self.covers(&located) {
                located
            } else {
                self.copy(tensor.node, &node, &located)?
            };
            if let Memory::Virtual(number) = located.memory {
                self.intermediates[number].kept = true;
            }
            self.located.insert(tensor, located);
        }
        Ok(())
    }

    /// Whether a tensor is all that its memory holds.
    pub(super) fn covers(&self, located: &Located) -> bool {
        let bytes = match located.memory {
            Memory::Fixed { bytes, .. } => bytes,
            Memory::Virtual(number) => self.intermediates[number].bytes,
        };
        located.layout.shape.elements() as u64 * DType::BYTES as u64 == bytes
    }

    /// Brings gradients into their arena: directly where only their last dispatch touches them,
    /// by a copy otherwise.
    pub(super) fn gradients(&mut self) -> Result<()> {
        for &(parameter, gradient) in self.request.gradients {
            let entry = self.request.arena.entries[parameter].clone();
            let bytes = self.request.arena.segments[entry.segment];
            let buffer = self.buffer(BufferKind::Gradients(entry.segment), bytes);
            let target = Memory::Fixed { buffer, offset: entry.offset, bytes: entry.bytes };
            let located = self.located[&gradient].clone();
            let sharers =
                self.request.gradients.iter().filter(|(_, other)| self.located[other].memory == located.memory).count();
            let direct = match located.memory {
                Memory::Virtual(number) => {
                    let alone = sharers == 1 && !self.intermediates[number].kept && !self.is_read(located.memory);
                    alone && located.layout.is_dense() && self.covers(&located)
                }
                Memory::Fixed { .. } => false,
            };
            if direct {
                self.replace(located.memory, target);
            } else {
                let node = self.request.recording.node(gradient).clone();
                let source = located.memory;
                self.copy_to(gradient.node, &node, &located, target)?;
                if let Some(mut draft) = self.drafts.pop() {
                    draft.dispatch.phase = Phase::Backward;
                    self.drafts.insert(self.written_by(source), draft);
                }
            }
        }
        Ok(())
    }

    /// The place right after the last dispatch that writes this memory; the end, where none does.
    pub(super) fn written_by(&self, memory: Memory) -> usize {
        let writes = |draft: &Draft| {
            let kernel = &self.kernels[draft.dispatch.kernel].writes;
            draft.operands.iter().zip(kernel).any(|(&operand, &writes)| operand == memory && writes)
        };
        self.drafts.iter().rposition(writes).map_or(self.drafts.len(), |place| place + 1)
    }

    pub(super) fn is_read(&self, memory: Memory) -> bool {
        self.drafts.iter().any(|draft| {
            let writes = &self.kernels[draft.dispatch.kernel].writes;
            draft.operands.iter().zip(writes).any(|(&operand, &writes)| operand == memory && !writes)
        })
    }

    pub(super) fn replace(&mut self, from: Memory, to: Memory) {
        for operand in self.drafts.iter_mut().flat_map(|draft| &mut draft.operands).filter(|operand| **operand == from)
        {
            *operand = to;
        }
        for located in self.located.values_mut().filter(|located| located.memory == from) {
            located.memory = to;
        }
    }

    pub(super) fn update(&mut self) -> Result<()> {
        const GROUP: usize = 64;
        let request = self.request;
        let Some(update) = request.update else { return Ok(()) };
        let mut trained = vec![false; request.arena.entries.len()];
        request.gradients.iter().for_each(|&(parameter, _)| trained[parameter] = true);
        for (segment, offset, bytes) in request.arena.runs(&trained) {
            let length = (bytes / DType::BYTES as u64) as usize;
            let workgroups = grid(length.div_ceil(GROUP));
            let text = update.text.clone().unsigned("LENGTH", length).unsigned("GRID_WIDTH", workgroups[0] as usize);
            let wgsl = text
                .assemble()
                .map_err(|reason| Error::new(ErrorKind::Driver, format!("{}: {reason}", update.name)))?;
            let mut kinds = vec![BufferKind::Gradients(segment), BufferKind::Parameters(segment)];
            kinds.extend(
                update.states.iter().map(|state| BufferKind::OptimizerState { state: (*state).to_owned(), segment }),
            );
            let mut operands = Vec::new();
            for kind in kinds {
                let buffer = self.buffer(kind, request.arena.segments[segment]);
                operands.push(Memory::Fixed { buffer, offset, bytes });
            }
            let writes = (0..operands.len()).map(|place| place > 0).collect();
            let kernel = self.kernel_number(KernelText { name: update.name.to_owned(), wgsl, writes, uses_step: true });
            let names = request.arena.entries.iter().zip(&trained).filter(|(entry, trained)| {
                **trained && entry.segment == segment && (offset..offset + bytes).contains(&entry.offset)
            });
            let dispatch = Dispatch {
                phase: Phase::Update,
                kernel,
                label: names.map(|(entry, _)| entry.name.as_str()).collect::<Vec<_>>().join(", "),
                bindings: Vec::new(),
                workgroups,
                node: None,
                origin: None,
                location: String::new(),
                scope: String::new(),
            };
            self.push(Draft { dispatch, operands })?;
        }
        Ok(())
    }
}
