//! Norms of every parameter by itself: of its gradient, or of the direction that it moves in, and of its weights.
//!
//! Parameters are cut into chunks that one workgroup adds up, so that large ones are spread over the device and small
//! ones share a dispatch; tables say where the chunks lie.

use super::update::{Run, defect};
use super::{Builder, Memory};
use crate::base::{DType, Result};
use crate::fuse::Usage;
use crate::plan::{Binding, BufferKind, KernelText, Updates, Work};
use crate::record::{KernelClass, Text, grid, libraries};

/// Vectors of a chunk: 64 for each invocation of a workgroup.
const CHUNK: u64 = 4096;
const VECTOR: u64 = 4 * DType::BYTES as u64;
/// Bytes of a pair of sums of squares, each with its scale.
const SUMS: u64 = 4 * DType::BYTES as u64;
/// Sums between two places where a range of their buffer may begin.
const SLOTS: usize = (ALIGNMENT / SUMS) as usize;
/// Bytes of a pair of norms.
const PAIR: u64 = 2 * DType::BYTES as u64;
/// Ranges of buffers begin at multiples of this.
const ALIGNMENT: u64 = 256;

/// The chunks of all parameters of a part of a segment that can be bound.
struct Chunks {
    range: Run,
    table: Memory,
    count: usize,
    /// Where their sums of squares are.
    sums: u64,
}

/// Norms of parameters: the chunks that they were added up from, and where they are.
struct Norms {
    chunks: Vec<Chunks>,
    norms: Memory,
}

impl Builder<'_> {
    /// Computes the norms of all gradients and parameters.
    pub(super) fn layer_norms(&mut self) -> Result<()> {
        let trained = self.trained();
        let names = self.request.arena.entries.iter().zip(&trained).filter(|(_, trained)| **trained);
        let names: Vec<String> = names.map(|(entry, _)| entry.name.clone()).collect();
        let bytes = names.len() as u64 * PAIR;
        if names.is_empty() {
            // Nothing is trained, and nothing will be read.
            self.layer_norms = Some((Binding { buffer: 0, offset: 0, bytes }, names));
            return Ok(());
        }
        let norms = if self.request.profile.class == KernelClass::Host {
            self.host_norms(&trained)?
        } else {
            self.norms(&trained, Work::LayerNorms)?.norms
        };
        let Memory::Fixed { buffer, offset, .. } = norms else { unreachable!("norms lie in a buffer of their own") };
        self.layer_norms = Some((Binding { buffer, offset, bytes }, names));
        Ok(())
    }

    fn host_norms(&mut self, trained: &[bool]) -> Result<Memory> {
        let mut operands = Vec::new();
        let entries: Vec<_> = self.request.arena.entries.iter().zip(trained).filter(|(_, trained)| **trained).collect();
        for (entry, _) in &entries {
            for buffer in [self.gradient_segment(entry.segment), self.parameter_segment(entry.segment)] {
                operands.push(Memory::Fixed { buffer, offset: entry.offset, bytes: entry.bytes });
            }
        }
        let norms = self.norms_buffer(entries.len());
        let mut usages = vec![Usage::Read; operands.len()];
        usages.push(Usage::Write);
        operands.push(norms);
        let wgsl = "norms of every gradient and parameter".to_owned();
        let text = KernelText { name: "parameter_norms".into(), wgsl, usages, uses_step: false };
        let elements: u64 = entries.iter().map(|(entry, _)| entry.bytes).sum();
        self.state_dispatch(Work::LayerNorms, text, "all parameters".into(), [1, 1, 1], elements as usize, operands)?;
        Ok(norms)
    }

    fn norms_buffer(&mut self, parameters: usize) -> Memory {
        let is_norms = |kind: &BufferKind| matches!(kind, BufferKind::ParameterNorms(_));
        let number = self.buffers.iter().filter(|buffer| is_norms(&buffer.kind)).count();
        let bytes = parameters as u64 * PAIR;
        Memory::Fixed { buffer: self.buffer(BufferKind::ParameterNorms(number), bytes), offset: 0, bytes }
    }

    /// A table of rows of four numbers.
    fn table(&mut self, rows: &[[u32; 4]]) -> Memory {
        let bytes = rows.len() as u64 * VECTOR;
        let buffer = self.buffer(BufferKind::Table(self.tables.len()), bytes);
        self.tables.push(rows.concat());
        Memory::Fixed { buffer, offset: 0, bytes }
    }

    /// The norms of the gradients and weights of some parameters, or of directions and weights.
    fn norms(&mut self, wanted: &[bool], work: Work) -> Result<Norms> {
        let arena = self.request.arena;
        let mut spans: Vec<[u32; 4]> = Vec::new();
        let whole = arena.segments.iter().enumerate().map(|(segment, &bytes)| (segment, 0, bytes));
        let ranges: Vec<Run> = whole.flat_map(|run| arena.bindings(run)).collect();
        let mut rows: Vec<Vec<[u32; 4]>> = vec![Vec::new(); ranges.len()];
        // Of every parameter: where its first chunk is, and its last: the range, and the number there.
        let mut places = Vec::new();
        for (parameter, (entry, _)) in arena.entries.iter().zip(wanted).filter(|(_, wanted)| **wanted).enumerate() {
            let inside = |&(_, &(segment, start, bytes)): &(usize, &Run)| {
                segment == entry.segment && start < entry.offset + entry.bytes && entry.offset < start + bytes
            };
            let mut first = None;
            for (range, &(_, start, bytes)) in ranges.iter().enumerate().filter(inside) {
                let (mut at, end) = (entry.offset.max(start), (entry.offset + entry.bytes).min(start + bytes));
                if first.is_some() {
                    // What a parameter has in one range ends where it goes on in the next: chunks without elements do no harm.
                    let before = &mut rows[range - 1];
                    before.resize(before.len().next_multiple_of(SLOTS), [0, 0, parameter as u32, 0]);
                }
                first = first.or(Some((range, rows[range].len() as u32)));
                while at < end {
                    let next = (at + CHUNK * VECTOR).min(end);
                    let vectors = [(at - start) / VECTOR, (next - start).div_ceil(VECTOR)];
                    rows[range].push([vectors[0] as u32, vectors[1] as u32, parameter as u32, 0]);
                    at = next;
                }
                if end == entry.offset + entry.bytes
                    && let Some(first) = first
                {
                    places.push((first, (range, rows[range].len() as u32)));
                }
            }
        }
        let mut starts = Vec::new();
        let mut total = 0;
        for rows in &rows {
            starts.push(total);
            total = (total + rows.len() as u64 * SUMS).next_multiple_of(ALIGNMENT);
        }
        for (first, end) in places {
            let [first, end] = [first, end].map(|(range, number)| (starts[range] / SUMS) as u32 + number);
            spans.push([first, end, 0, 0]);
        }
        let is_sums = |kind: &BufferKind| matches!(kind, BufferKind::ParameterSquares(_));
        let number = self.buffers.iter().filter(|buffer| is_sums(&buffer.kind)).count();
        let sums = self.buffer(BufferKind::ParameterSquares(number), total);
        let mut chunks = Vec::new();
        for (number, rows) in rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let chunk =
                Chunks { range: ranges[number], table: self.table(&rows), count: rows.len(), sums: starts[number] };
            self.squares(&chunk, sums, work)?;
            chunks.push(chunk);
        }
        let norms = self.norms_buffer(spans.len());
        let text =
            Text::new(include_str!("../../../shaders/parameter_norms.wgsl"), &[]).unsigned("PARAMETERS", spans.len());
        let wgsl = text.assemble().map_err(|reason| defect("parameter_norms", &reason))?;
        let usages = vec![Usage::Read, Usage::Read, Usage::Write];
        let text = KernelText { name: "parameter_norms".into(), wgsl, usages, uses_step: false };
        let all = Memory::Fixed { buffer: sums, offset: 0, bytes: total };
        let operands = vec![self.table(&spans), all, norms];
        let workgroups = [spans.len().div_ceil(64) as u32, 1, 1];
        self.state_dispatch(work, text, "norms".into(), workgroups, (total / SUMS) as usize, operands)?;
        Ok(Norms { chunks, norms })
    }

    /// The sums of squares of the chunks of a segment.
    fn squares(&mut self, chunks: &Chunks, sums: usize, work: Work) -> Result<()> {
        let &Chunks { range: (segment, start, bytes), table, count, sums: offset } = chunks;
        let x = match work {
            Work::Change(_) => self.buffer(BufferKind::Directions(segment), self.request.arena.segments[segment]),
            _ => self.gradient_segment(segment),
        };
        let y = self.parameter_segment(segment);
        let whole = |buffer: usize| Memory::Fixed { buffer, offset: start, bytes };
        let to = Memory::Fixed { buffer: sums, offset, bytes: count as u64 * SUMS };
        let workgroups = grid(count);
        let text = Text::new(include_str!("../../../shaders/parameter_squares.wgsl"), &[&libraries::ROWS])
            .unsigned("CHUNKS", count)
            .unsigned("GRID_WIDTH", workgroups[0] as usize);
        let wgsl = text.assemble().map_err(|reason| defect("parameter_squares", &reason))?;
        let usages = vec![Usage::Read, Usage::Read, Usage::Read, Usage::Write];
        let text = KernelText { name: "parameter_squares".into(), wgsl, usages, uses_step: false };
        let operations = count * CHUNK as usize * 16;
        let operands = vec![table, whole(x), whole(y), to];
        self.state_dispatch(work, text, "sums of squares".into(), workgroups, operations, operands)
    }

    /// Moves parameters in their directions, by the ratio of norms.
    pub(super) fn trust_ratio(&mut self, updates: &Updates, group: usize, trained: &[bool]) -> Result<()> {
        let work = Work::Change(group);
        let name = updates.groups[group].name;
        let Norms { chunks, norms } = self.norms(trained, work)?;
        for Chunks { range: (segment, start, bytes), table, count, .. } in chunks {
            let whole = |buffer: usize| Memory::Fixed { buffer, offset: start, bytes };
            let directions = self.request.arena.segments[segment];
            let direction = whole(self.buffer(BufferKind::Directions(segment), directions));
            let mut operands = vec![table, norms, direction, whole(self.parameter_segment(segment))];
            let mut usages = vec![Usage::Read, Usage::Read, Usage::Read, Usage::Write];
            let workgroups = grid(count);
            let mut text = Text::new(include_str!("../../../shaders/trust_ratio.wgsl"), &[&libraries::STEP])
                .unsigned("CHUNKS", count)
                .unsigned("GRID_WIDTH", workgroups[0] as usize);
            if updates.clip_norm.is_some() {
                let place = operands.len();
                text = text
                    .declare(&format!("@group(0) @binding({place}) var<storage, read> clip: array<f32>;\n"))
                    .function("is_left_out", "fn is_left_out() -> bool {\n    return clip[1] < 0.0f;\n}".into());
                operands.push(self.clip());
                usages.push(Usage::Read);
            }
            if updates.averages {
                let place = operands.len();
                let body = "fn stored(i: u32, new_weight: vec4<f32>) {\n    \
                            average[i] = average[i] + step.averaging * (new_weight - average[i]);\n}";
                text = text
                    .declare(&format!(
                        "@group(0) @binding({place}) var<storage, read_write> average: array<vec4<f32>>;\n"
                    ))
                    .function("stored", body.into());
                operands.push(whole(self.state_segment(Updates::AVERAGE, segment)));
                usages.push(Usage::Write);
            }
            let wgsl = text.assemble().map_err(|reason| defect("trust_ratio", &reason))?;
            let text = KernelText { name: "trust_ratio".into(), wgsl, usages, uses_step: true };
            let operations = count * CHUNK as usize * 8;
            self.state_dispatch(work, text, format!("{name} trust ratio"), workgroups, operations, operands)?;
        }
        Ok(())
    }
}
