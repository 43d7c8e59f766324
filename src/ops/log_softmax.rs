//! y = x - ln(sum of exp(x)) along the last axis; dx = g - exp(y) sum of g.

use super::rows;
use crate::base::{Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Domain, EvalContext, LowerContext, Lowering, Op, Reference, Tensor, Text, Vjp,
    libraries,
};
use ndarray::{ArrayD, Axis, Zip};

#[derive(Debug)]
struct LogSoftmax;

impl Op for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        rows::output(inputs)
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.outputs[0].graph().record(LogSoftmaxBackward, &[cx.outputs[0], cx.cotangent()]))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let libraries = [&libraries::EXPONENTIAL, &libraries::LOGARITHM, &libraries::COMPARISON, &libraries::ROWS];
        let text = Text::new(include_str!("../../shaders/log_softmax.wgsl"), &libraries);
        let shape = &cx.inputs[0].shape;
        let host = rows::on_host(shape.last(), |[x], y| log_softmax_row(x, y));
        rows::lower("log_softmax", text, shape, cx.class, &["x"], &["y"], Some(host))
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        let shifted = inputs[0] - inputs[0].amax_keep(-1).detach();
        Some(vec![shifted - shifted.exp().sum_keep(-1).log()])
    }
}

/// The logarithm of the softmax of every lane along the last axis.
pub(super) fn log_softmax_value<T: Real>(x: &ArrayD<T>) -> ArrayD<T> {
    let mut y = x.clone();
    let last = Axis(y.ndim() - 1);
    for mut lane in y.lanes_mut(last) {
        let greatest = lane.iter().copied().fold(T::neg_infinity(), T::max);
        let shift = lane.iter().map(|&x| (x - greatest).exp()).sum::<T>().ln();
        lane.mapv_inplace(|x| (x - greatest) - shift);
    }
    y
}

/// The same for one row of floats.
#[inline(always)]
pub(super) fn log_softmax_row(x: &[f32], y: &mut [f32]) {
    let greatest = rows::greatest_of(x);
    let shift = rows::sum_of(x, x, |x, _| (x - greatest).exponential()).ln();
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - greatest) - shift);
}

impl Reference for LogSoftmax {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::Real(log_softmax_value(inputs[0].real()))]
    }
}

/// From the log-softmax y and the gradient g of it to the gradient of its input.
#[derive(Debug)]
struct LogSoftmaxBackward;

impl Op for LogSoftmaxBackward {
    fn name(&self) -> &'static str {
        "log_softmax_backward"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        rows::output(inputs)
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (y, g, c) = (cx.inputs[0], cx.inputs[1], cx.cotangent());
        let e = y.exp();
        let dy = -(c * e * g.sum_keep(-1));
        Cotangents::two(dy, c - (c * e).sum_keep(-1))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let text = Text::new(
            include_str!("../../shaders/log_softmax_backward.wgsl"),
            &[&libraries::EXPONENTIAL, &libraries::ROWS],
        );
        let shape = &cx.inputs[0].shape;
        let host = rows::on_host(shape.last(), |[y, g], dx| {
            let total = rows::sum_of(g, g, |g, _| g);
            dx.iter_mut().zip(y).zip(g).for_each(|((dx, &y), &g)| *dx = g - y.exponential() * total);
        });
        rows::lower("log_softmax_backward", text, shape, cx.class, &["y", "g"], &["dx"], Some(host))
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        Some(vec![inputs[1] - inputs[0].exp() * inputs[1].sum_keep(-1)])
    }
}

impl Reference for LogSoftmaxBackward {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (y, g) = (inputs[0].real(), inputs[1].real());
        let last = Axis(y.ndim() - 1);
        let total = g.sum_axis(last).insert_axis(last);
        let mut dx = g.clone();
        Zip::from(&mut dx).and(y).and_broadcast(&total).for_each(|dx, &y, &total| *dx = *dx - y.exp() * total);
        vec![Value::Real(dx)]
    }
}

impl Tensor<'_> {
    /// The logarithm of the softmax along an axis, x - ln(sum of exp(x)), in the shape of x: accurate where probabilities vanish.
    #[must_use]
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Self {
        rows::along("log_softmax", self, axis, |x| x.graph.record(LogSoftmax, &[x]))
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::uniform(shape, -3.0, 3.0)];
    let pair = |shape: &[usize]| vec![CaseInput::uniform(shape, -3.0, -0.1), CaseInput::uniform(shape, -1.0, 1.0)];
    vec![
        Case::new("rows", input(&[8, 10]), |x| x[0].log_softmax(-1)),
        Case::new("wide rows", input(&[3, 1025]), |x| x[0].log_softmax(-1)),
        Case::new("first axis", input(&[7, 5]), |x| x[0].log_softmax(0)),
        Case::new("far from zero", vec![CaseInput::uniform([4, 5], 199.0, 201.0)], |x| x[0].log_softmax(-1)),
        Case::new("backward", pair(&[5, 13]), |x| x[0].graph().record(LogSoftmaxBackward, &[x[0], x[1]])),
        // Gradients of one sign, as their sum over a wide row may cancel to nothing but rounding.
        Case::new(
            "backward, wide",
            vec![CaseInput::uniform([2, 1025], -3.0, -0.1), CaseInput::uniform([2, 1025], 0.1, 1.0)],
            |x| x[0].graph().record(LogSoftmaxBackward, &[x[0], x[1]]),
        ),
    ]
}
