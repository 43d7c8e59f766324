//! y = x as a float: masks become 0 and 1, labels their number. No gradient passes.

use crate::base::{Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Draw, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Tensor, Vjp,
};

#[derive(Debug)]
struct ToF32;

impl Op for ToF32 {
    fn name(&self) -> &'static str {
        "to_f32"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![TensorType::f32(&inputs[0].shape)])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        // Of a float this is the identity; of integers the path ends.
        Cotangents::Inputs(vec![if cx.inputs[0].dtype() == crate::base::DType::F32 { cx.cotangents[0] } else { None }])
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        Lowering::Pointwise(Pointwise::of_inputs("f32({0})", 1, &[]))
    }
}

impl Reference for ToF32 {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::Real(inputs[0].to_real())]
    }
}

impl Tensor<'_> {
    /// The tensor as floats: a mask becomes 0 and 1, labels become their number.
    #[must_use]
    #[track_caller]
    pub fn to_f32(self) -> Self {
        self.graph.record(ToF32, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("mask", vec![CaseInput::new([3, 5], Draw::Mask)], |x| x[0].to_f32()).value_only(),
        Case::new("labels", vec![CaseInput::new([65], Draw::Labels { below: 1000 })], |x| x[0].to_f32()).value_only(),
    ]
}
