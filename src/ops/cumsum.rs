//! y[k] = x[0] + .. + x[k] along an axis; dx[k] = g[k] + g[k + 1] + .., the same from the other end.

use super::rows;
use crate::base::{Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Domain, EvalContext, LowerContext, Lowering, Op, Reference, Tensor, Text, Vjp,
    libraries,
};
use ndarray::Axis;

/// Along the last axis.
#[derive(Debug)]
struct Cumsum;

impl Op for Cumsum {
    fn name(&self) -> &'static str {
        "cumsum"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        rows::output(inputs)
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let g = cx.cotangent();
        Cotangents::one(g.graph().record(Self, &[g.flip(-1)]).flip(-1))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let text = Text::new(include_str!("../../shaders/cumsum.wgsl"), &[&libraries::NUMBERS]);
        rows::lower("cumsum", text, &cx.inputs[0].shape, cx.class, &["x"], &["y"], None)
    }
}

impl Reference for Cumsum {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let mut sums = inputs[0].real().clone();
        let last = Axis(sums.ndim() - 1);
        sums.accumulate_axis_inplace(last, |&before, x| *x = *x + before);
        vec![Value::Real(sums)]
    }
}

impl Tensor<'_> {
    /// The running sums along an axis: `y[k] = x[0] + .. + x[k]`.
    #[must_use]
    #[track_caller]
    pub fn cumsum(self, axis: isize) -> Self {
        rows::along("cumsum", self, axis, |x| x.graph.record(Cumsum, &[x]))
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::uniform(shape, -1.0, 1.5)];
    vec![
        Case::new("last axis", input(&[5, 13]), |x| x[0].cumsum(-1).sin()),
        Case::new("first axis", input(&[7, 5]), |x| x[0].cumsum(0).sin()),
        Case::new("middle axis", input(&[2, 65, 3]), |x| x[0].cumsum(1) * 0.1),
        Case::new("wide", input(&[2, 1025]), |x| x[0].cumsum(-1) * 0.01),
        Case::new("one element", input(&[4, 1]), |x| x[0].cumsum(1).sin()),
    ]
}
