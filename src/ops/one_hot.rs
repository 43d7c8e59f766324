//! y[.., c] = 1 where the label is c, else 0. No gradient passes.

use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Argument, Attributes, Case, CaseInput, Cotangents, Draw, EvalContext, HostFunction, LowerContext, Lowering, Op,
    Pointwise, Reference, Tensor, Vjp,
};

/// The input is the labels, stretched along a last axis of `classes`.
#[derive(Debug)]
struct OneHot {
    classes: usize,
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        match inputs[0].dtype {
            DType::I32 => Ok(vec![TensorType::f32(&inputs[0].shape)]),
            other => Err(format!("labels are i32 and these are {other}: record them with `Graph::labels`")),
        }
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let arguments = vec![Argument::Input(0), Argument::Coordinate(cx.inputs[0].shape.rank() - 1)];
        let host = HostFunction::new(|block, out| {
            for ((y, label), column) in out.iter_mut().zip(block.arguments[0]).zip(block.arguments[1]) {
                *y = if label == column { 1.0f32 } else { 0.0 }.to_bits();
            }
        });
        Lowering::Pointwise(Pointwise::new("select(0.0f, 1.0f, {0} == i32({1}))", arguments, &[]).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("classes", self.classes)
    }
    fn index_limit(&self, _input: usize, _inputs: &[&TensorType]) -> Option<usize> {
        Some(self.classes)
    }
}

impl Reference for OneHot {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let labels = inputs[0].integers();
        let last = labels.ndim() - 1;
        let mut output = labels.mapv(|_| T::zero());
        for ((index, y), label) in output.indexed_iter_mut().zip(labels.iter()) {
            if index[last] as i64 == *label {
                *y = T::one();
            }
        }
        vec![Value::Real(output)]
    }
}

impl Tensor<'_> {
    /// For labels of shape `[..]`, floats of shape `[.., classes]` that are 1 at the label.
    #[must_use]
    #[track_caller]
    pub fn one_hot(self, classes: usize) -> Self {
        let _here = self.graph.here();
        let mut extents = self.shape().to_vec();
        extents.push(classes);
        self.graph.check_index("one_hot", self, classes);
        self.graph.record(OneHot { classes }, &[self.unsqueeze(-1).broadcast_to(extents)])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("rows", vec![CaseInput::new([4, 5], Draw::Labels { below: 7 })], |x| x[0].one_hot(7)).value_only()]
}
