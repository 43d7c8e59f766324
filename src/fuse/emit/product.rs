//! A matrix product, as the kernels for it see it.

use super::bindings::Place;
use crate::base::Layout;
use crate::fuse::group::RideAlong;
use crate::fuse::program::Program;
use crate::fuse::resolve::Access;

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
    /// The first operand, seen as `[batch, rows, inner]`, batch axes as they are.
    pub a: &'a Access,
    /// The second operand, seen as `[batch, inner, columns]`.
    pub b: &'a Access,
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
    /// its last two axes.
    pub fn base(access: &Access, name: &str) -> (String, [isize; 2]) {
        let layout = &access.layout;
        let rank = layout.shape.rank();
        let lead = Layout {
            shape: layout.shape[..rank - 2].into(),
            strides: layout.strides[..rank - 2].to_vec(),
            offset: layout.offset,
        }
        .merged();
        let (lines, coordinates) = Layout::coordinates(&lead.shape, "batch", &format!("{name}_batch"));
        let text = format!("{lines}    let {name} = {};\n", lead.index_expression(&coordinates));
        (text, [layout.strides[rank - 2], layout.strides[rank - 1]])
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
