//! Matrix products on the host.

use super::memory::Places;
use super::pack::{Blocks, Panel};
use crate::base::{Layout, MatrixRef, multiply};
use crate::fuse::{Matrix, Place, Program};
use crate::record::TensorId;
use rayon::prelude::*;

/// Fewer multiplications than this are not worth a second thread.
const PARALLEL: usize = 4_000_000;
/// Into how many parts the inner axis is cut at most, whatever the number of threads, so that results do not depend on it.
const MOST_PARTS: usize = 8;
/// Shortest part of the inner axis.
const SHORTEST_PART: usize = 512;

/// Computes the product where the program's first store goes, and the sum of an operand that rides along.
pub fn run(a: &Matrix, b: &Matrix, sums: Option<(usize, TensorId)>, program: &Program, places: &mut Places<'_>) {
    let left: &[f32] = bytemuck::cast_slice(places.read(Place::Tensor(a.access.tensor)));
    let right: &[f32] = bytemuck::cast_slice(places.read(Place::Tensor(b.access.tensor)));
    if let Some(store) = program.stores.first() {
        let target: &mut [f32] = bytemuck::cast_slice_mut(places.write(Place::Tensor(store.tensor)));
        if a.is_plain() && b.is_plain() {
            products(a, left, b, right, target);
        } else {
            gathered(a, left, b, right, target);
        }
    }
    if let Some((operand, tensor)) = sums {
        let target: &mut [f32] = bytemuck::cast_slice_mut(places.write(Place::Tensor(tensor)));
        let (matrix, data) = if operand == 0 { (a, left) } else { (b, right) };
        sum(&matrix.access.layout, data, operand, target);
    }
}

/// Where the matrix of a number begins.
fn start(matrix: &Matrix, number: usize) -> usize {
    let layout = &matrix.access.layout;
    let (mut rest, mut place) = (number, layout.offset as isize);
    for axis in (0..matrix.batch).rev() {
        place += (rest % layout.shape[axis]) as isize * layout.strides[axis];
        rest /= layout.shape[axis];
    }
    place as usize
}

/// Products of operands whose rows and columns have one stride each.
fn products(a: &Matrix, left: &[f32], b: &Matrix, right: &[f32], target: &mut [f32]) {
    let ([batch, rows, inner], [_, _, columns]) = (a.extents(), b.extents());
    let size = rows * inner * columns;
    let plain = |matrix: &Matrix, data, number| {
        let strides = &matrix.access.layout.strides[matrix.batch..];
        MatrixRef { data, start: start(matrix, number), strides: [strides[0], strides[1]] }
    };
    let one = |number: usize, plane: &mut [f32], parallel: bool| {
        let (a, b) = (plain(a, left, number), plain(b, right, number));
        multiply(&a, &b, plane, columns, [rows, inner, columns], false, parallel);
    };
    // Many small products go to threads as they are, few large ones are cut.
    if batch >= rayon::current_num_threads() && size < 4 * PARALLEL && batch * size >= PARALLEL {
        target.par_chunks_mut(rows * columns).enumerate().for_each(|(number, plane)| one(number, plane, false));
    } else {
        for (number, plane) in target.chunks_mut(rows * columns).enumerate() {
            one(number, plane, size >= PARALLEL);
        }
    }
}

/// Products of operands whose elements have to be gathered: block by block, so that what is gathered stays in the
/// cache, as a convolution's windows, which would take many times the memory of the images.
fn gathered(a: &Matrix, left: &[f32], b: &Matrix, right: &[f32], target: &mut [f32]) {
    let ([batch, rows, inner], [_, _, columns]) = (a.extents(), b.extents());
    let parts = if batch >= MOST_PARTS { 1 } else { (inner / SHORTEST_PART).clamp(1, MOST_PARTS) };
    let length = inner.div_ceil(parts);
    let blocks = Blocks::new(rows, length, columns);
    let (a, b) = (Panel::new(a, left), Panel::new(b, right));
    let product = |number: usize, part: usize, plane: &mut [f32]| {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let last = ((part + 1) * length).min(inner);
        for from in (0..columns).step_by(blocks.columns) {
            let to = (from + blocks.columns).min(columns);
            for k in (part * length..last).step_by(blocks.inner) {
                let until = (k + blocks.inner).min(last);
                let of_a = a.block(start(a.matrix, number), 0..rows, k..until, &mut left);
                let of_b = b.block(start(b.matrix, number), k..until, from..to, &mut right);
                let sizes = [rows, until - k, to - from];
                multiply(&of_a, &of_b, &mut plane[from..], columns, sizes, k > part * length, false);
            }
        }
    };
    let plane = rows * columns;
    if parts == 1 {
        target.par_chunks_mut(plane).enumerate().for_each(|(number, to)| product(number, 0, to));
        return;
    }
    let mut partial = vec![0.0f32; batch * parts * plane];
    partial.par_chunks_mut(plane).enumerate().for_each(|(number, to)| product(number / parts, number % parts, to));
    for (to, parts) in target.chunks_mut(plane).zip(partial.chunks(parts * plane)) {
        to.copy_from_slice(&parts[..plane]);
        for part in parts[plane..].chunks(plane) {
            to.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
    }
}

/// The sums of the rows of A, or of the columns of B.
fn sum(layout: &Layout, data: &[f32], operand: usize, target: &mut [f32]) {
    let (outer, inner) = (operand, 1 - operand);
    let at = |i: usize, k: usize| {
        (layout.offset as isize + i as isize * layout.strides[outer] + k as isize * layout.strides[inner]) as usize
    };
    let count = layout.shape[inner];
    if layout.strides[outer] == 1 {
        let length = target.len();
        target.fill(0.0);
        pulp::Arch::new().dispatch(|| {
            for k in 0..count {
                for (sum, x) in target.iter_mut().zip(&data[at(0, k)..][..length]) {
                    *sum += x;
                }
            }
        });
    } else {
        for (i, sum) in target.iter_mut().enumerate() {
            *sum = (0..count).map(|k| data[at(i, k)]).sum();
        }
    }
}
