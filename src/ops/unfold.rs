//! Windows along an axis, side by side on a new last axis: y[.., p, .., k] = x[.., p stride + k dilation, ..]. Windows may
//! overlap, so dx adds up what every window got of an element.

use super::pad::spread;
use super::view::{ViewGradient, ViewOp};
use super::window::{fits, out_extent};
use crate::base::{View, Walk};
use crate::record::{Case, CaseInput, Cotangents, Tensor, Vjp};

#[derive(Debug)]
struct Back {
    axis: usize,
    stride: usize,
    dilation: usize,
}

impl ViewGradient for Back {
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (extent, g) = (cx.inputs[0].shape()[self.axis], cx.cotangent());
        let (positions, size) = (g.shape()[self.axis], g.shape().last());
        let reach = (positions - 1) * self.stride + 1;
        let part = |k: usize| {
            let part = g.slice(-1, k..k + 1).squeeze(-1);
            spread(part, self.axis, k * self.dilation, self.stride, extent - reach - k * self.dilation)
        };
        let sum = (0..size).map(part).reduce(|sum, part| sum + part);
        Cotangents::Inputs(vec![sum])
    }
}

impl Tensor<'_> {
    /// Windows of `size` elements along an axis, `dilation` apart within, `stride` from one to the next: the axis becomes
    /// that of the windows, and their elements lie along a new last axis. Moves no data.
    #[must_use]
    #[track_caller]
    pub fn unfold(self, axis: isize, size: usize, stride: usize, dilation: usize) -> Self {
        let shape = self.shape();
        let checked = shape.axis(axis).and_then(|axis| {
            if size == 0 {
                return Err("a window needs at least one element".into());
            }
            fits(shape[axis], size, stride, 0, dilation, false)?;
            Ok(axis)
        });
        let axis = match checked {
            Ok(axis) => axis,
            Err(reason) => return self.graph.fault("unfold", &[self], reason),
        };
        let positions = out_extent(shape[axis], size, stride, dilation);
        let mut walks: Vec<Walk> = (0..shape.rank()).map(|axis| Walk::new(axis, 1, shape[axis])).collect();
        walks[axis] = Walk::new(axis, stride, positions);
        walks.push(Walk::new(axis, dilation, size));
        let gradient = Back { axis, stride, dilation };
        self.graph.record(ViewOp { name: "unfold", view: View::Walk(walks), gradient }, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([3, 11, 2], -1.0, 1.0)];
    vec![
        Case::new("overlapping", input(), |x| x[0].unfold(1, 3, 2, 1).sin()),
        Case::new("dilated", input(), |x| x[0].unfold(1, 3, 1, 4).sin()),
        Case::new("with a rest", input(), |x| x[0].unfold(1, 2, 4, 1).sin()),
        Case::new("twice", input(), |x| x[0].unfold(1, 2, 3, 1).unfold(0, 2, 1, 1).sin()),
    ]
}
