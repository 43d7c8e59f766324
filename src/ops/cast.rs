//! y = x as a float: masks become 0 and 1, labels their number; or a float as an integer. No gradient passes.

use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Draw, EvalContext, HostFunction, LowerContext, Lowering, Op, Pointwise, Reference,
    Tensor, Vjp, libraries,
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

/// A float without its fraction; -2^31 for NaN.
#[derive(Debug)]
struct ToI32;

impl Op for ToI32 {
    fn name(&self) -> &'static str {
        "to_i32"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(inputs)?;
        Ok(vec![TensorType { shape: inputs[0].shape.clone(), dtype: DType::I32 }])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let host = HostFunction::new(|block, out| {
            for (y, &x) in out.iter_mut().zip(block.arguments[0]) {
                *y = truncated(f64::from(f32::from_bits(x))).cast_unsigned();
            }
        });
        let expression = "select(i32(clamp({0}, -2147483648.0f, 2147483520.0f)), i32(-2147483647 - 1), is_nan({0}))";
        Lowering::Pointwise(Pointwise::of_inputs(expression, 1, &[&libraries::NUMBERS]).on_host(host))
    }
}

fn truncated(x: f64) -> i32 {
    if x.is_nan() { i32::MIN } else { x.clamp(-2_147_483_648.0, 2_147_483_520.0) as i32 }
}

impl Reference for ToI32 {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::I32(inputs[0].real().mapv(|x| truncated(x.double())))]
    }
}

impl Tensor<'_> {
    /// Floats as integers (`i32`), without their fractions. NaN becomes the least integer, which is no index.
    #[must_use]
    #[track_caller]
    pub fn to_i32(self) -> Self {
        self.graph.record(ToI32, &[self])
    }

    /// The tensor as floats: a mask becomes 0 and 1, labels become their number.
    #[must_use]
    #[track_caller]
    pub fn to_f32(self) -> Self {
        self.graph.record(ToF32, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("to integers", vec![CaseInput::uniform([65], -9.0, 9.0)], |x| x[0].to_i32()).value_only(),
        Case::new("mask", vec![CaseInput::new([3, 5], Draw::Mask)], |x| x[0].to_f32()).value_only(),
        Case::new("labels", vec![CaseInput::new([65], Draw::Labels { below: 1000 })], |x| x[0].to_f32()).value_only(),
    ]
}
