//! Reductions on the host.

use super::memory::Places;
use super::pointwise::{Evaluator, Registers, total};
use crate::base::Layout;
use crate::fuse::{Place, Program};
use crate::plan::{HOST_BLOCK as BLOCK, Native, NativeRoot};
use crate::record::Reduction;
use rayon::prelude::*;

/// Elements that are added up in a row before their sum joins the others: long runs gather rounding.
const RUN: usize = 512;
/// Fewer elements than this are not worth a second thread.
const PARALLEL: usize = 1 << 16;

/// Reduces, and puts the results where the program's first store goes.
pub fn run(native: &Native, places: &mut Places<'_>, seed: [u32; 2]) {
    let NativeRoot::Reduce { reduce, node, input, partials } = &native.root else { return };
    let Some(store) = native.programs[0].1.stores.first() else { return };
    let target = Place::Tensor(store.tensor);
    let combined = |data: &[f32]| reduced_by(reduce.kind, data, &input.layout, &reduce.axes);
    if partials.is_some() {
        let sum = total(bytemuck::cast_slice(places.read(Place::Partial(*node))));
        places.write(target)[0] = sum.to_bits();
        return;
    }
    // A slice from the front is dense as well, and not all of what the prologue computes.
    let computed = native.prologue.as_ref().map_or(0, |program| program.elements);
    let everything = input.layout.is_dense()
        && reduce.axes.len() == input.layout.shape.rank()
        && input.layout.shape.elements() == computed;
    let results = match &native.prologue {
        Some(program) if everything && reduce.kind == Reduction::Sum => {
            vec![total(&block_sums(program, places, seed))]
        }
        Some(program) => {
            let values = evaluated(program, places, seed);
            combined(&values)
        }
        None => combined(bytemuck::cast_slice(places.read(Place::Tensor(input.tensor)))),
    };
    places.write(target).copy_from_slice(bytemuck::cast_slice(&results));
}

/// A loop for every kind of reduction, so that each becomes vector code.
fn reduced_by(kind: Reduction, data: &[f32], layout: &Layout, axes: &[usize]) -> Vec<f32> {
    match kind {
        Reduction::Sum => reduced(data, layout, axes, |a, b| a + b),
        // Not `max` and `min`, which drop NaN.
        Reduction::Max => reduced(data, layout, axes, |a, b| if b > a || b.is_nan() { b } else { a }),
        Reduction::Min => reduced(data, layout, axes, |a, b| if b < a || b.is_nan() { b } else { a }),
    }
}

/// Combines neighbours: every lane each eighth of them, then the lanes, and what is left, in order.
fn run_of(values: &[f32], combine: impl Fn(f32, f32) -> f32) -> f32 {
    const LANES: usize = 8;
    let (chunks, rest) = values.as_chunks::<LANES>();
    let Some((first, others)) = chunks.split_first() else {
        return rest.iter().copied().reduce(combine).unwrap_or_default();
    };
    let mut lanes = *first;
    for chunk in others {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = combine(*lane, x);
        }
    }
    lanes.iter().chain(rest).copied().reduce(combine).unwrap_or_default()
}

/// The sums of the blocks of what a program computes.
fn block_sums(program: &Program, places: &Places<'_>, seed: [u32; 2]) -> Vec<f32> {
    let evaluator = Evaluator::new(program, places, seed);
    let blocks = program.elements.div_ceil(BLOCK);
    if blocks < 16 {
        let mut registers = Registers::new(program);
        return (0..blocks).map(|block| block_sum(program, &evaluator, &mut registers, block)).collect();
    }
    let sum = |registers: &mut _, block| block_sum(program, &evaluator, registers, block);
    (0..blocks).into_par_iter().map_init(|| Registers::new(program), sum).collect()
}

fn block_sum<'a>(program: &Program, evaluator: &Evaluator<'a>, registers: &mut Registers<'a>, block: usize) -> f32 {
    let range = block * BLOCK..((block + 1) * BLOCK).min(program.elements);
    let length = range.len();
    evaluator.block(range, &[], registers);
    total(bytemuck::cast_slice(registers.value(program.stores[0].value, &[], length)))
}

/// All elements of what a program computes.
fn evaluated(program: &Program, places: &Places<'_>, seed: [u32; 2]) -> Vec<f32> {
    let evaluator = Evaluator::new(program, places, seed);
    let mut values = vec![0.0f32; program.elements];
    values.par_chunks_mut(BLOCK).enumerate().for_each_init(
        || Registers::new(program),
        |registers, (block, out)| {
            let first = block * BLOCK;
            evaluator.block(first..first + out.len(), &[], registers);
            out.copy_from_slice(bytemuck::cast_slice(registers.value(program.stores[0].value, &[], out.len())));
        },
    );
    values
}

/// Combines the elements of a layout along axes.
fn reduced(data: &[f32], layout: &Layout, axes: &[usize], combine: impl Fn(f32, f32) -> f32 + Copy + Sync) -> Vec<f32> {
    let kept: Vec<usize> = (0..layout.shape.rank()).filter(|axis| !axes.contains(axis)).collect();
    let part = |axes: &[usize]| {
        Layout {
            shape: axes.iter().map(|&axis| layout.shape[axis]).collect::<Vec<_>>().into(),
            strides: axes.iter().map(|&axis| layout.strides[axis]).collect(),
            offset: 0,
        }
        .merged()
    };
    let (outputs, inner) = (part(&kept), part(axes));
    let places = offsets(&inner);
    let mut results = vec![0.0; outputs.shape.elements()];
    let last = outputs.strides.last().copied();
    if last == Some(1) && outputs.shape.last() >= 8 {
        // Neighbouring results lie next to one another: whole rows are combined at once.
        let width = outputs.shape.last();
        let rows = Layout {
            shape: outputs.shape[..outputs.shape.rank() - 1].into(),
            strides: outputs.strides[..outputs.shape.rank() - 1].to_vec(),
            offset: layout.offset,
        };
        for (row, start) in results.chunks_mut(width).zip(offsets(&rows)) {
            let line = |place: isize| &data[(start + place) as usize..][..width];
            let mut run = vec![0.0; width];
            for (number, run_places) in places.chunks(RUN).enumerate() {
                run.copy_from_slice(line(run_places[0]));
                for &place in &run_places[1..] {
                    for (a, &b) in run.iter_mut().zip(line(place)) {
                        *a = combine(*a, b);
                    }
                }
                for (result, &x) in row.iter_mut().zip(&run) {
                    *result = if number == 0 { x } else { combine(*result, x) };
                }
            }
        }
        return results;
    }
    let starts = offsets(&Layout { offset: layout.offset, ..outputs });
    // Every result by itself: threads do not change it.
    let all = |one: &(dyn Fn(isize) -> f32 + Sync)| {
        if results.len() > 1 && data.len() >= PARALLEL {
            starts.par_iter().map(|&start| one(start)).collect()
        } else {
            starts.iter().map(|&start| one(start)).collect()
        }
    };
    if inner.strides.last() == Some(&1) {
        let (outer, length) = (inner.shape.rank() - 1, inner.shape.last());
        let lines = offsets(&Layout {
            shape: inner.shape[..outer].into(),
            strides: inner.strides[..outer].to_vec(),
            offset: 0,
        });
        return all(&|start| {
            let runs =
                |&line: &isize| data[(start + line) as usize..][..length].chunks(RUN).map(|run| run_of(run, combine));
            // Short lines are combined in groups, so that no long chain of them gathers rounding.
            let group = |group: &[isize]| group.iter().flat_map(runs).reduce(combine).unwrap_or_default();
            lines.chunks((RUN / length).max(1)).map(group).reduce(combine).unwrap_or_default()
        });
    }
    all(&|start| {
        let runs = places.chunks(RUN).map(|run| {
            let mut values = run.iter().map(|place| data[(start + place) as usize]);
            let first = values.next().unwrap_or_default();
            values.fold(first, combine)
        });
        runs.reduce(combine).unwrap_or_default()
    })
}

/// Where the elements of a layout lie, in order.
fn offsets(layout: &Layout) -> Vec<isize> {
    let mut places = vec![layout.offset as isize];
    for (&extent, &stride) in layout.shape.iter().zip(&layout.strides) {
        places = places.iter().flat_map(|&place| (0..extent as isize).map(move |i| place + i * stride)).collect();
    }
    places
}
