//! A matrix product, as the kernels for it see it.

use super::bindings::Place;
use crate::base::Layout;
use crate::fuse::group::RideAlong;
use crate::fuse::program::Program;
use crate::fuse::resolve::Matrix;

/// A matrix product with sizes and places.
pub struct Product<'a> {
    /// How many products.
    pub batch: usize,
    /// Rows of A and C.
    pub rows: usize,
    /// Columns of B and C.
    pub columns: usize,
    /// Columns of A and rows of B.
    pub inner: usize,
    /// The first operand, `[batch, rows, inner]`, axes as they are.
    pub a: &'a Matrix,
    /// The second operand, `[batch, inner, columns]`.
    pub b: &'a Matrix,
    /// Elements of the inner axis that one dispatch unit adds up; a multiple of 16.
    pub run: usize,
    /// What is done with the results, or nothing where they are partial.
    pub program: &'a Program,
    /// Where C, or the partial products, go.
    pub target: Place,
    /// Sums of an operand along the inner axis.
    pub sums: Option<(RideAlong, Place)>,
}

impl Product<'_> {
    /// Into how many runs the inner axis is cut.
    pub fn splits(&self) -> usize {
        self.inner.div_ceil(self.run)
    }

    /// Statements that find the first element of an operand's matrix, `name`, from `batch`; and the strides of
    /// rows and columns. Where one of these is several axes, a function `{name}_rows` or `{name}_columns` of [`paths`](Self::paths) takes
    /// its place, and its stride is 1.
    pub fn base(matrix: &Matrix, name: &str) -> (String, [isize; 2]) {
        let layout = &matrix.access.layout;
        let lead = Layout {
            shape: layout.shape[..matrix.batch].into(),
            strides: layout.strides[..matrix.batch].to_vec(),
            offset: layout.offset,
        }
        .merged();
        let (lines, coordinates) = Layout::coordinates(&lead.shape, "batch", &format!("{name}_batch"));
        let text = format!("{lines}    let {name} = {};\n", lead.index_expression(&coordinates));
        let strides = match layout.strides[matrix.batch..] {
            [rows, columns] if matrix.is_plain() => [rows, columns],
            _ => [1, 1],
        };
        (text, strides)
    }

    /// For a matrix whose rows or columns are several axes: functions from the number of a row, and of a column, to how
    /// far it lies from the first. They wrap around where they go backwards, as their sums do again.
    pub fn paths(matrix: &Matrix, name: &str) -> String {
        if matrix.is_plain() {
            return String::new();
        }
        let path = |columns: bool, side: &str| {
            let layout = matrix.side(columns).merged();
            let (lines, coordinates) = Layout::coordinates(&layout.shape, "number", "part");
            let index = layout.index_expression(&coordinates);
            format!("fn {name}_{side}(number: u32) -> u32 {{\n{lines}    return {index};\n}}\n\n")
        };
        path(false, "rows") + &path(true, "columns")
    }
}

/// `base + coordinate * stride + ..`, positive terms first, so that no partial sum is below zero.
pub fn address(base: &str, terms: &[(&str, isize)]) -> String {
    let term = |(coordinate, stride): &(&str, isize)| match stride.unsigned_abs() {
        1 => (*coordinate).to_owned(),
        stride => format!("{coordinate} * {stride}u"),
    };
    let of_sign = |sign: isize| terms.iter().filter(move |(_, stride)| stride.signum() == sign).map(term);
    let sum = of_sign(1).fold(base.to_owned(), |sum, term| format!("{sum} + {term}"));
    of_sign(-1).fold(sum, |sum, term| format!("{sum} - {term}"))
}
