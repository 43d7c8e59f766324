//! Copies of states on the host, from which they can be made anew.

use super::state::{Identity, PendingSegment, entry_words};
use super::{Counts, Device, State};
use crate::base::{HostData, HostTensor, Result};
use crate::plan::{Arena, BufferKind};
use std::collections::BTreeMap;

/// A copy of a [`State`] on the host: parameters, cells, optimizer states, running averages, gradients that were added up, and
/// everything that is counted, all as they were between two steps.
#[derive(Clone, Debug)]
pub struct Snapshot {
    identity: Identity,
    /// Where parameters lie in the segments.
    arena: Arena,
    segments: BTreeMap<BufferKind, Vec<u32>>,
    steps: u32,
    counts: Counts,
    /// How often something but a step had changed the state.
    edits: u32,
}

/// A snapshot on the way to the host. Steps may run meanwhile.
pub(crate) struct PendingSnapshot {
    /// Without segments.
    snapshot: Snapshot,
    segments: Vec<(BufferKind, PendingSegment)>,
}

impl std::fmt::Debug for PendingSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PendingSnapshot")
    }
}

impl State {
    /// Starts to copy everything to the host.
    pub(crate) fn begin_snapshot(&self) -> Result<PendingSnapshot> {
        let _turn = self.turn();
        let segments = self.begin_segments()?;
        let identity =
            Identity { store: self.store(), seed: self.seed(), frozen: self.frozen(), cells: self.cells().to_vec() };
        let counts = self.with_counts(|counts| counts.clone());
        let (arena, steps, edits) = (self.arena().clone(), self.steps(), self.edits());
        let snapshot = Snapshot { identity, arena, segments: BTreeMap::new(), steps, counts, edits };
        Ok(PendingSnapshot { snapshot, segments })
    }

    /// Copies everything to the host, as it is now. [`Snapshot::restore`] makes a state of it, on any device.
    ///
    /// # Errors
    /// When the device is lost, or has no room for a copy on its way.
    pub async fn snapshot_async(&self) -> Result<Snapshot> {
        self.begin_snapshot()?.finish().await
    }

    /// As [`snapshot_async`](Self::snapshot_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.begin_snapshot()?.wait()
    }
}

impl PendingSnapshot {
    /// As [`Snapshot::is_due`].
    pub fn is_due(&self, state: &State, every: u32) -> bool {
        self.snapshot.is_due(state, every)
    }

    /// As [`Snapshot::is_outdated`].
    pub fn is_outdated(&self, state: &State) -> bool {
        self.snapshot.is_outdated(state)
    }

    /// Whether everything is there, as far as was seen when the device was last polled.
    pub fn is_ready(&self) -> bool {
        self.segments.iter().all(|(_, segment)| match segment {
            PendingSegment::Ready(_) => true,
            PendingSegment::Gpu(read) => read.is_ready(),
        })
    }

    /// The snapshot, once it is there.
    pub async fn finish(self) -> Result<Snapshot> {
        let mut snapshot = self.snapshot;
        for (kind, segment) in self.segments {
            let words = match segment {
                PendingSegment::Ready(words) => words,
                PendingSegment::Gpu(read) => bytemuck::pod_collect_to_vec(&read.finish().await?),
            };
            snapshot.segments.insert(kind, words);
        }
        Ok(snapshot)
    }

    /// The snapshot; blocks until it is there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(self) -> Result<Snapshot> {
        let mut snapshot = self.snapshot;
        for (kind, segment) in self.segments {
            let words = match segment {
                PendingSegment::Ready(words) => words,
                PendingSegment::Gpu(read) => bytemuck::pod_collect_to_vec(&read.wait()?),
            };
            snapshot.segments.insert(kind, words);
        }
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Whether so many steps have run on the state since.
    pub(crate) fn is_due(&self, state: &State, every: u32) -> bool {
        state.steps().saturating_sub(self.steps) >= every
    }

    /// Whether something but a step has changed the state since.
    pub(crate) fn is_outdated(&self, state: &State) -> bool {
        self.edits != state.edits()
    }

    /// The number of training steps that had been run.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Makes a state on a device, the same as the one that was copied, to the bit.
    ///
    /// # Errors
    /// When the device is lost or has no room, or a parameter exceeds what it can bind.
    pub async fn restore_async(&self, device: &Device) -> Result<State> {
        let extents = self.arena.entries.iter().zip(&self.identity.cells);
        let extents = extents.map(|(entry, &cell)| (entry.name.as_str(), &entry.shape, cell));
        let arena = Arena::new(extents, &device.profile())?;
        let state = State::empty(device, arena, self.identity.clone()).await?;
        for (kind, words) in &self.segments {
            let (name, segment) = match kind {
                BufferKind::Parameters(segment) => (None, segment),
                BufferKind::OptimizerState { state, segment } => (Some(state.as_str()), segment),
                _ => continue,
            };
            let entries = self.arena.entries.iter().enumerate().filter(|(_, entry)| entry.segment == *segment);
            for (number, entry) in entries {
                let data = HostData::F32(bytemuck::cast_slice(&words[entry_words(entry)]).to_vec());
                state.write(name, number, &HostTensor::new(entry.shape.clone(), data)?)?;
            }
        }
        state.set_steps(self.steps);
        state.with_counts(|counts| counts.clone_from(&self.counts));
        Ok(state)
    }

    /// Notes that it is a snapshot of this state, which was restored from it.
    pub(crate) fn is_of(&mut self, state: &State) {
        self.edits = state.edits();
    }

    /// As [`restore_async`](Self::restore_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn restore(&self, device: &Device) -> Result<State> {
        pollster::block_on(self.restore_async(device))
    }
}
