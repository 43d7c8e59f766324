//! Sums of what belongs together, without atomics: y[outer, v, inner] = the sum of g[outer, k, inner] over all k whose index
//! is v. Indices are sorted first, so that the terms of a sum stand side by side; they are added in the order of k.

use super::elementwise::integers;
use crate::base::{Real, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Dispatched, Domain, DomainAxis, Draw, EvalContext, Follows, HostKernel,
    Kernel, LowerContext, Lowering, Op, Operand, Parts, Reference, Tensor, Text, Vjp, grid, libraries,
};
use ndarray::{Array1, Array3};
use std::ops::Range;
use std::sync::Arc;

/// Most indices: 64 lanes share a sum, and software adapters stop loops after 65,535 iterations.
const MOST_INDICES: usize = 64 * LONGEST_LOOP;
const LONGEST_LOOP: usize = 32_768;

/// Indices in ascending order, and the places where they stood; equal ones in the order of their places.
#[derive(Debug)]
struct SortIndex;

impl Op for SortIndex {
    fn name(&self) -> &'static str {
        "sort_index"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        integers(inputs[0])?;
        let shape = &inputs[0].shape;
        if shape.rank() != 1 || shape[0] > MOST_INDICES {
            return Err(format!("indices {shape} need one axis, with at most {MOST_INDICES} of them"));
        }
        Ok(vec![inputs[0].clone(), inputs[0].clone()])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let count = cx.inputs[0].shape[0];
        let workgroups = grid(count.div_ceil(64));
        let passes = count.next_power_of_two().trailing_zeros().max(1);
        let mut stages = Vec::new();
        let scratch = |pass: u32| [0, 1].map(|array| Operand::Scratch((pass % 2) as usize * 2 + array));
        for pass in 0..passes {
            let mut text = Text::new(include_str!("../../shaders/merge_sorted.wgsl"), &[])
                .unsigned("COUNT", count)
                .unsigned("WIDTH", 1 << pass)
                .unsigned("GRID_WIDTH", workgroups[0] as usize);
            let reads = if pass == 0 {
                let body = "fn place_of(element: u32) -> i32 {\n    return i32(element);\n}";
                text = text.function("place_of", body.into());
                [Operand::Input(0); 2]
            } else {
                scratch(pass - 1)
            };
            let last = pass + 1 == passes;
            let writes = if last { [Operand::Output(0), Operand::Output(1)] } else { scratch(pass) };
            stages.push(Dispatched {
                name: "merge_sorted",
                text,
                reads: reads.to_vec(),
                writes: writes.to_vec(),
                loads: Vec::new(),
                stores: Vec::new(),
                uses_step: false,
                workgroups,
            });
        }
        let host = HostKernel::new(|inputs, outputs| {
            let mut pairs: Vec<(i32, u32)> =
                inputs[0].iter().zip(0..).map(|(&key, place)| (key.cast_signed(), place)).collect();
            pairs.sort_unstable();
            for (number, (key, place)) in pairs.into_iter().enumerate() {
                outputs[0][number] = key.cast_unsigned();
                outputs[1][number] = place;
            }
        });
        let scratch = if passes > 1 { vec![count; 4] } else { Vec::new() };
        Lowering::Kernel(Kernel { stages, scratch, any_layout: vec![false], host: Some(host) })
    }
}

impl Reference for SortIndex {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let mut pairs: Vec<(i64, i32)> = inputs[0].integers().iter().copied().zip(0..).collect();
        pairs.sort_unstable();
        let (keys, places): (Vec<i32>, Vec<i32>) = pairs.into_iter().map(|(key, place)| (key as i32, place)).unzip();
        vec![Value::I32(Array1::from(keys).into_dyn()), Value::I32(Array1::from(places).into_dyn())]
    }
}

/// Input 0 is `[outer, indices, inner]`; inputs 1 and 2 are its sorted indices and their places.
#[derive(Debug)]
struct SegmentSum {
    entries: usize,
    /// The key of the first entry.
    first: usize,
}

impl Op for SegmentSum {
    fn name(&self) -> &'static str {
        "segment_sum"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(&inputs[..1])?;
        integers(inputs[1])?;
        integers(inputs[2])?;
        let g = &inputs[0].shape;
        if g.rank() != 3 || inputs[1].shape[..] != [g[1]] || inputs[2].shape[..] != [g[1]] {
            return Err(format!("{g} needs as many sorted indices, not {} and {}", inputs[1].shape, inputs[2].shape));
        }
        Ok(vec![TensorType::f32([g[0], self.entries, g[2]])])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        // Every term gets the gradient of its sum: the sums by sorted index, put back to their places.
        let (keys, places, c) = (cx.inputs[1], cx.inputs[2], cx.cotangent());
        let sorted_gradients = c.index_select(1, keys);
        let (_, back) = sorted(places);
        Cotangents::Inputs(vec![Some(sorted_gradients.index_select(1, back)), None, None])
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let (g, y) = (&cx.inputs[0].shape, &cx.outputs[0].shape);
        let (indices, entries, inner, count) = (g[1], self.entries, g[2], y.elements());
        let first = self.first;
        // A lane for every element is best, but no loop may be too long where all indices are equal.
        let lanes = indices.div_ceil(LONGEST_LOOP).next_power_of_two();
        let workgroups = grid(count.div_ceil(64 / lanes));
        let text = Text::new(include_str!("../../shaders/segment_sum.wgsl"), &[&libraries::ROWS])
            .unsigned("COUNT", count)
            .unsigned("INDICES", indices)
            .unsigned("ENTRIES", entries)
            .unsigned("FIRST", first)
            .unsigned("INNER", inner)
            .unsigned("LANES", lanes)
            .unsigned("ELEMENTS_PER_GROUP", 64 / lanes)
            .unsigned("GRID_WIDTH", workgroups[0] as usize);
        let stage = Dispatched {
            name: "segment_sum",
            text,
            reads: (0..3).map(Operand::Input).collect(),
            writes: vec![Operand::Output(0)],
            loads: vec![(0, "g"), (1, "keys"), (2, "places")],
            stores: vec![(0, "y")],
            uses_step: false,
            workgroups,
        };
        let host = HostKernel::new(move |inputs, outputs| {
            let from: &[f32] = bytemuck::cast_slice(inputs[0]);
            let to: &mut [f32] = bytemuck::cast_slice_mut(outputs[0]);
            to.fill(0.0);
            for outer in 0..from.len() / (indices * inner) {
                for (&key, &place) in inputs[1].iter().zip(inputs[2]) {
                    let entry = (key as usize).wrapping_sub(first);
                    if entry < entries {
                        let sum = &mut to[(outer * entries + entry) * inner..][..inner];
                        let terms = &from[(outer * indices + place as usize) * inner..][..inner];
                        sum.iter_mut().zip(terms).for_each(|(sum, x)| *sum += x);
                    }
                }
            }
        });
        let any_layout = vec![false; 3];
        Lowering::Kernel(Kernel { stages: vec![stage], scratch: Vec::new(), any_layout, host: Some(host) })
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        // The axes are outer, entries and inner. Places are those of the whole of g.
        let g = &inputs[0].shape;
        let axis = |extent: usize| DomainAxis { extent, parts: Parts::Join };
        let [outer, entries, inner] = [0, 1, 2].map(|axis| Some(Follows::same(axis)));
        Some(Domain {
            axes: vec![axis(g[0]), axis(self.entries), axis(g[2])],
            inputs: vec![vec![outer, None, inner], vec![None], vec![None]],
            outputs: vec![vec![outer, entries, inner]],
        })
    }
    fn part(&self, _domain: &Domain, ranges: &[Range<usize>]) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { entries: ranges[1].len(), first: self.first + ranges[1].start }))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("entries", self.entries).with("first", self.first)
    }
}

impl Reference for SegmentSum {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (g, keys, places) = (inputs[0].real(), inputs[1].integers(), inputs[2].integers());
        let mut sums = Array3::zeros((g.shape()[0], self.entries, g.shape()[2]));
        for (key, place) in keys.iter().zip(&places) {
            let entry = usize::try_from(*key).ok().and_then(|key| key.checked_sub(self.first));
            let Some(entry) = entry.filter(|&entry| entry < self.entries) else { continue };
            for outer in 0..g.shape()[0] {
                for inner in 0..g.shape()[2] {
                    let sum = &mut sums[[outer, entry, inner]];
                    *sum = *sum + g[[outer, *place as usize, inner]];
                }
            }
        }
        vec![Value::Real(sums.into_dyn())]
    }
}

/// Indices in ascending order, and the places where they stood.
#[track_caller]
pub(super) fn sorted(index: Tensor<'_>) -> (Tensor<'_>, Tensor<'_>) {
    let outputs = index.graph().record_outputs(SortIndex, &[index], 2);
    (outputs[0], outputs[1])
}

/// The sums by entry of `[outer, indices, inner]`: `[outer, entries, inner]`.
#[track_caller]
pub(super) fn segment_sum<'g>(g: Tensor<'g>, keys: Tensor<'g>, places: Tensor<'g>, entries: usize) -> Tensor<'g> {
    g.graph().record(SegmentSum { entries, first: 0 }, &[g, keys, places])
}

pub(super) fn cases() -> Vec<Case> {
    let of = |g: &[usize], entries: usize| {
        vec![CaseInput::uniform(g, -1.0, 1.5), CaseInput::new([g[1]], Draw::Labels { below: entries })]
    };
    let sum = |x: &[Tensor<'_>], entries: usize| {
        let (keys, places) = sorted(x[1]);
        segment_sum(x[0], keys, places, entries).id()
    };
    let index = |n: usize, below: usize| vec![CaseInput::new([n], Draw::Labels { below })];
    vec![
        Case::new("rows", of(&[1, 37, 5], 9), move |x| x[0].graph().at(sum(x, 9)).sin()),
        Case::new("planes", of(&[3, 13, 2], 5), move |x| x[0].graph().at(sum(x, 5)).sin()),
        Case::new("one of each, and none", of(&[1, 4, 1], 65), move |x| x[0].graph().at(sum(x, 65)).sin()),
        Case::new("all in one", of(&[1, 1025, 3], 1), move |x| x[0].graph().at(sum(x, 1)) * 0.1),
        Case::new("more than a loop may have", of(&[1, 70_001, 1], 1), move |x| x[0].graph().at(sum(x, 1)) * 1e-3),
        Case::new("one index", index(1, 4), |x| sorted(x[0]).1).value_only(),
        Case::new("keys", index(1025, 300), |x| sorted(x[0]).0).value_only(),
        Case::new("places", index(1000, 40), |x| sorted(x[0]).1).value_only(),
    ]
}
