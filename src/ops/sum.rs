//! y = the sum of x over axes; dx = g, stretched back.

use super::elementwise::floats;
use crate::base::{Axes, Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, EvalContext, LowerContext, Lowering, Op, Reduce, Reduction, Reference,
    Tensor, Vjp,
};
use ndarray::Axis;

/// Keeps the axes with extent 1.
#[derive(Debug)]
struct Sum {
    axes: Vec<usize>,
}

impl Op for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        floats(inputs)?;
        Ok(vec![TensorType::f32(inputs[0].shape.reduced(&self.axes, true))])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent().broadcast_to(cx.inputs[0].shape()))
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        Lowering::Reduce(Reduce { kind: Reduction::Sum, axes: self.axes.clone() })
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("axes", &self.axes)
    }
}

impl Reference for Sum {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let mut total = inputs[0].real().clone();
        for &axis in &self.axes {
            total = total.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        }
        vec![Value::Real(total)]
    }
}

/// The resolved axes and the shape without them, or the invalid tensor of a noted fault.
#[track_caller]
pub(super) fn reduction<'g>(
    name: &str,
    x: Tensor<'g>,
    axes: impl Into<Axes>,
) -> Result<(Vec<usize>, Shape), Tensor<'g>> {
    let shape = x.shape();
    match axes.into().resolve(&shape) {
        Ok(axes) => {
            let without = shape.reduced(&axes, false);
            Ok((axes, without))
        }
        Err(reason) => Err(x.graph().fault(name, &[x], reason)),
    }
}

impl Tensor<'_> {
    /// The sum over axes: `..` for all, one axis, or a list. The axes disappear.
    #[must_use]
    #[track_caller]
    pub fn sum(self, axes: impl Into<Axes>) -> Self {
        match reduction("sum", self, axes) {
            Ok((axes, shape)) => self.graph.record(Sum { axes }, &[self]).reshape(shape),
            Err(invalid) => invalid,
        }
    }

    /// The sum over axes, which stay with extent 1.
    #[must_use]
    #[track_caller]
    pub fn sum_keep(self, axes: impl Into<Axes>) -> Self {
        match reduction("sum", self, axes) {
            Ok((axes, _)) => self.graph.record(Sum { axes }, &[self]),
            Err(invalid) => invalid,
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::uniform(shape, -1.0, 2.0)];
    vec![
        Case::new("all", input(&[4, 5, 6]), |x| x[0].square().sum(..)),
        Case::new("first axis", input(&[4, 5, 6]), |x| x[0].square().sum(0)),
        Case::new("middle axis", input(&[4, 5, 6]), |x| x[0].square().sum(1)),
        Case::new("last axis kept", input(&[4, 5, 65]), |x| x[0].square().sum_keep(-1)),
        Case::new("outer axes", input(&[4, 5, 6]), |x| x[0].square().sum([0, 2])),
        Case::new("of a view", input(&[4, 5, 6]), |x| x[0].permute([2, 0, 1]).flip(0).square().sum([0, 1])),
        Case::new("columns of a tall matrix", input(&[1025, 3]), |x| x[0].square().sum(0)),
        Case::new("more elements than a loop may have", input(&[73, 1009]), |x| x[0].square().sum(..)),
        Case::new("one element", input(&[1]), |x| x[0].sum(..)),
        Case::new("a scalar", input(&[]), |x| x[0].sum(..)),
    ]
}
