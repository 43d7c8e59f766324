//! Which tensors lie where in the slots, and when.

use super::{BufferKind, Held, Plan};
use crate::fuse::Usage;
use std::collections::BTreeMap;

/// An intermediate tensor in a slot: where it lies, and from which dispatch to which it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// The number of the buffer, which is a [`BufferKind::Slot`].
    pub buffer: usize,
    /// First byte.
    pub offset: u64,
    /// Bytes, all parts together where dispatches bind parts of it.
    pub bytes: u64,
    /// The number of the dispatch that writes it first.
    pub first: usize,
    /// The number of the last dispatch that uses it.
    pub last: usize,
    /// What it is.
    pub holds: Held,
}

impl Plan {
    /// What lies in the slots, in the order of the dispatches that write it first.
    #[must_use]
    pub fn occupants(&self) -> Vec<Occupant> {
        let mut all: Vec<Occupant> = Vec::new();
        // The place in `all` of what is known by a name, or else lies at an offset; and whether it has been read since it
        // was written: what an op only keeps for itself is something else when it is written anew.
        let mut known: BTreeMap<(usize, Option<Held>, u64), (usize, bool)> = BTreeMap::new();
        for (number, dispatch) in self.dispatches.iter().enumerate() {
            let usages = self.kernels.get(dispatch.kernel).map_or(&[][..], |kernel| &kernel.usages);
            for (place, binding) in dispatch.bindings.iter().enumerate() {
                let is_slot = |buffer: &super::Buffer| matches!(buffer.kind, BufferKind::Slot(_));
                if !self.buffers.get(binding.buffer).is_some_and(is_slot) {
                    continue;
                }
                let holds = dispatch.holds.get(place).copied().unwrap_or(Held::Scratch);
                let writes = usages.get(place).is_some_and(|usage: &Usage| usage.writes());
                let is_named = matches!(holds, Held::Tensor(_) | Held::Partial(_));
                let key =
                    if is_named { (binding.buffer, Some(holds), 0) } else { (binding.buffer, None, binding.offset) };
                match known.get_mut(&key) {
                    Some((index, was_read)) if is_named || !(writes && *was_read) => {
                        let own = &mut all[*index];
                        let end_of = |offset: u64, bytes: u64| offset.saturating_add(bytes);
                        let end = end_of(own.offset, own.bytes).max(end_of(binding.offset, binding.bytes));
                        own.offset = own.offset.min(binding.offset);
                        own.bytes = end - own.offset;
                        own.last = number;
                        *was_read |= !writes;
                    }
                    _ => {
                        known.insert(key, (all.len(), false));
                        let (buffer, offset, bytes) = (binding.buffer, binding.offset, binding.bytes);
                        all.push(Occupant { buffer, offset, bytes, first: number, last: number, holds });
                    }
                }
            }
        }
        all
    }

    /// For every dispatch, the bytes of intermediate tensors that are needed while it runs: what it uses, and what later
    /// ones use of what was written before.
    #[must_use]
    pub fn live_bytes_of_dispatches(&self) -> Vec<u64> {
        let mut live = vec![0u64; self.dispatches.len()];
        for occupant in self.occupants() {
            for bytes in &mut live[occupant.first..=occupant.last] {
                *bytes = bytes.saturating_add(occupant.bytes);
            }
        }
        live
    }
}
