//! y = a where the condition holds, else b; da = g where it holds, db = g where it does not.

use super::elementwise::broadcast_pair;
use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, Draw, EvalContext, HostFunction, LowerContext, Lowering, Op, Pointwise, Reference,
    Tensor, Vjp,
};
use ndarray::Zip;

#[derive(Debug)]
struct Where;

impl Op for Where {
    fn name(&self) -> &'static str {
        "where_cond"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        if inputs[0].dtype == DType::F32 {
            return Err("the condition must be a mask or integers: compare first, as in `x.gt(y)`".into());
        }
        super::elementwise::floats(&inputs[1..])?;
        super::elementwise::same_shapes(inputs)?;
        Ok(vec![inputs[1].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let g = cx.cotangent();
        let zero = g.graph().scalar(0.0);
        Cotangents::Inputs(vec![None, Some(cx.inputs[0].where_cond(g, zero)), Some(cx.inputs[0].where_cond(zero, g))])
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let zero = if cx.inputs[0].dtype == DType::I32 { "0i" } else { "0u" };
        let host = HostFunction::new(|block, out| {
            let [condition, a, b] = block.arguments else { return };
            for (((y, &c), &a), &b) in out.iter_mut().zip(*condition).zip(*a).zip(*b) {
                *y = if c != 0 { a } else { b };
            }
        });
        Lowering::Pointwise(
            Pointwise::of_inputs(format!("select({{2}}, {{1}}, {{0}} != {zero})"), 3, &[]).on_host(host),
        )
    }
}

impl Reference for Where {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let condition = inputs[0].integers();
        let choose = |&c: &i64, &a: &T, &b: &T| if c != 0 { a } else { b };
        vec![Value::Real(Zip::from(&condition).and(inputs[1].real()).and(inputs[2].real()).map_collect(choose))]
    }
}

impl Tensor<'_> {
    /// `a` where this mask (or integer) is not zero, else `b`; all stretched to a common shape.
    #[must_use]
    #[track_caller]
    pub fn where_cond(self, a: Self, b: Self) -> Self {
        let _here = self.graph.here();
        let stretched = broadcast_pair("where_cond", a, b).and_then(|(a, b)| {
            let (condition, a) = broadcast_pair("where_cond", self, a)?;
            let (_, b) = broadcast_pair("where_cond", a, b)?;
            Ok([condition, a, b])
        });
        match stretched {
            Ok(inputs) => self.graph.record(Where, &inputs),
            Err(invalid) => invalid,
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let floats = |shape: &[usize]| CaseInput::uniform(shape, -2.0, 2.0);
    vec![
        Case::new("same shape", vec![CaseInput::new([4, 9], Draw::Mask), floats(&[4, 9]), floats(&[4, 9])], |x| {
            x[0].where_cond(x[1], x[2])
        }),
        Case::new("stretched", vec![CaseInput::new([40, 1], Draw::Mask), floats(&[5]), floats(&[])], |x| {
            x[0].where_cond(x[1], x[2])
        }),
        Case::new("integers", vec![CaseInput::new([6], Draw::Labels { below: 3 }), floats(&[6]), floats(&[6])], |x| {
            x[0].where_cond(x[1], x[2])
        }),
    ]
}
