//! Attention on the host: blocks of rows at a time, so that scores stay in the cache.

use super::parts::{Attention, Part, Sizes};
use crate::base::{MatrixRef, Real, multiply};
use rayon::prelude::*;

/// Rows of a block.
const BLOCK: usize = 64;

/// Computes a part of [`Attention`] from the elements of its inputs.
pub(super) fn run(attention: Attention, sizes: Sizes, inputs: &[&[u32]], outputs: &mut [&mut [u32]]) {
    let arrays: Vec<&[f32]> = inputs.iter().map(|words| bytemuck::cast_slice(words)).collect();
    let mask = if attention.masked { inputs[inputs.len() - 1] } else { &[] };
    let job = Job { attention, sizes, arrays, mask };
    let (rows, width) = match attention.part {
        Part::Forward => (sizes.queries, sizes.value_size),
        Part::Query => (sizes.queries, sizes.size),
        Part::Key => (sizes.keys, sizes.size),
        Part::Value => (sizes.keys, sizes.value_size),
    };
    // Every block of every plane, with its part of what is written.
    let (first, rest) = outputs.split_at_mut(1);
    let mut totals = rest.first_mut().map(|totals| totals.chunks_mut(rows));
    let mut jobs = Vec::new();
    for (plane, to) in first[0].chunks_mut(rows * width).enumerate() {
        let mut own = totals.as_mut().and_then(Iterator::next).map(|own| own.chunks_mut(BLOCK));
        for (block, to) in to.chunks_mut(BLOCK * width).enumerate() {
            jobs.push((plane, block * BLOCK, to, own.as_mut().and_then(Iterator::next)));
        }
    }
    jobs.into_par_iter().for_each(|(plane, start, to, totals)| {
        let to: &mut [f32] = bytemuck::cast_slice_mut(to);
        match attention.part {
            Part::Forward => job.forward(plane, start, to, totals.map_or(&mut [], |own| bytemuck::cast_slice_mut(own))),
            Part::Query => job.query(plane, start, to),
            Part::Key | Part::Value => job.key(plane, start, to),
        }
    });
}

struct Job<'a> {
    attention: Attention,
    sizes: Sizes,
    arrays: Vec<&'a [f32]>,
    mask: &'a [u32],
}

impl Job<'_> {
    /// Some rows of an input's plane, of so many elements each.
    fn rows(&self, input: usize, plane: usize, length: usize, start: usize, width: usize) -> MatrixRef<'_> {
        let data = self.arrays[input];
        MatrixRef { start: (plane * length + start) * width, ..MatrixRef::dense(data, width) }
    }

    fn sees(&self, plane: usize, query: usize, key: usize) -> bool {
        if self.attention.causal && key > query {
            return false;
        }
        let planes = self.sizes.mask_planes;
        planes == 0 || self.mask[((plane % planes) * self.sizes.queries + query) * self.sizes.keys + key] != 0
    }

    /// Scores of some queries and keys, row by row; those that do not count are -infinity.
    fn scores(&self, plane: usize, queries: [usize; 2], keys: [usize; 2]) -> Vec<f32> {
        let Sizes { size, .. } = self.sizes;
        let (height, width) = (queries[1] - queries[0], keys[1] - keys[0]);
        let q = self.rows(0, plane, self.sizes.queries, queries[0], size);
        let k = self.rows(1, plane, self.sizes.keys, keys[0], size).transposed();
        let mut scores = vec![0.0; height * width];
        multiply(&q, &k, &mut scores, width, [height, size, width], false, false);
        let scale = self.attention.scale as f32;
        for (row, scores) in scores.chunks_exact_mut(width).enumerate() {
            let query = queries[0] + row;
            for score in scores.iter_mut() {
                *score *= scale;
            }
            if self.attention.masked || (self.attention.causal && keys[1] > query) {
                for (column, score) in scores.iter_mut().enumerate() {
                    if !self.sees(plane, query, keys[0] + column) {
                        *score = f32::NEG_INFINITY;
                    }
                }
            }
        }
        scores
    }

    /// How many keys some queries may see.
    fn reach(&self, last: usize) -> usize {
        if self.attention.causal { last.min(self.sizes.keys) } else { self.sizes.keys }
    }

    fn forward(&self, plane: usize, start: usize, y: &mut [f32], totals: &mut [f32]) {
        let Sizes { keys, value_size, .. } = self.sizes;
        let height = y.len() / value_size;
        let width = self.reach(start + height);
        let mut p = self.scores(plane, [start, start + height], [0, width]);
        for (number, (row, total)) in p.chunks_exact_mut(width).zip(totals).enumerate() {
            *total = softmax(row, || (0..width).any(|key| self.sees(plane, start + number, key)));
        }
        let v = self.rows(2, plane, keys, 0, value_size);
        multiply(&MatrixRef::dense(&p, width), &v, y, value_size, [height, width, value_size], false, false);
    }

    fn query(&self, plane: usize, start: usize, dq: &mut [f32]) {
        let Sizes { queries, keys, size, value_size, .. } = self.sizes;
        let height = dq.len() / size;
        let width = self.reach(start + height);
        let ds = self.score_gradient(plane, [start, start + height], [0, width], value_size, queries, keys);
        let k = self.rows(1, plane, keys, 0, size);
        multiply(&MatrixRef::dense(&ds, width), &k, dq, size, [height, width, size], false, false);
    }

    fn key(&self, plane: usize, start: usize, to: &mut [f32]) {
        let Sizes { queries, keys, size, value_size, .. } = self.sizes;
        let of_value = self.attention.part == Part::Value;
        let columns = if of_value { value_size } else { size };
        let width = to.len() / columns;
        // Earlier queries see none of these keys.
        let first = if self.attention.causal { start.min(queries) } else { 0 };
        let mut adds = false;
        to.fill(0.0);
        for from in (first..queries).step_by(4 * BLOCK) {
            let until = (from + 4 * BLOCK).min(queries);
            let range = ([from, until], [start, start + width]);
            let (weights, rows) = if of_value {
                (self.weights(plane, range.0, range.1, 3), self.rows(2, plane, queries, from, value_size))
            } else {
                let ds = self.score_gradient(plane, range.0, range.1, value_size, queries, keys);
                (ds, self.rows(0, plane, queries, from, size))
            };
            let weights = MatrixRef::dense(&weights, width).transposed();
            multiply(&weights, &rows, to, columns, [width, until - from, columns], adds, false);
            adds = true;
        }
    }

    /// p of some queries and keys; t is this input.
    fn weights(&self, plane: usize, queries: [usize; 2], keys: [usize; 2], totals: usize) -> Vec<f32> {
        let mut p = self.scores(plane, queries, keys);
        let width = keys[1] - keys[0];
        let totals = &self.arrays[totals][plane * self.sizes.queries + queries[0]..];
        pulp::Arch::new().dispatch(|| {
            for (row, &total) in p.chunks_exact_mut(width).zip(totals) {
                for score in row.iter_mut() {
                    *score = Real::exponential(*score - total);
                }
            }
        });
        p
    }

    /// ds of some queries and keys, times the scale.
    fn score_gradient(
        &self,
        plane: usize,
        queries: [usize; 2],
        keys: [usize; 2],
        value_size: usize,
        all_queries: usize,
        all_keys: usize,
    ) -> Vec<f32> {
        let (height, width) = (queries[1] - queries[0], keys[1] - keys[0]);
        let p = self.weights(plane, queries, keys, 4);
        let g = self.rows(3, plane, all_queries, queries[0], value_size);
        let v = self.rows(2, plane, all_keys, keys[0], value_size).transposed();
        let mut ds = vec![0.0; height * width];
        multiply(&g, &v, &mut ds, width, [height, value_size, width], false, false);
        let deltas = &self.arrays[5][plane * all_queries + queries[0]..];
        let scale = self.attention.scale as f32;
        for ((ds, p), &delta) in ds.chunks_exact_mut(width).zip(p.chunks_exact(width)).zip(deltas) {
            ds.iter_mut().zip(p).for_each(|(ds, &p)| *ds = p * (*ds - delta) * scale);
        }
        ds
    }
}

/// Turns scores into their softmax, and returns ln(sum of exp(s)): 0, with weights of 0, where none counts, and NaN where all
/// that do are -infinity.
fn softmax(row: &mut [f32], counts: impl Fn() -> bool) -> f32 {
    pulp::Arch::new().dispatch(|| {
        let greatest = row.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a });
        if greatest == f32::NEG_INFINITY {
            let nothing = if counts() { f32::NAN } else { 0.0 };
            row.fill(nothing);
            return nothing;
        }
        for score in row.iter_mut() {
            *score = Real::exponential(*score - greatest);
        }
        let total: f32 = row.iter().sum();
        for p in row.iter_mut() {
            *p /= total;
        }
        greatest + total.ln()
    })
}
