//! Entries of a table by their numbers: y[outer, k, inner] = x[outer, index[k], inner]. The gradient of an entry is the sum
//! of those of all places where it was taken: by a product with one-hot rows where the table is small, else the places are
//! sorted by entry, and each entry's are added up in the order of their places. No atomics, so the same bits every time.

use super::elements;
use super::elementwise::integers;
use super::segment_sum::{segment_sum, sorted};
use crate::base::{Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Domain, DomainAxis, Draw, EvalContext, Follows, HostKernel, LowerContext,
    Lowering, Op, Parts, Reference, Tensor, Text, Vjp, libraries,
};
use ndarray::Array3;
use std::ops::Range;
use std::sync::Arc;

/// Tables with at most so many entries times indices have their gradient as a matrix product.
const ONE_HOT: usize = 1 << 18;

/// Input 0 is `[outer, entries, inner]`, input 1 `[indices]`. Input 0 may be a part of a table: what other parts hold is
/// zero, so that the results of all parts add up to that of the table.
#[derive(Debug, Default)]
struct Take {
    /// The part that input 0 is: its first entry, and how many the table has.
    part: Option<(usize, usize)>,
}

impl Take {
    /// The first entry of input 0 in its table, and how many that has.
    fn entries(&self, x: &Shape) -> (usize, usize) {
        self.part.unwrap_or((0, x[1]))
    }
}

impl Op for Take {
    fn name(&self) -> &'static str {
        "take"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(&inputs[..1])?;
        integers(inputs[1])?;
        let (x, index) = (&inputs[0].shape, &inputs[1].shape);
        if x.rank() != 3 || index.rank() != 1 {
            return Err(format!("a table of three axes and indices along one are needed, not {x} and {index}"));
        }
        Ok(vec![TensorType::f32([x[0], index[0], x[2]])])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (x, index, g) = (cx.inputs[0], cx.inputs[1], cx.cotangent());
        Cotangents::Inputs(vec![Some(summed(g, index, x.shape()[1])), None])
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        // The axes are outer, indices, inner and entries.
        let (x, index) = (&inputs[0].shape, &inputs[1].shape);
        let axis = |extent: usize, parts: Parts| DomainAxis { extent, parts };
        let [outer, indices, inner, entries] = [0, 1, 2, 3].map(|axis| Some(Follows::same(axis)));
        Some(Domain {
            axes: vec![
                axis(x[0], Parts::Join),
                axis(index[0], Parts::Join),
                axis(x[2], Parts::Join),
                axis(x[1], Parts::Add),
            ],
            inputs: vec![vec![outer, entries, inner], vec![indices]],
            outputs: vec![vec![outer, indices, inner]],
        })
    }
    fn part(&self, domain: &Domain, ranges: &[Range<usize>]) -> Option<Arc<dyn Op>> {
        let all = domain.axes[3].extent;
        (ranges[3] != (0..all)).then(|| Arc::new(Self { part: Some((ranges[3].start, all)) }) as Arc<dyn Op>)
    }
    fn attributes(&self) -> Attributes {
        self.part.map_or_else(Attributes::default, |part| Attributes::default().with("part", part))
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let (x, y) = (&cx.inputs[0].shape, &cx.outputs[0].shape);
        let (entries, indices, inner) = (x[1], y[1], x[2]);
        let (first, all) = self.entries(x);
        let text = Text::new(include_str!("../../shaders/take.wgsl"), &[&libraries::NUMBERS])
            .unsigned("INDICES", indices)
            .unsigned("ENTRIES", entries)
            .unsigned("FIRST", first)
            .unsigned("ALL", all)
            .unsigned("INNER", inner);
        let host = HostKernel::new(move |inputs, outputs| {
            let rows = outputs[0].chunks_exact_mut(inner);
            for (number, to) in rows.enumerate() {
                let named = inputs[1][number % indices] as usize;
                let entry = named.wrapping_sub(first);
                if entry < entries {
                    let from = (number / indices * entries + entry) * inner;
                    to.copy_from_slice(&inputs[0][from..from + inner]);
                } else {
                    to.fill(if named < all { 0.0 } else { f32::NAN }.to_bits());
                }
            }
        });
        elements::lower("take", text, y.elements(), 1, cx.class, &["x", "index"], &["y"], host)
    }
    fn index_limit(&self, input: usize, inputs: &[&TensorType]) -> Option<usize> {
        (input == 1).then(|| self.entries(&inputs[0].shape).1)
    }
}

/// For `[outer, indices, inner]`, the sum of what stands at each entry: `[outer, entries, inner]`.
#[track_caller]
pub(super) fn summed<'g>(g: Tensor<'g>, index: Tensor<'g>, entries: usize) -> Tensor<'g> {
    let shape = g.shape();
    // A product with NaN in a row, as where a computed index lies outside, would spread it to all entries.
    let computed = g.graph().is_computed(index);
    if entries.saturating_mul(shape[1]) <= ONE_HOT && shape[2] >= 8 && !computed {
        let rows = index.one_hot(entries).transpose();
        if shape[0] == 1 {
            return rows.matmul(g.reshape([shape[1], shape[2]])).unsqueeze(0);
        }
        return rows.unsqueeze(0).broadcast_to([shape[0], entries, shape[1]]).matmul(g);
    }
    let (keys, places) = sorted(index);
    segment_sum(g, keys, places, entries)
}

impl Reference for Take {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (x, index) = (inputs[0].real(), inputs[1].integers());
        let shape = x.shape();
        let (first, all) = self.entries(&shape.into());
        let value = |(outer, k, inner): (usize, usize, usize)| match usize::try_from(index[k]) {
            Ok(entry) if entry < all => match entry.checked_sub(first) {
                Some(entry) if entry < shape[1] => x[[outer, entry, inner]],
                _ => T::zero(),
            },
            _ => T::nan(),
        };
        vec![Value::Real(Array3::from_shape_fn((shape[0], index.len(), shape[2]), value).into_dyn())]
    }
}

impl Tensor<'_> {
    /// The rows of this table `[entries, size]` that `index` (`i32`, any shape) names: `[.., size]`.
    ///
    /// Indices that are fed are checked then. One that is computed and lies outside of the table gives NaN, and is reported
    /// when anything is read from the step.
    #[must_use]
    #[track_caller]
    pub fn embedding(self, index: Self) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        if self.is_valid() && shape.rank() != 2 {
            return self.graph.fault("embedding", &[self, index], "the table needs two axes: entries and size");
        }
        if let (true, Err(reason)) = (index.is_valid(), integers(&index.tensor_type())) {
            return self.graph.fault("embedding", &[self, index], reason);
        }
        let flat = index.flat();
        index.graph.check_index("embedding", index, shape.first().copied().unwrap_or(1));
        let extents: Vec<usize> = index.shape().iter().copied().chain([shape.last()]).collect();
        self.graph.record(Take::default(), &[self.unsqueeze(0), flat]).reshape(extents)
    }

    /// As [`embedding`](Self::embedding) with indices along one axis that need no check.
    #[track_caller]
    pub(super) fn embedding_unchecked(self, index: Self) -> Self {
        self.graph.record(Take::default(), &[self.unsqueeze(0), index]).squeeze(0)
    }

    /// The entries along an axis that `index` (`i32`, one axis) names, in its order; one may be named several times.
    /// The axis then is as long as `index`. Indices are checked as in [`embedding`](Self::embedding).
    #[must_use]
    #[track_caller]
    pub fn index_select(self, axis: isize, index: Self) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        let axis = match shape.axis(axis) {
            Ok(axis) => axis,
            Err(reason) => return self.graph.fault("index_select", &[self, index], reason),
        };
        if index.is_valid() && index.rank() != 1 {
            return self.graph.fault("index_select", &[self, index], "the indices need exactly one axis");
        }
        index.graph.check_index("index_select", index, shape[axis]);
        let (outer, inner) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
        let table = self.reshape([outer, shape[axis], inner]);
        let mut extents = shape.to_vec();
        extents[axis] = index.shape().elements();
        self.graph.record(Take::default(), &[table, index]).reshape(extents)
    }

    /// The same elements along one axis.
    #[track_caller]
    pub(super) fn flat(self) -> Self {
        self.reshape([self.shape().elements()])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let of = |table: &[usize], index: &[usize], entries: usize| {
        vec![CaseInput::uniform(table, -1.0, 1.0), CaseInput::new(index, Draw::Labels { below: entries })]
    };
    vec![
        Case::new("embedding", of(&[7, 9], &[3, 5], 7), |x| x[0].embedding(x[1]).sin()),
        Case::new("few columns", of(&[7, 3], &[65], 7), |x| x[0].embedding(x[1]).sin()),
        Case::new("large table", of(&[3001, 5], &[130], 3001), |x| x[0].embedding(x[1]).sin()),
        Case::new("one entry", of(&[1, 4], &[6], 1), |x| x[0].embedding(x[1]).sin()),
        Case::new("select, first axis", of(&[6, 4, 3], &[8], 6), |x| x[0].index_select(0, x[1]).sin()),
        Case::new("select, middle axis", of(&[3, 6, 4], &[5], 6), |x| x[0].index_select(1, x[1]).sin()),
        Case::new("select, last axis of a view", of(&[6, 3, 4], &[9], 6), |x| {
            x[0].permute([1, 2, 0]).index_select(-1, x[1]).sin()
        }),
        Case::new("select, many columns in planes", of(&[2, 5, 9], &[7], 5), |x| x[0].index_select(1, x[1]).sin()),
    ]
}
