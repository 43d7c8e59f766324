//! Fused pointwise ops on the host: block by block, so that values between ops stay in the first cache.

use super::memory::Places;
use crate::base::{DType, HostData, Layout, Shape, Value};
use crate::fuse::{Access, Load, Operand, Place, Program, Step};
use crate::plan::HOST_BLOCK as BLOCK;
use crate::record::{EvalContext, HostBlock};
use rayon::prelude::*;
use std::ops::Range;

/// Fewer elements times steps than this are not worth a second thread.
const PARALLEL: usize = 1 << 16;

/// Computes a program for all its elements. The values of a root stand where the first store goes.
pub fn run(program: &Program, totals: &[(Operand, Place)], rooted: bool, places: &mut Places<'_>, seed: [u32; 2]) {
    if rooted && program.is_plain() && totals.is_empty() {
        return;
    }
    let evaluator = Evaluator::new(program, places, seed);
    let targets: Vec<Place> = program.stores.iter().map(|store| Place::Tensor(store.tensor)).collect();
    let all: Vec<Place> = targets.iter().copied().chain(totals.iter().map(|(_, place)| *place)).collect();
    let blocks = program.elements.div_ceil(BLOCK);
    let work = program.elements * (program.steps.len() + 1);
    let threads = if work < PARALLEL { 1 } else { rayon::current_num_threads() };
    let per_part = blocks.div_ceil(threads).max(1);

    // Every part of the blocks with its part of what is written.
    let mut streams: Vec<_> = places
        .writes(&all)
        .into_iter()
        .enumerate()
        .map(|(number, words)| {
            let length = if number < targets.len() { per_part * BLOCK } else { per_part };
            words.chunks_mut(length)
        })
        .collect();
    let parts: Vec<(usize, Vec<&mut [u32]>)> = (0..blocks.div_ceil(per_part))
        .map(|part| (part * per_part, streams.iter_mut().filter_map(Iterator::next).collect()))
        .collect();
    let part = |(first, mut outs): (usize, Vec<&mut [u32]>)| {
        let mut registers = Registers::new(program);
        let last = (first + per_part).min(blocks);
        for block in first..last {
            let range = block * BLOCK..((block + 1) * BLOCK).min(program.elements);
            let own = (block - first) * BLOCK..(block - first) * BLOCK + range.len();
            let root: Vec<u32> = if rooted { outs[0][own.clone()].to_vec() } else { Vec::new() };
            evaluator.block(range, &root, &mut registers);
            for (store, out) in program.stores.iter().zip(outs.iter_mut()) {
                out[own.clone()].copy_from_slice(registers.value(store.value, &root, own.len()));
            }
            for ((value, _), out) in totals.iter().zip(outs.iter_mut().skip(program.stores.len())) {
                let values: &[f32] = bytemuck::cast_slice(registers.value(*value, &root, own.len()));
                out[block - first] = total(values).to_bits();
            }
        }
    };
    if parts.len() == 1 {
        parts.into_iter().for_each(part);
    } else {
        parts.into_par_iter().for_each(part);
    }
}

/// The sum of a block: eight running sums, so that few roundings come together, in an order that no number of
/// threads changes.
pub fn total(values: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let eights = values.chunks_exact(8);
    let rest: f32 = eights.remainder().iter().sum();
    for eight in eights {
        for (sum, x) in sums.iter_mut().zip(eight) {
            *sum += x;
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h)) + rest
}

/// A program with the memory that it loads from.
pub struct Evaluator<'a> {
    program: &'a Program,
    loads: Vec<Vec<(&'a [u32], Layout)>>,
    seed: [u32; 2],
}

/// The values of one block.
pub struct Registers<'a> {
    loads: Vec<Loaded<'a>>,
    steps: Vec<Vec<u32>>,
}

enum Loaded<'a> {
    /// As they lie in memory.
    Direct(&'a [u32]),
    /// Collected from where they lie.
    Collected(Vec<u32>),
}

impl Registers<'_> {
    /// Room for a block.
    pub fn new(program: &Program) -> Self {
        Self {
            loads: program.loads.iter().map(|_| Loaded::Direct(&[])).collect(),
            steps: program.steps.iter().map(|_| vec![0; BLOCK.min(program.elements)]).collect(),
        }
    }

    /// The values of an operand that is no place.
    pub fn value<'s>(&'s self, operand: Operand, root: &'s [u32], length: usize) -> &'s [u32] {
        match operand {
            Operand::Root => root,
            Operand::Load(number) => match &self.loads[number] {
                Loaded::Direct(words) => words,
                Loaded::Collected(words) => &words[..length],
            },
            Operand::Step(number) => &self.steps[number][..length],
            Operand::Index | Operand::Coordinate { .. } | Operand::Seed => &[],
        }
    }
}

impl<'a> Evaluator<'a> {
    /// With the memory of a dispatch.
    pub fn new(program: &'a Program, places: &Places<'a>, seed: [u32; 2]) -> Self {
        let memory = |access: &Access| (places.read(Place::Tensor(access.tensor)), access.layout.merged());
        let whole = |access: &Access| (places.read(Place::Tensor(access.tensor)), access.layout.clone());
        let loads = program
            .loads
            .iter()
            .map(|load| match load {
                Load::Plain(access) => vec![memory(access)],
                Load::Joined { parts, .. } => parts.iter().map(whole).collect(),
                Load::Padded { access, .. } => vec![whole(access)],
            })
            .collect();
        Self { program, loads, seed }
    }

    /// Computes the elements of a range, at most a block.
    pub fn block(&self, range: Range<usize>, root: &[u32], registers: &mut Registers<'a>) {
        let length = range.len();
        for (number, load) in self.program.loads.iter().enumerate() {
            let sources = &self.loads[number];
            registers.loads[number] = match load {
                Load::Plain(_) if sources[0].1.is_dense() => Loaded::Direct(&sources[0].0[range.clone()]),
                Load::Plain(_) => {
                    let mut words = reuse(&mut registers.loads[number], length);
                    collect(sources[0].0, &sources[0].1, range.start, &mut words[..length]);
                    Loaded::Collected(words)
                }
                Load::Joined { shape, axis, .. } => {
                    let mut words = reuse(&mut registers.loads[number], length);
                    for (word, index) in words.iter_mut().zip(range.clone()) {
                        *word = joined(sources, shape, *axis, index);
                    }
                    Loaded::Collected(words)
                }
                Load::Padded { shape, before, steps, .. } => {
                    let mut words = reuse(&mut registers.loads[number], length);
                    for (word, index) in words.iter_mut().zip(range.clone()) {
                        *word = padded(&sources[0], shape, before, steps, index);
                    }
                    Loaded::Collected(words)
                }
            };
        }
        for (number, step) in self.program.steps.iter().enumerate() {
            let mut out = std::mem::take(&mut registers.steps[number]);
            self.step(step, &range, root, registers, &mut out[..length]);
            registers.steps[number] = out;
        }
    }

    fn step(&self, step: &Step, range: &Range<usize>, root: &[u32], registers: &Registers<'_>, out: &mut [u32]) {
        // Indices and coordinates are made for the steps that ask for them.
        let made: Vec<Vec<u32>> = step
            .operands
            .iter()
            .map(|operand| match *operand {
                Operand::Index => range.clone().map(|index| index as u32).collect(),
                Operand::Coordinate { stride, extent } => {
                    range.clone().map(|index| (index / stride % extent) as u32).collect()
                }
                _ => Vec::new(),
            })
            .collect();
        let arguments: Vec<&[u32]> = step
            .operands
            .iter()
            .zip(&made)
            .map(
                |(operand, made)| {
                    if made.is_empty() { registers.value(*operand, root, out.len()) } else { made.as_slice() }
                },
            )
            .collect();
        if let Some(function) = &step.pointwise.host {
            function.call(&HostBlock { arguments: &arguments, seed: self.seed }, out);
            return;
        }
        let shape: Shape = [out.len()].into();
        let value = |(operand, words): (&Operand, &&[u32])| {
            let dtype = self.program.dtype(*operand);
            Value::<f32>::from_data(&shape, &HostData::from_bytes(dtype, bytemuck::cast_slice(words)))
        };
        let values: Vec<Value<f32>> = step.operands.iter().zip(&arguments).map(value).collect();
        let results = step.op.eval_f32(&values.iter().collect::<Vec<_>>(), &EvalContext { seed: self.seed });
        let host = results[0].to_host();
        out.copy_from_slice(bytemuck::cast_slice(host.data().bytes()));
    }
}

/// The room of a load, to be filled anew.
fn reuse(loaded: &mut Loaded<'_>, length: usize) -> Vec<u32> {
    match std::mem::replace(loaded, Loaded::Direct(&[])) {
        Loaded::Collected(words) if words.len() >= length => words,
        _ => vec![0; length.max(1)],
    }
}

/// Collects elements of a layout from an index on, run by run of its last axis.
fn collect(words: &[u32], layout: &Layout, first: usize, out: &mut [u32]) {
    let rank = layout.shape.rank();
    if rank == 0 {
        out.fill(words[layout.offset]);
        return;
    }
    let (extent, stride) = (layout.shape[rank - 1], layout.strides[rank - 1]);
    let mut done = 0;
    while done < out.len() {
        let index = first + done;
        let column = index % extent;
        let (mut rest, mut place) = (index / extent, layout.offset as isize);
        for axis in (0..rank - 1).rev() {
            place += (rest % layout.shape[axis]) as isize * layout.strides[axis];
            rest /= layout.shape[axis];
        }
        let length = (extent - column).min(out.len() - done);
        let run = &mut out[done..done + length];
        let start = place + column as isize * stride;
        match stride {
            0 => run.fill(words[start as usize]),
            1 => run.copy_from_slice(&words[start as usize..][..length]),
            _ => {
                for (step, word) in run.iter_mut().enumerate() {
                    *word = words[(start + step as isize * stride) as usize];
                }
            }
        }
        done += length;
    }
}

/// The coordinates of a row-major index, last axis first.
fn coordinates(shape: &Shape, index: usize) -> Vec<usize> {
    let mut rest = index;
    let mut coordinates = vec![0; shape.rank()];
    for axis in (0..shape.rank()).rev() {
        coordinates[axis] = rest % shape[axis];
        rest /= shape[axis];
    }
    coordinates
}

fn element((words, layout): &(&[u32], Layout), coordinates: &[usize]) -> u32 {
    let steps = coordinates.iter().zip(&layout.strides).map(|(&at, &stride)| at as isize * stride);
    words[(layout.offset as isize + steps.sum::<isize>()) as usize]
}

fn joined(parts: &[(&[u32], Layout)], shape: &Shape, axis: usize, index: usize) -> u32 {
    let mut at = coordinates(shape, index);
    for part in parts {
        let extent = part.1.shape[axis];
        if at[axis] < extent {
            return element(part, &at);
        }
        at[axis] -= extent;
    }
    0
}

fn padded(part: &(&[u32], Layout), shape: &Shape, before: &[usize], steps: &[usize], index: usize) -> u32 {
    let mut at = coordinates(shape, index);
    for axis in 0..at.len() {
        let Some(inside) = at[axis].checked_sub(before[axis]) else { return 0 };
        if inside % steps[axis] != 0 || inside / steps[axis] >= part.1.shape[axis] {
            return 0;
        }
        at[axis] = inside / steps[axis];
    }
    element(part, &at)
}

/// The number of words of a type: every element type of a tensor is one word.
const _: () = assert!(DType::BYTES == size_of::<u32>());
