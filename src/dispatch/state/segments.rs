//! Where the parameters and optimizer states of a state lie, and how they are read and written.

use super::{State, locked};
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result};
use crate::dispatch::PendingRead;
use crate::dispatch::gpu::{Gpu, GpuBuffer, GpuRange, GpuRead, GpuSegments};
use crate::plan::{ArenaEntry, BufferKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub(super) enum Memory {
    Gpu { gpu: Arc<Gpu>, segments: Mutex<GpuSegments> },
    Host(Mutex<HostMemory>),
}

/// The words of a segment, on the way to the host.
pub(in crate::dispatch) enum PendingSegment {
    Ready(Vec<u32>),
    Gpu(GpuRead),
}

/// The state on the host: the words of every segment.
pub(in crate::dispatch) type HostMemory = BTreeMap<BufferKind, Vec<u32>>;

impl State {
    /// Starts to read a parameter, or an optimizer state of it.
    pub(crate) fn begin_read(&self, state: Option<&str>, number: usize) -> Result<PendingRead> {
        let entry = &self.0.arena.entries[number];
        let kept = |data: Vec<f32>| {
            let tensor = HostTensor::new(entry.shape.clone(), HostData::F32(data));
            tensor.map(PendingRead::ready)
        };
        // A state that no step has touched is zero.
        let zeros = || vec![0.0; entry.shape.elements()];
        match &self.0.memory {
            Memory::Host(memory) => {
                let memory = locked(memory);
                let part = |words: &Vec<u32>| bytemuck::cast_slice(&words[entry_words(entry)]).to_vec();
                kept(memory.get(&Self::kind(state, entry)).map_or_else(zeros, part))
            }
            Memory::Gpu { gpu, segments } => {
                let Some(buffer) = locked(segments).get(&Self::kind(state, entry)).cloned() else {
                    return kept(zeros());
                };
                let range = GpuRange { buffer: &buffer, offset: entry.offset, bytes: entry.bytes };
                let read = gpu.begin_read(&format_args!("parameter `{}`", entry.name), range)?;
                Ok(PendingRead::from_gpu(read, entry.shape.clone(), DType::F32))
            }
        }
    }

    /// Writes a parameter, or an optimizer state of it, which is made if it does not exist.
    pub(crate) fn write(&self, state: Option<&str>, number: usize, value: &HostTensor) -> Result<()> {
        self.is_edited();
        let entry = &self.0.arena.entries[number];
        match &self.0.memory {
            Memory::Host(memory) => {
                let mut memory = locked(memory);
                let words = self.host_segment(&mut memory, Self::kind(state, entry), entry.segment);
                words[entry_words(entry)].copy_from_slice(bytemuck::cast_slice(value.data().bytes()));
                Ok(())
            }
            Memory::Gpu { gpu, .. } => {
                let buffer = self.segment(&Self::kind(state, entry))?.ok_or_else(|| {
                    Error::new(ErrorKind::Driver, format!("the segment of parameter `{}` does not exist", entry.name))
                })?;
                let what = format_args!("parameter `{}`", entry.name);
                gpu.upload_at(&what, &buffer, entry.offset, value.data().bytes())
            }
        }
    }

    fn kind(state: Option<&str>, entry: &ArenaEntry) -> BufferKind {
        match state {
            None => BufferKind::Parameters(entry.segment),
            Some(state) => BufferKind::OptimizerState { state: state.to_owned(), segment: entry.segment },
        }
    }

    /// The buffer of a segment, which is allocated when it is asked for the first time.
    pub(in crate::dispatch) fn segment(&self, kind: &BufferKind) -> Result<Option<GpuBuffer>> {
        let number = match kind {
            BufferKind::Parameters(number) | BufferKind::Gradients(number) => *number,
            BufferKind::OptimizerState { segment, .. } => *segment,
            _ => return Ok(None),
        };
        let (Memory::Gpu { gpu, segments }, Some(&bytes)) = (&self.0.memory, self.0.arena.segments.get(number)) else {
            return Ok(None);
        };
        // In this order everywhere: first the turn, then the segments.
        let _turn = gpu.turn();
        let mut segments = locked(segments);
        if let Some(known) = segments.get(kind) {
            return Ok(Some(known.clone()));
        }
        let buffer = gpu.storage(&kind.to_string(), bytes)?;
        segments.insert(kind.clone(), buffer.clone());
        Ok(Some(buffer))
    }

    /// Starts to copy whole segments of parameters and optimizer states to the host, all as they are at one moment.
    pub(in crate::dispatch) fn begin_segments(&self) -> Result<Vec<(BufferKind, PendingSegment)>> {
        let is_kept = |kind: &BufferKind| matches!(kind, BufferKind::Parameters(_) | BufferKind::OptimizerState { .. });
        match &self.0.memory {
            Memory::Host(memory) => {
                let memory = locked(memory);
                let kept = memory.iter().filter(|(kind, _)| is_kept(kind));
                Ok(kept.map(|(kind, words)| (kind.clone(), PendingSegment::Ready(words.clone()))).collect())
            }
            Memory::Gpu { gpu, segments } => {
                let _turn = gpu.turn();
                let kept: Vec<(BufferKind, GpuBuffer)> = {
                    let segments = locked(segments);
                    let kept = segments.iter().filter(|(kind, _)| is_kept(kind));
                    kept.map(|(kind, buffer)| (kind.clone(), buffer.clone())).collect()
                };
                let bytes = |kind: &BufferKind| match kind {
                    BufferKind::Parameters(number) | BufferKind::OptimizerState { segment: number, .. } => {
                        self.0.arena.segments[*number]
                    }
                    _ => 0,
                };
                let range = |(kind, buffer)| GpuRange { buffer, offset: 0, bytes: bytes(kind) };
                let ranges: Vec<_> = kept.iter().map(|(kind, buffer)| range((kind, buffer))).collect();
                let reads = gpu.begin_reads(&"a snapshot", &ranges)?;
                let kinds = kept.into_iter().map(|(kind, _)| kind);
                Ok(kinds.zip(reads.into_iter().map(PendingSegment::Gpu)).collect())
            }
        }
    }

    /// What a segment of a state that lives on the host holds; zeros where it does not exist yet.
    pub(in crate::dispatch) fn host_words(&self, kind: &BufferKind, words: usize) -> Option<Vec<u32>> {
        match kind {
            BufferKind::Parameters(_) | BufferKind::Gradients(_) | BufferKind::OptimizerState { .. } => {
                self.with_host(|memory| memory.get(kind).cloned().unwrap_or_else(|| vec![0; words]))
            }
            _ => None,
        }
    }

    /// Runs `work` on the memory of a state that lives on the host.
    pub(in crate::dispatch) fn with_host<R>(&self, work: impl FnOnce(&mut HostMemory) -> R) -> Option<R> {
        match &self.0.memory {
            Memory::Host(memory) => Some(work(&mut locked(memory))),
            Memory::Gpu { .. } => None,
        }
    }

    /// A segment of a state that lives on the host, zero at first.
    pub(in crate::dispatch) fn host_segment<'m>(
        &self,
        memory: &'m mut HostMemory,
        kind: BufferKind,
        number: usize,
    ) -> &'m mut Vec<u32> {
        let words = (self.0.arena.segments[number] / DType::BYTES as u64) as usize;
        memory.entry(kind).or_insert_with(|| vec![0; words])
    }
}

/// Where the words of a parameter lie in its segment.
pub(in crate::dispatch) fn entry_words(entry: &ArenaEntry) -> std::ops::Range<usize> {
    let size = DType::BYTES as u64;
    (entry.offset / size) as usize..((entry.offset + entry.bytes) / size) as usize
}

pub(super) fn optimizer_state(kind: &BufferKind) -> Option<String> {
    match kind {
        BufferKind::OptimizerState { state, .. } => Some(state.clone()),
        _ => None,
    }
}
