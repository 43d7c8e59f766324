//! y = x r / (1 - p) with r = 0 with probability p, else 1; dx = g r / (1 - p), with the same r.
//!
//! Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014.

use super::random::Draws;
use crate::base::{Real, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Domain, EvalContext, LowerContext, Lowering, Op, Reference, Tensor, Text,
    Vjp,
};
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
struct DropoutMask {
    draws: Draws,
    rate: f64,
}

impl Op for DropoutMask {
    fn name(&self) -> &'static str {
        "dropout_mask"
    }
    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(self.draws.outputs())
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(0)
    }
    fn domain(&self, _inputs: &[&TensorType]) -> Option<Domain> {
        self.draws.domain()
    }
    fn part(&self, _domain: &Domain, ranges: &[Range<usize>]) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self { draws: self.draws.part(ranges), rate: self.rate }))
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let (rate, scale) = (self.rate, 1.0 / (1.0 - self.rate));
        let expression =
            |number: &str| format!("select({}, 0.0f, {number} < {})", Text::literal(scale), Text::literal(rate));
        let (rate, scale) = (rate as f32, scale as f32);
        self.draws.lower(expression, move |number| if number < rate { 0.0 } else { scale })
    }
    fn attributes(&self) -> Attributes {
        self.draws.attributes().with("rate", self.rate)
    }
}

impl Reference for DropoutMask {
    fn eval<T: Real>(&self, _inputs: &[&Value<T>], cx: &EvalContext) -> Vec<Value<T>> {
        // Compared in single precision, as on the device: both then drop the same elements.
        let (rate, scale) = (self.rate as f32, 1.0 / (1.0 - self.rate));
        self.draws.eval(*cx, |number| if number < rate { 0.0 } else { scale })
    }
}

impl Tensor<'_> {
    /// Sets a fraction `rate` of the elements to zero, others anew every step, and scales the rest by
    /// 1 / (1 - rate). For training only: leave it out of the graph that is recorded for evaluation.
    #[must_use]
    #[track_caller]
    pub fn dropout(self, rate: f64) -> Self {
        if !(0.0..1.0).contains(&rate) {
            return self.graph.fault(
                "dropout",
                &[self],
                format!("the rate must be at least 0 and below 1, and is {rate}"),
            );
        }
        let draws = Draws::next(self.graph, self.shape());
        self * self.graph.record(DropoutMask { draws, rate }, &[])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("half", vec![CaseInput::uniform([13, 17], 0.5, 1.5)], |x| x[0].dropout(0.5)),
        Case::new("two masks differ", vec![CaseInput::uniform([65], 0.5, 1.5)], |x| {
            x[0].dropout(0.2) * x[0].dropout(0.2)
        }),
    ]
}
