//! Cross-entropy of rows of scores x against rows of target probabilities q, loss and gradient from
//! one kernel: loss = -sum of q `log_softmax(x)`, d = softmax(x) sum(q) - q; dx = g d, dq = -g `log_softmax(x)`.

use super::log_softmax::log_softmax_value;
use super::rows;
use super::softmax::softmax_backward;
use crate::base::{Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Domain, Draw, EvalContext, LowerContext, Lowering, Op, Reference, Tensor, Text, Vjp,
    libraries,
};
use ndarray::{Axis, Zip};

#[derive(Debug)]
struct CrossEntropyProbabilities;

impl Op for CrossEntropyProbabilities {
    fn name(&self) -> &'static str {
        "cross_entropy_probabilities"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        rows::output(inputs)?;
        let shape = &inputs[0].shape;
        Ok(vec![TensorType::f32(&shape[..shape.rank() - 1]), inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (x, q) = (cx.inputs[0], cx.inputs[1]);
        let mut dx = None;
        let mut dq = None;
        let add = |sum: &mut Option<Tensor<'g>>, term: Tensor<'g>| *sum = Some(sum.map_or(term, |sum| sum + term));
        if let Some(g) = cx.cotangents[0] {
            let g = g.unsqueeze(-1);
            add(&mut dx, g * cx.outputs[1]);
            add(&mut dq, -(g * x.log_softmax(-1)));
        }
        if let Some(c) = cx.cotangents[1] {
            let p = x.softmax(-1);
            add(&mut dx, softmax_backward(p, c) * q.sum_keep(-1));
            add(&mut dq, (c * p).sum_keep(-1) - c);
        }
        Cotangents::Inputs(vec![dx, dq])
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let libraries = [&libraries::EXPONENTIAL, &libraries::LOGARITHM, &libraries::COMPARISON, &libraries::ROWS];
        let text = Text::new(include_str!("../../shaders/cross_entropy_probabilities.wgsl"), &libraries);
        rows::lower(
            "cross_entropy_probabilities",
            text,
            &cx.inputs[0].shape,
            cx.class,
            &["x", "q"],
            &["loss", "dx"],
            None,
        )
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        let (x, q) = (inputs[0], inputs[1]);
        Some(vec![-(q * x.log_softmax(-1)).sum(-1), x.softmax(-1) * q.sum_keep(-1) - q])
    }
}

impl Reference for CrossEntropyProbabilities {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let q = inputs[1].real();
        let last = Axis(q.ndim() - 1);
        let log_p = log_softmax_value(inputs[0].real());
        let losses = (q * &log_p).sum_axis(last).mapv(|x| -x);
        let weight = q.sum_axis(last).insert_axis(last);
        let mut gradient = log_p;
        Zip::from(&mut gradient).and(q).and_broadcast(&weight).for_each(|d, &q, &weight| *d = d.exp() * weight - q);
        vec![Value::Real(losses), Value::Real(gradient)]
    }
}

impl Tensor<'_> {
    /// The mean over rows of -sum of q `log_softmax(x)`: scores `[.., classes]` against target
    /// probabilities of the same shape.
    #[must_use]
    #[track_caller]
    pub fn cross_entropy_probabilities(self, targets: Self) -> Self {
        self.graph.record_outputs(CrossEntropyProbabilities, &[self, targets], 2)[0].mean(..)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input =
        |shape: [usize; 2]| vec![CaseInput::uniform(shape, -3.0, 3.0), CaseInput::new(shape, Draw::Probabilities)];
    vec![
        Case::new("mean", input([8, 10]), |x| x[0].cross_entropy_probabilities(x[1])),
        Case::new("wide", input([3, 1025]), |x| x[0].cross_entropy_probabilities(x[1])),
        Case::new("its own gradient", input([4, 6]), |x| {
            x[0].graph().record_outputs(CrossEntropyProbabilities, &[x[0], x[1]], 2)[1]
        }),
    ]
}
