//! Fused pointwise ops on the host: block by block, so that values between ops stay in the first cache.

use super::loads::{Padding, Source, collect, coordinates, joined};
use super::memory::Places;
use crate::base::{DType, HostData, Shape, Value};
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
    loads: Vec<Vec<Source<'a>>>,
    paddings: Vec<Option<Padding>>,
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
        let padding = |load: &Load| match load {
            Load::Padded { shape, access, before, steps } => Some(Padding::new(shape, &access.layout, before, steps)),
            _ => None,
        };
        let paddings = program.loads.iter().map(padding).collect();
        Self { program, loads, paddings, seed }
    }

    /// Computes the elements of a range, at most a block.
    pub fn block(&self, range: Range<usize>, root: &[u32], registers: &mut Registers<'a>) {
        let length = range.len();
        for (number, load) in self.program.loads.iter().enumerate() {
            let sources = &self.loads[number];
            if matches!(load, Load::Plain(_)) && sources[0].1.is_dense() {
                registers.loads[number] = Loaded::Direct(&sources[0].0[range.clone()]);
                continue;
            }
            let mut words = reuse(&mut registers.loads[number], length);
            let out = &mut words[..length];
            match (load, &self.paddings[number]) {
                (Load::Joined { shape, axis, .. }, _) => joined(sources, shape, *axis, range.start, out),
                (_, Some(padding)) => padding.fill(sources[0].0, range.start, out),
                _ => collect(&sources[0], range.start, out),
            }
            registers.loads[number] = Loaded::Collected(words);
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
                    let mut made = vec![0; range.len()];
                    coordinates(range.start, stride, extent, &mut made);
                    made
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

/// The number of words of a type: every element type of a tensor is one word.
const _: () = assert!(DType::BYTES == size_of::<u32>());
