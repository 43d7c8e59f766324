//! A tensor with one value everywhere.

use crate::base::{Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, EvalContext, Graph, HostFunction, LowerContext, Lowering, Op, Pointwise,
    Reference, Tensor, Text, Vjp,
};
use ndarray::{ArrayD, IxDyn};

/// One element; larger tensors are views of it.
#[derive(Debug)]
struct Scalar {
    value: f64,
}

impl Op for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        if (self.value as f32).is_finite() {
            Ok(vec![TensorType::f32(Shape::default())])
        } else {
            Err(format!("the value must be finite in single precision, and is {}", self.value))
        }
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(0)
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let bits = (self.value as f32).to_bits();
        let host = HostFunction::new(move |_, out| out.fill(bits));
        Lowering::Pointwise(Pointwise::of_inputs(Text::literal(self.value), 0, &[]).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("value", self.value)
    }
}

impl Reference for Scalar {
    fn eval<T: Real>(&self, _inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::Real(ArrayD::from_elem(IxDyn(&[]), T::real(self.value)))]
    }
}

impl Graph {
    /// A tensor without axes.
    #[must_use]
    #[track_caller]
    pub fn scalar(&self, value: f64) -> Tensor<'_> {
        self.record(Scalar { value }, &[])
    }

    /// A tensor with one value everywhere; takes the memory of one element.
    #[must_use]
    #[track_caller]
    pub fn full(&self, shape: impl Into<Shape>, value: f64) -> Tensor<'_> {
        self.scalar(value).broadcast_to(shape)
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("added", vec![CaseInput::uniform([3, 5], -1.0, 1.0)], |x| x[0] + x[0].graph().full([3, 5], 0.75))]
}
