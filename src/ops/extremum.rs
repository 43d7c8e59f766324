//! y = the maximum or minimum of x over axes, NaN if any element is; dx = g where x equals y, shared
//! evenly among equals.

use super::elementwise::floats;
use super::sum::reduction;
use crate::base::{Axes, Real, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Draw, EvalContext, LowerContext, Lowering, Op, Reduce, Reduction,
    Reference, Tensor, Vjp,
};
use ndarray::Axis;

/// Keeps the axes with extent 1.
#[derive(Debug)]
struct Extremum {
    kind: Reduction,
    axes: Vec<usize>,
}

impl Op for Extremum {
    fn name(&self) -> &'static str {
        if self.kind == Reduction::Max { "amax" } else { "amin" }
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        floats(inputs)?;
        Ok(vec![TensorType::f32(inputs[0].shape.reduced(&self.axes, true))])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (x, y, g) = cx.unary();
        let equal = x.eq(y).to_f32();
        let axes: Vec<isize> = self.axes.iter().map(|&axis| axis as isize).collect();
        Cotangents::one(equal * (g / equal.sum_keep(&axes[..])))
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        Lowering::Reduce(Reduce { kind: self.kind, axes: self.axes.clone() })
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("axes", &self.axes)
    }
}

impl Reference for Extremum {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let better = |a: T, b: T| match self.kind {
            Reduction::Min => a <= b || a.is_nan(),
            _ => a >= b || a.is_nan(),
        };
        let mut result = inputs[0].real().clone();
        for &axis in &self.axes {
            let first = result.index_axis(Axis(axis), 0).to_owned();
            let mut best = first;
            for lane in result.axis_iter(Axis(axis)) {
                best.zip_mut_with(&lane, |a, &b| *a = if better(*a, b) { *a } else { b });
            }
            result = best.insert_axis(Axis(axis));
        }
        vec![Value::Real(result)]
    }
}

impl Tensor<'_> {
    #[track_caller]
    fn extremum(self, kind: Reduction, axes: impl Into<Axes>, keep: bool) -> Self {
        match reduction(if kind == Reduction::Max { "amax" } else { "amin" }, self, axes) {
            Ok((axes, shape)) => {
                let kept = self.graph.record(Extremum { kind, axes }, &[self]);
                if keep { kept } else { kept.reshape(shape) }
            }
            Err(invalid) => invalid,
        }
    }

    /// The maximum over axes, which disappear. The gradient is shared evenly among equal maxima.
    #[must_use]
    #[track_caller]
    pub fn amax(self, axes: impl Into<Axes>) -> Self {
        self.extremum(Reduction::Max, axes, false)
    }

    /// The maximum over axes, which stay with extent 1.
    #[must_use]
    #[track_caller]
    pub fn amax_keep(self, axes: impl Into<Axes>) -> Self {
        self.extremum(Reduction::Max, axes, true)
    }

    /// The minimum over axes, which disappear. The gradient is shared evenly among equal minima.
    #[must_use]
    #[track_caller]
    pub fn amin(self, axes: impl Into<Axes>) -> Self {
        self.extremum(Reduction::Min, axes, false)
    }

    /// The minimum over axes, which stay with extent 1.
    #[must_use]
    #[track_caller]
    pub fn amin_keep(self, axes: impl Into<Axes>) -> Self {
        self.extremum(Reduction::Min, axes, true)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::new(shape, Draw::Distinct { low: -2.0, high: 2.0 })];
    vec![
        Case::new("max, first axis", input(&[4, 5, 6]), |x| x[0].amax(0)),
        Case::new("max, last axis", input(&[4, 65]), |x| x[0].amax_keep(-1)),
        Case::new("min, two axes", input(&[4, 5, 6]), |x| x[0].amin([0, 2])),
        Case::new("min, tall", input(&[1025, 5]), |x| x[0].amin_keep(0)),
    ]
}
