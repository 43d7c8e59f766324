//! How tensors are read.

use crate::base::{DType, Layout};
use crate::record::TensorId;

/// A tensor that is computed or fed, and where in it the elements of a view of it lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The tensor, dense in its memory.
    pub tensor: TensorId,
    /// Where the elements lie.
    pub layout: Layout,
    /// Their type.
    pub dtype: DType,
}

/// An operand of a stack of matrix products.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// What it is read through: the axes of the batch, then of its rows, then of its columns.
    pub access: Access,
    /// The number of axes of the batch.
    pub batch: usize,
    /// The number of axes of rows.
    pub rows: usize,
}

impl Matrix {
    /// The number of matrices, of rows and of columns.
    #[must_use]
    pub fn extents(&self) -> [usize; 3] {
        let shape = &self.access.layout.shape;
        let product = |range: std::ops::Range<usize>| shape[range].iter().product();
        let rows = self.batch + self.rows;
        [product(0..self.batch), product(self.batch..rows), product(rows..shape.rank())]
    }

    /// Whether rows and columns are one axis each, so that each has one stride.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.rows == 1 && self.access.layout.shape.rank() == self.batch + 2
    }

    /// The axes of rows, or of columns, as a layout of their own that begins at 0.
    #[must_use]
    pub fn side(&self, columns: bool) -> Layout {
        let layout = &self.access.layout;
        let rows = self.batch + self.rows;
        let range = if columns { rows..layout.shape.rank() } else { self.batch..rows };
        Layout { shape: layout.shape[range.clone()].into(), strides: layout.strides[range].to_vec(), offset: 0 }
    }

    /// The same with one axis for rows and one for columns, where the elements lie so.
    pub(super) fn plain(&self) -> Option<Self> {
        let [_, rows, columns] = self.extents();
        let mut layout = self.access.layout.clone();
        for (first, count, extent) in [
            (self.batch + self.rows, layout.shape.rank() - self.batch - self.rows, columns),
            (self.batch, self.rows, rows),
        ] {
            let part = Layout {
                shape: layout.shape[first..first + count].into(),
                strides: layout.strides[first..first + count].to_vec(),
                offset: 0,
            }
            .merged();
            let stride = match part.strides[..] {
                [] => 0,
                [stride] => stride,
                _ => return None,
            };
            let mut shape = layout.shape.to_vec();
            shape.splice(first..first + count, [extent]);
            layout.strides.splice(first..first + count, [stride]);
            layout.shape = shape.into();
        }
        Some(Self { access: Access { layout, ..self.access.clone() }, batch: self.batch, rows: 1 })
    }
}
