//! Every `step`-th element of a range along an axis; dx = g put back in place, zero elsewhere.

use super::view::{ViewGradient, ViewOp};
use crate::base::View;
use crate::record::{Case, CaseInput, Cotangents, Tensor, Vjp};
use std::ops::Range;

#[derive(Debug)]
struct Back {
    axis: usize,
    start: usize,
    step: usize,
}

impl ViewGradient for Back {
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (extent, g) = (cx.inputs[0].shape()[self.axis], cx.cotangent());
        if self.step == 1 {
            return Cotangents::Part { axis: self.axis, start: self.start, gradient: g };
        }
        let reach = self.start + (g.shape()[self.axis] - 1) * self.step + 1;
        Cotangents::one(super::pad::spread(g, self.axis, self.start, self.step, extent - reach))
    }
}

impl Tensor<'_> {
    /// The elements `range` along an axis. Moves no data.
    #[must_use]
    #[track_caller]
    pub fn slice(self, axis: isize, range: Range<usize>) -> Self {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th of the elements `range` along an axis. Moves no data.
    #[must_use]
    #[track_caller]
    pub fn slice_step(self, axis: isize, range: Range<usize>, step: usize) -> Self {
        let shape = self.shape();
        let axis = match shape.axis(axis) {
            Ok(axis) => axis,
            Err(reason) => return self.graph.fault("slice", &[self], reason),
        };
        if range.start >= range.end || range.end > shape[axis] || step == 0 {
            let reason = format!(
                "range {range:?} with step {step} takes nothing from, or reaches past, extent {} of axis {axis}",
                shape[axis]
            );
            return self.graph.fault("slice", &[self], reason);
        }
        let count = range.len().div_ceil(step);
        // One element is the same with any step, and the smallest reaches past nothing that can be counted.
        let step = if count == 1 { 1 } else { step };
        let mut starts = vec![0; shape.rank()];
        let mut steps = vec![1isize; shape.rank()];
        let mut extents = shape.to_vec();
        (starts[axis], steps[axis], extents[axis]) = (range.start, step as isize, count);
        let view = View::Slice { starts, steps, extents };
        self.graph.record(ViewOp { name: "slice", view, gradient: Back { axis, start: range.start, step } }, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([9, 6], -1.0, 1.0)];
    vec![
        Case::new("two axes with a step", input(), |x| x[0].slice_step(0, 1..7, 2).slice(1, 2..6).sin()),
        Case::new("a step that does not divide", input(), |x| x[0].slice_step(0, 0..9, 4).sin()),
        Case::new("parts side by side", input(), |x| {
            let parts: Vec<_> = (0..9).map(|row| (x[0].slice(0, row..row + 1) * (row as f64 + 1.0)).sin()).collect();
            x[0].graph().concat(&parts, 0)
        }),
        Case::new("parts that overlap, and gaps", input(), |x| {
            let part = |axis: isize, range: std::ops::Range<usize>| x[0].slice(axis, range).square().sum(..);
            part(0, 0..4) + part(0, 2..6) + part(0, 6..7) + part(1, 0..2) + part(1, 3..6) + x[0].sin().sum(..)
        }),
        Case::new("one element", input(), |x| x[0].slice(-1, 5..6).sin()),
    ]
}
