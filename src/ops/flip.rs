//! Elements along axes in reverse order; dx = g reversed.

use super::view::{ViewGradient, ViewOp};
use crate::base::{Axes, View};
use crate::record::{Case, CaseInput, Cotangents, Tensor, Vjp};

#[derive(Debug)]
struct Back(Vec<isize>);

impl ViewGradient for Back {
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent().flip(&self.0[..]))
    }
}

impl Tensor<'_> {
    /// The elements along these axes in reverse order. Moves no data.
    #[must_use]
    #[track_caller]
    pub fn flip(self, axes: impl Into<Axes>) -> Self {
        let shape = self.shape();
        let axes = match axes.into().resolve(&shape) {
            Ok(axes) => axes,
            Err(reason) => return self.graph.fault("flip", &[self], reason),
        };
        let flipped = |axis: usize| axes.contains(&axis);
        let view = View::Slice {
            starts: (0..shape.rank()).map(|axis| if flipped(axis) { shape[axis] - 1 } else { 0 }).collect(),
            steps: (0..shape.rank()).map(|axis| if flipped(axis) { -1 } else { 1 }).collect(),
            extents: shape.to_vec(),
        };
        let back = Back(axes.iter().map(|&axis| axis as isize).collect());
        self.graph.record(ViewOp { name: "flip", view, gradient: back }, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([3, 5], -1.0, 1.0)];
    vec![
        Case::new("one axis", input(), |x| x[0].flip(1).sin()),
        Case::new("all axes", input(), |x| x[0].flip(..).sin() * x[0]),
    ]
}
