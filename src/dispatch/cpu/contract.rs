//! Matrix products on the host, by the `gemm` crate.

use super::memory::Places;
use crate::base::Layout;
use crate::fuse::{Access, Place, Program};
use crate::record::TensorId;
use gemm_common::Parallelism;

/// Fewer multiplications than this are not worth a second thread.
const PARALLEL: usize = 4_000_000;

/// Computes the product where the program's first store goes, and the sum of an operand that rides along.
pub fn run(a: &Access, b: &Access, sums: Option<(usize, TensorId)>, program: &Program, places: &mut Places<'_>) {
    let left: &[f32] = bytemuck::cast_slice(places.read(Place::Tensor(a.tensor)));
    let right: &[f32] = bytemuck::cast_slice(places.read(Place::Tensor(b.tensor)));
    if let Some(store) = program.stores.first() {
        let target: &mut [f32] = bytemuck::cast_slice_mut(places.write(Place::Tensor(store.tensor)));
        products(&a.layout, left, &b.layout, right, target);
    }
    if let Some((operand, tensor)) = sums {
        let target: &mut [f32] = bytemuck::cast_slice_mut(places.write(Place::Tensor(tensor)));
        let (layout, data) = if operand == 0 { (&a.layout, left) } else { (&b.layout, right) };
        sum(layout, data, operand, target);
    }
}

fn products(a: &Layout, left: &[f32], b: &Layout, right: &[f32], target: &mut [f32]) {
    let rank = a.shape.rank();
    let (rows, inner, columns) = (a.shape[rank - 2], a.shape[rank - 1], b.shape[rank - 1]);
    let batch: usize = a.shape[..rank - 2].iter().product();
    let start = |layout: &Layout, number: usize| {
        let (mut rest, mut place) = (number, layout.offset as isize);
        for axis in (0..rank - 2).rev() {
            place += (rest % layout.shape[axis]) as isize * layout.strides[axis];
            rest /= layout.shape[axis];
        }
        place as usize
    };
    for (number, plane) in target.chunks_mut(rows * columns).take(batch).enumerate() {
        let matrix = |layout: &Layout, data| Matrix {
            data,
            start: start(layout, number),
            strides: [layout.strides[rank - 2], layout.strides[rank - 1]],
        };
        multiply(&matrix(a, left), &matrix(b, right), plane, [rows, inner, columns]);
    }
}

/// A matrix in a slice: element (i, j) lies at `start + i * strides[0] + j * strides[1]`.
struct Matrix<'a> {
    data: &'a [f32],
    start: usize,
    strides: [isize; 2],
}

impl Matrix<'_> {
    /// Whether all elements of an extent lie in the slice.
    fn holds(&self, extents: [usize; 2]) -> bool {
        let reach = |wanted: isize| {
            let span = |axis: usize| (extents[axis] as isize - 1) * self.strides[axis];
            (0..2).map(span).filter(|span| span.signum() == wanted).sum::<isize>()
        };
        let start = self.start as isize;
        start + reach(-1) >= 0 && start + reach(1) < self.data.len() as isize
    }
}

/// C = A B for a dense C.
#[allow(unsafe_code)]
fn multiply(a: &Matrix<'_>, b: &Matrix<'_>, c: &mut [f32], [rows, inner, columns]: [usize; 3]) {
    assert!(
        a.holds([rows, inner]) && b.holds([inner, columns]) && c.len() == rows * columns,
        "layouts lie in their tensors"
    );
    let parallelism = if rows * inner * columns < PARALLEL { Parallelism::None } else { Parallelism::Rayon(0) };
    // The crate's kernels want columns of the result next to one another, and C has rows so: C^T = B^T A^T.
    // SAFETY: the assertion shows that every element which the three strided matrices reach lies within its
    // slice; C is borrowed mutably, so it overlaps neither A nor B. The function is the crate's own choice for
    // this processor. It does not read C, as `read_dst` is false.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            columns,
            rows,
            inner,
            c.as_mut_ptr(),
            columns as isize,
            1,
            false,
            b.data.as_ptr().add(b.start),
            b.strides[0],
            b.strides[1],
            a.data.as_ptr().add(a.start),
            a.strides[0],
            a.strides[1],
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
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
