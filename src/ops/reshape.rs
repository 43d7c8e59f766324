//! The same elements in row-major order under another shape; dx = g under the shape of x.

use super::view::{ViewGradient, ViewOp};
use crate::base::{Shape, View};
use crate::record::{Case, CaseInput, Cotangents, Tensor, Vjp};

#[derive(Debug)]
struct Back;

impl ViewGradient for Back {
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent().reshape(cx.inputs[0].shape()))
    }
}

impl Tensor<'_> {
    /// The same elements in row-major order under another shape, which has as many elements.
    #[must_use]
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        if self.is_valid() && self.shape() == shape {
            return self;
        }
        self.graph.record(ViewOp { name: "reshape", view: View::Reshape(shape), gradient: Back }, &[self])
    }

    /// All axes from `first` on joined into one: `flatten(1)` makes `[batch, a, b]` into `[batch, a b]`.
    #[must_use]
    #[track_caller]
    pub fn flatten(self, first: usize) -> Self {
        let shape = self.shape();
        if !self.is_valid() || first > shape.rank() {
            return self.graph.fault(
                "flatten",
                &[self],
                format!("there is no axis {first}: {shape} has {}", shape.rank()),
            );
        }
        let mut extents = shape[..first].to_vec();
        extents.push(shape[first..].iter().product());
        self.reshape(extents)
    }

    /// A new axis of extent 1 at `axis`, which counts from the end of the result where negative.
    #[must_use]
    #[track_caller]
    pub fn unsqueeze(self, axis: isize) -> Self {
        let mut extents = self.shape().to_vec();
        let place = if axis < 0 { axis + extents.len() as isize + 1 } else { axis };
        if !self.is_valid() || place < 0 || place > extents.len() as isize {
            return self.graph.fault(
                "unsqueeze",
                &[self],
                format!(
                    "axis {axis} is outside the result, which has {} axes (allowed: {} to {})",
                    extents.len() + 1,
                    -(extents.len() as isize) - 1,
                    extents.len()
                ),
            );
        }
        extents.insert(place as usize, 1);
        self.reshape(extents)
    }

    /// Without the axis, which must have extent 1.
    #[must_use]
    #[track_caller]
    pub fn squeeze(self, axis: isize) -> Self {
        let shape = self.shape();
        match shape.axis(axis) {
            Ok(axis) if shape[axis] == 1 => self.reshape(shape.reduced(&[axis], false)),
            Ok(axis) => self.graph.fault(
                "squeeze",
                &[self],
                format!("axis {axis} has extent {}: only an axis of extent 1 can be left out", shape[axis]),
            ),
            Err(reason) => self.graph.fault("squeeze", &[self], reason),
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([2, 3, 4], -1.0, 1.0)];
    vec![
        Case::new("joined and cut", input(), |x| x[0].reshape([6, 4]).sin()),
        Case::new("after a permutation, which moves data", input(), |x| x[0].permute([2, 0, 1]).reshape([3, 8]).sin()),
        Case::new("flatten, unsqueeze, squeeze", input(), |x| x[0].flatten(1).unsqueeze(0).squeeze(0).sin()),
    ]
}
