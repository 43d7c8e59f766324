//! The position of the greatest element along the last axis: the first of equals, the first NaN if
//! any. An integer: no gradient passes.

use super::rows;
use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Domain, Draw, EvalContext, LowerContext, Lowering, Op, Reference, Tensor, Text, Vjp,
    libraries,
};
use ndarray::Axis;

#[derive(Debug)]
struct Argmax;

impl Op for Argmax {
    fn name(&self) -> &'static str {
        "argmax"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let shape = &rows::output(inputs)?[0].shape;
        Ok(vec![TensorType { shape: shape[..shape.rank() - 1].into(), dtype: DType::I32 }])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let text = Text::new(include_str!("../../shaders/argmax.wgsl"), &[&libraries::NUMBERS]);
        rows::lower("argmax", text, &cx.inputs[0].shape, cx.class, &["x"], &["y"], None)
    }
}

impl Reference for Argmax {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let x = inputs[0].real();
        let first = |best: (usize, T), (column, &x): (usize, &T)| {
            if x > best.1 || (x.is_nan() && !best.1.is_nan()) { (column, x) } else { best }
        };
        let position = |lane: ndarray::ArrayView1<'_, T>| lane.iter().enumerate().fold((0, lane[0]), first).0 as i32;
        vec![Value::I32(x.map_axis(Axis(x.ndim() - 1), position))]
    }
}

impl Tensor<'_> {
    /// The position of the greatest element along an axis, which disappears (`i32`).
    #[must_use]
    #[track_caller]
    pub fn argmax(self, axis: isize) -> Self {
        match self.shape().axis(axis) {
            Ok(axis) => {
                let last = self.rank() as isize - 1;
                let mut order: Vec<isize> = (0..=last).filter(|&other| other != axis as isize).collect();
                order.push(axis as isize);
                let x = if axis as isize == last { self } else { self.permute(order) };
                self.graph.record(Argmax, &[x])
            }
            Err(reason) => self.graph.fault("argmax", &[self], reason),
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::new(shape, Draw::Distinct { low: -1.0, high: 1.0 })];
    vec![
        Case::new("rows", input(&[9, 7]), |x| x[0].argmax(-1)).value_only(),
        Case::new("wide rows", input(&[3, 1025]), |x| x[0].argmax(-1)).value_only(),
        Case::new("first axis", input(&[5, 4, 3]), |x| x[0].argmax(0)).value_only(),
        Case::new("equals", input(&[4, 6]), |x| x[0].sign().argmax(-1)).value_only(),
    ]
}
