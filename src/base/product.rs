//! Matrix products on the host, by the `gemm` crate.

use gemm_common::Parallelism;

/// A matrix in a slice: element (i, j) lies at `start + i * strides[0] + j * strides[1]`.
#[derive(Clone, Copy, Debug)]
pub struct MatrixRef<'a> {
    /// The slice.
    pub data: &'a [f32],
    /// Where the first element lies.
    pub start: usize,
    /// How far apart rows, and columns, lie.
    pub strides: [isize; 2],
}

impl<'a> MatrixRef<'a> {
    /// A dense matrix with so many columns.
    #[must_use]
    pub const fn dense(data: &'a [f32], columns: usize) -> Self {
        Self { data, start: 0, strides: [columns as isize, 1] }
    }

    /// Its rows as columns.
    #[must_use]
    pub const fn transposed(self) -> Self {
        Self { strides: [self.strides[1], self.strides[0]], ..self }
    }

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

/// C = A B, or C = C + A B where `adds`; on all threads where `parallel`. The sizes are rows, inner and columns; rows of C
/// begin `c_stride` elements apart, and their elements are neighbours.
///
/// # Panics
/// When a matrix does not lie in its slice.
#[allow(unsafe_code)]
pub fn multiply(
    a: &MatrixRef<'_>,
    b: &MatrixRef<'_>,
    c: &mut [f32],
    c_stride: usize,
    [rows, inner, columns]: [usize; 3],
    adds: bool,
    parallel: bool,
) {
    assert!(
        a.holds([rows, inner])
            && b.holds([inner, columns])
            && c_stride >= columns
            && c.len() >= (rows - 1) * c_stride + columns,
        "layouts lie in their tensors"
    );
    let parallelism = if parallel { Parallelism::Rayon(0) } else { Parallelism::None };
    // The crate's kernels want columns of the result next to one another, and C has rows so: C^T = B^T A^T.
    // SAFETY: the assertion shows that every element which the three strided matrices reach lies within its
    // slice; C is borrowed mutably, so it overlaps neither A nor B. The function is the crate's own choice for
    // this processor. It reads C only where `adds`, and C is initialised.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            columns,
            rows,
            inner,
            c.as_mut_ptr(),
            c_stride as isize,
            1,
            adds,
            b.data.as_ptr().add(b.start),
            b.strides[0],
            b.strides[1],
            a.data.as_ptr().add(a.start),
            a.strides[0],
            a.strides[1],
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo +nightly miri test --lib base::product` looks at every access of the only unsafe code that runs on the host alone.
    #[test]
    fn products_of_parts_and_transposed_ones_are_those_of_the_definition() {
        let numbers = |count: usize| (0..count).map(|place| (place % 7) as f32 - 3.0).collect::<Vec<f32>>();
        for [rows, inner, columns] in [[1, 1, 1], [3, 5, 2], [4, 1, 9], [17, 8, 3]] {
            // Each lies within a larger matrix, away from its edges, and B is read by columns.
            let (width, height) = (inner + 3, inner + 2);
            let (a, b) = (numbers((rows + 2) * width), numbers((columns + 1) * height));
            let a = MatrixRef { data: &a, start: width + 1, strides: [width as isize, 1] };
            let b = MatrixRef { data: &b, start: 2, strides: [height as isize, 1] }.transposed();
            let at = |of: &MatrixRef<'_>, i: usize, j: usize| {
                of.data[(of.start as isize + i as isize * of.strides[0] + j as isize * of.strides[1]) as usize]
            };
            for adds in [false, true] {
                let stride = columns + 1;
                let mut c = vec![0.5f32; (rows - 1) * stride + columns];
                let before = c.clone();
                multiply(&a, &b, &mut c, stride, [rows, inner, columns], adds, false);
                for i in 0..rows {
                    for j in 0..columns {
                        let sum: f32 = (0..inner).map(|k| at(&a, i, k) * at(&b, k, j)).sum();
                        let want = sum + if adds { before[i * stride + j] } else { 0.0 };
                        assert!((c[i * stride + j] - want).abs() < 1e-4, "{rows} {inner} {columns}: {i}, {j}");
                    }
                    // What lies between rows stays.
                    assert!(i + 1 == rows || c[i * stride + columns] == 0.5);
                }
            }
        }
    }
}
