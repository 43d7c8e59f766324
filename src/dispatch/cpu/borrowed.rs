//! The state's memory in the hands of a program.

use super::CpuProgram;
use crate::dispatch::State;
use crate::dispatch::state::HostMemory;
use crate::plan::BufferKind;

/// A program whose memory the segments of the state are a part of, while steps run. They go back when this is dropped: also
/// where the reference of a user's op panics, as whoever catches that still has the state.
pub(super) struct Borrowed<'s> {
    pub program: &'s mut CpuProgram,
    memory: &'s mut HostMemory,
    state: &'s State,
    /// Buffers of the program, and the segments that they are.
    segments: Vec<(usize, usize)>,
}

impl<'s> Borrowed<'s> {
    pub fn new(program: &'s mut CpuProgram, memory: &'s mut HostMemory, state: &'s State) -> Self {
        let mut segments = Vec::new();
        for (number, buffer) in program.plan.buffers.iter().enumerate() {
            let segment = match &buffer.kind {
                BufferKind::Parameters(segment)
                | BufferKind::Gradients(segment)
                | BufferKind::OptimizerState { segment, .. } => *segment,
                _ => continue,
            };
            let words = state.host_segment(memory, buffer.kind.clone(), segment);
            program.buffers[number] = std::mem::take(words);
            segments.push((number, segment));
        }
        Self { program, memory, state, segments }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        for (number, segment) in self.segments.drain(..) {
            let kind = self.program.plan.buffers[number].kind.clone();
            let words = std::mem::take(&mut self.program.buffers[number]);
            *self.state.host_segment(self.memory, kind, segment) = words;
        }
    }
}
