//! How the operands of a matrix product lie in memory.

use super::fused::runs;
use super::{Context, Fours};
use crate::base::Layout;
use crate::fuse::resolve::Matrix;

/// Along which of its axes an operand is loaded in vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The axis that is summed over.
    Inner,
    /// The axis that the result keeps.
    Outer,
    /// Elements are loaded one by one.
    Neither,
}

/// Along which axis an operand lies in vectors of `length` elements.
pub fn along(context: &Context<'_>, matrix: &Matrix, inner_is_last: bool, length: usize) -> Along {
    if !matrix.is_plain() {
        return Along::Neither;
    }
    let access = &matrix.access;
    let strides = &access.layout.strides[matrix.batch..];
    let whole = context.whole(access);
    let lies = |layout: &Layout| runs(layout, whole, length) == Fours::Vector;
    if !lies(&access.layout) && !lies(&turned(&access.layout)) {
        return Along::Neither;
    }
    let rank = access.layout.shape.rank();
    let fits = |axis: usize| strides[axis] == 1 && access.layout.shape[rank - 2 + axis].is_multiple_of(length);
    match (fits(1), fits(0)) {
        (true, _) if inner_is_last => Along::Inner,
        (true, _) => Along::Outer,
        (_, true) if inner_is_last => Along::Outer,
        (_, true) => Along::Inner,
        _ => Along::Neither,
    }
}

/// The layout with its last two axes exchanged.
fn turned(layout: &Layout) -> Layout {
    let mut turned = layout.clone();
    let rank = layout.shape.rank();
    let mut extents = layout.shape.to_vec();
    extents.swap(rank - 2, rank - 1);
    turned.strides.swap(rank - 2, rank - 1);
    turned.shape = extents.into();
    turned
}
