//! y = exp(x) / sum of exp(x) along the last axis; dx = y (g - sum of g y).
//!
//! The Jacobian is diag(y) - y y^T.

use super::rows;
use crate::base::{Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Domain, EvalContext, LowerContext, Lowering, Op, Reference, Tensor, Text, Vjp,
    libraries,
};
use ndarray::{ArrayD, Axis, Zip};

#[derive(Debug)]
struct Softmax;

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        rows::output(inputs)
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(softmax_backward(cx.outputs[0], cx.cotangent()))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let libraries = [&libraries::EXPONENTIAL, &libraries::COMPARISON, &libraries::ROWS];
        let text = Text::new(include_str!("../../shaders/softmax.wgsl"), &libraries);
        let shape = &cx.inputs[0].shape;
        let host = rows::on_host(shape.last(), |[x], y| {
            let greatest = rows::greatest_of(x);
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - greatest).exponential());
            let total = rows::sum_of(y, y, |e, _| e);
            for y in y.iter_mut() {
                *y /= total;
            }
        });
        rows::lower("softmax", text, shape, cx.class, &["x"], &["y"], Some(host))
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        let x = inputs[0];
        let e = (x - x.amax_keep(-1).detach()).exp();
        Some(vec![e / e.sum_keep(-1)])
    }
}

/// The softmax of every lane along the last axis.
pub(super) fn softmax_value<T: Real>(x: &ArrayD<T>) -> ArrayD<T> {
    let mut y = x.clone();
    let last = Axis(y.ndim() - 1);
    for mut lane in y.lanes_mut(last) {
        let greatest = lane.iter().copied().fold(T::neg_infinity(), T::max);
        lane.mapv_inplace(|x| (x - greatest).exp());
        let total = lane.sum();
        lane.mapv_inplace(|e| e / total);
    }
    y
}

impl Reference for Softmax {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::Real(softmax_value(inputs[0].real()))]
    }
}

/// From the softmax y and the gradient g of it to the gradient of its input.
#[derive(Debug)]
struct SoftmaxBackward;

impl Op for SoftmaxBackward {
    fn name(&self) -> &'static str {
        "softmax_backward"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        rows::output(inputs)
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (y, g, c) = (cx.inputs[0], cx.inputs[1], cx.cotangent());
        let dy = c * (g - (g * y).sum_keep(-1)) - g * (c * y).sum_keep(-1);
        Cotangents::two(dy, softmax_backward(y, c))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let text = Text::new(include_str!("../../shaders/softmax_backward.wgsl"), &[&libraries::ROWS]);
        let shape = &cx.inputs[0].shape;
        let host = rows::on_host(shape.last(), |[y, g], dx| {
            let product = rows::sum_of(y, g, |y, g| y * g);
            dx.iter_mut().zip(y).zip(g).for_each(|((dx, &y), &g)| *dx = y * (g - product));
        });
        rows::lower("softmax_backward", text, shape, cx.class, &["y", "g"], &["dx"], Some(host))
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        let (y, g) = (inputs[0], inputs[1]);
        Some(vec![y * (g - (g * y).sum_keep(-1))])
    }
}

impl Reference for SoftmaxBackward {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (y, g) = (inputs[0].real(), inputs[1].real());
        let last = Axis(y.ndim() - 1);
        let mut dx = y * g;
        let product = dx.sum_axis(last).insert_axis(last);
        Zip::from(&mut dx)
            .and(y)
            .and(g)
            .and_broadcast(&product)
            .for_each(|dx, &y, &g, &product| *dx = y * (g - product));
        vec![Value::Real(dx)]
    }
}

/// Records y (g - sum of g y).
#[track_caller]
pub(super) fn softmax_backward<'g>(y: Tensor<'g>, g: Tensor<'g>) -> Tensor<'g> {
    y.graph().record(SoftmaxBackward, &[y, g])
}

impl Tensor<'_> {
    /// exp(x) / sum of exp(x) along an axis: positive numbers that add up to one, in the shape of x. The maximum is subtracted
    /// first, so that nothing overflows.
    #[must_use]
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Self {
        rows::along("softmax", self, axis, |x| x.graph.record(Softmax, &[x]))
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::uniform(shape, -3.0, 3.0)];
    let pair = |shape: &[usize]| vec![CaseInput::uniform(shape, 0.0, 1.0), CaseInput::uniform(shape, -1.0, 1.0)];
    vec![
        Case::new("rows", input(&[8, 10]), |x| x[0].softmax(-1)),
        Case::new("wide rows", input(&[3, 1025]), |x| x[0].softmax(-1)),
        Case::new("middle axis", input(&[2, 7, 5]), |x| x[0].softmax(1)),
        Case::new("one row", input(&[65]), |x| x[0].softmax(0)),
        Case::new("far from zero", vec![CaseInput::uniform([4, 5], 199.0, 201.0)], |x| x[0].softmax(-1)),
        Case::new("backward", pair(&[5, 13]), |x| softmax_backward(x[0], x[1])),
        // Gradients of one sign, as their sum over a wide row may cancel to nothing but rounding.
        Case::new(
            "backward, wide",
            vec![CaseInput::uniform([2, 1025], 0.0, 1.0), CaseInput::uniform([2, 1025], 0.1, 1.0)],
            |x| softmax_backward(x[0], x[1]),
        ),
    ]
}
