//! y = x as a float: masks become 0 and 1, labels their number. No gradient passes.

use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Draw, EvalContext, HostFunction, LowerContext, Lowering, Op, Pointwise, Reference,
    Tensor, Vjp,
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
        Cotangents::Inputs(vec![if cx.inputs[0].dtype() == DType::F32 { cx.cotangents[0] } else { None }])
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let dtype = cx.inputs[0].dtype;
        let host = HostFunction::new(move |block, out| {
            for (y, &x) in out.iter_mut().zip(block.arguments[0]) {
                *y = match dtype {
                    DType::F32 => x,
                    DType::I32 => (x as i32 as f32).to_bits(),
                    DType::U32 => (x as f32).to_bits(),
                };
            }
        });
        Lowering::Pointwise(Pointwise::of_inputs("f32({0})", 1, &[]).on_host(host))
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
