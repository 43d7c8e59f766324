//! y = random numbers from 0 to below 1, others every step; no gradient, having no inputs.

use super::random::Draws;
use crate::base::{Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Domain, EvalContext, Graph, LowerContext, Lowering, Op, Reference, Tensor,
    Vjp,
};
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
struct Uniform(Draws);

impl Op for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }
    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(self.0.outputs())
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(0)
    }
    fn domain(&self, _inputs: &[&TensorType]) -> Option<Domain> {
        self.0.domain()
    }
    fn part(&self, _domain: &Domain, ranges: &[Range<usize>]) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Self(self.0.part(ranges))))
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        self.0.lower(str::to_owned, |number| number)
    }
    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }
}

impl Reference for Uniform {
    fn eval<T: Real>(&self, _inputs: &[&Value<T>], cx: &EvalContext) -> Vec<Value<T>> {
        self.0.eval(*cx, f64::from)
    }
}

impl Graph {
    /// Random numbers from 0 to below 1 (multiples of 2^-24), others in every step: made on the device, from the step's seed.
    #[must_use]
    #[track_caller]
    pub fn uniform(&self, shape: impl Into<Shape>) -> Tensor<'_> {
        self.record(Uniform(Draws::next(self, shape.into())), &[])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([13, 17], 0.5, 1.5)];
    vec![
        Case::new("times numbers", input(), |x| x[0] * x[0].graph().uniform([13, 17])),
        Case::new("two streams differ", input(), |x| {
            let g = x[0].graph();
            x[0] * (g.uniform([13, 1]) - g.uniform([13, 1]))
        }),
    ]
}
