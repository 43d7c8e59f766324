//! Extents of 1, and missing leading axes, stretched to a shape; dx = g summed over what was stretched.

use super::view::{ViewGradient, ViewOp};
use crate::base::{Shape, View};
use crate::record::{Case, CaseInput, Cotangents, Tensor, Vjp};

#[derive(Debug)]
struct Back;

impl ViewGradient for Back {
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (from, g) = (cx.inputs[0].shape(), cx.cotangent());
        let to = g.shape();
        let lead = to.rank() - from.rank();
        let stretched: Vec<isize> = (0..to.rank())
            .filter(|&axis| axis < lead || from[axis - lead] != to[axis])
            .map(|axis| axis as isize)
            .collect();
        Cotangents::one(g.sum_keep(&stretched[..]).reshape(from))
    }
}

impl Tensor<'_> {
    /// Extents of 1, and missing leading axes, stretched to this shape. Moves no data.
    #[must_use]
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        if self.is_valid() && self.shape() == shape {
            return self;
        }
        self.graph.record(ViewOp { name: "broadcast_to", view: View::Broadcast(shape), gradient: Back }, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("new and stretched axes", vec![CaseInput::uniform([3, 1], -1.0, 1.0)], |x| {
            x[0].broadcast_to([4, 3, 5]).sin()
        }),
        Case::new("from a scalar", vec![CaseInput::uniform(vec![], -1.0, 1.0)], |x| x[0].broadcast_to([7]).sin()),
    ]
}
