//! Parts of matrices whose rows or columns lie along several axes of a tensor, gathered into dense blocks.

use crate::base::{Layout, MatrixRef};
use crate::fuse::Matrix;
use std::ops::Range;

/// Elements of a block of the second operand: half of a second cache.
const BLOCK: usize = 1 << 16;
/// Longest run of the inner axis in one block.
const LONGEST_INNER: usize = 512;

/// The sizes of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// Along the inner axis.
    pub inner: usize,
    /// Along the columns of the second operand.
    pub columns: usize,
}

impl Blocks {
    /// For a product of these sizes.
    pub fn new(rows: usize, inner: usize, columns: usize) -> Self {
        // Where there are few rows, little is done with what is gathered, and longer runs save passes over C.
        let inner = inner.min(LONGEST_INNER.max(rows));
        let columns = columns.min((BLOCK / inner).max(64));
        Self { inner, columns }
    }
}

/// A run of one side of a matrix: elements that lie equally far apart.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The number of its first element.
    first: usize,
    /// Where that lies.
    place: isize,
    /// How many there are.
    length: usize,
}

/// One side of a matrix, its rows or its columns.
#[derive(Debug)]
struct Side {
    layout: Layout,
}

impl Side {
    fn place(&self, number: usize) -> isize {
        let (mut rest, mut place) = (number, 0);
        for axis in (0..self.layout.shape.rank()).rev() {
            place += (rest % self.layout.shape[axis]) as isize * self.layout.strides[axis];
            rest /= self.layout.shape[axis];
        }
        place
    }

    /// How long runs are, and how far apart their elements.
    fn run(&self) -> (usize, isize) {
        (self.layout.shape.last(), self.layout.strides.last().copied().unwrap_or(0))
    }

    fn runs(&self, range: Range<usize>) -> Vec<Run> {
        let (extent, _) = self.run();
        let mut runs = Vec::new();
        let mut first = range.start;
        while first < range.end {
            let length = (extent - first % extent).min(range.end - first);
            runs.push(Run { first: first - range.start, place: self.place(first), length });
            first += length;
        }
        runs
    }
}

/// A matrix of a batch, of which blocks are taken.
pub struct Panel<'a> {
    /// The matrix.
    pub matrix: &'a Matrix,
    data: &'a [f32],
    rows: Side,
    columns: Side,
    /// Whether blocks are gathered column by column, which has the longer runs.
    by_columns: bool,
}

impl<'a> Panel<'a> {
    /// Of a tensor with these elements.
    pub fn new(matrix: &'a Matrix, data: &'a [f32]) -> Self {
        let side = |columns: bool| Side { layout: matrix.side(columns).merged() };
        let (rows, columns) = (side(false), side(true));
        let dense = |side: &Side| if side.run().1.abs() == 1 { side.run().0 } else { 0 };
        let by_columns = dense(&rows) > dense(&columns);
        Self { matrix, data, rows, columns, by_columns }
    }

    /// The block of some rows and columns of the matrix that begins at `start`: as it lies, or gathered into `room`.
    pub fn block<'r>(
        &'r self,
        start: usize,
        rows: Range<usize>,
        columns: Range<usize>,
        room: &'r mut Vec<f32>,
    ) -> MatrixRef<'r> {
        if self.matrix.is_plain() {
            let strides = &self.matrix.access.layout.strides[self.matrix.batch..];
            let first = rows.start as isize * strides[0] + columns.start as isize * strides[1];
            let start = (start as isize + first) as usize;
            return MatrixRef { data: self.data, start, strides: [strides[0], strides[1]] };
        }
        let (height, width) = (rows.len(), columns.len());
        room.resize(height * width, 0.0);
        if self.by_columns {
            self.gather(start, &self.columns, columns, &self.rows, rows, room);
            MatrixRef::dense(room, height).transposed()
        } else {
            self.gather(start, &self.rows, rows, &self.columns, columns, room);
            MatrixRef::dense(room, width)
        }
    }

    fn gather(
        &self,
        start: usize,
        outer: &Side,
        lines: Range<usize>,
        inner: &Side,
        along: Range<usize>,
        room: &mut [f32],
    ) {
        let length = along.len();
        let runs = inner.runs(along);
        let (_, stride) = inner.run();
        for (line, to) in lines.zip(room.chunks_exact_mut(length)) {
            let base = start as isize + outer.place(line);
            for run in &runs {
                let to = &mut to[run.first..run.first + run.length];
                let from = base + run.place;
                if stride == 1 {
                    to.copy_from_slice(&self.data[from as usize..][..run.length]);
                } else {
                    for (step, x) in to.iter_mut().enumerate() {
                        *x = self.data[(from + step as isize * stride) as usize];
                    }
                }
            }
        }
    }
}
