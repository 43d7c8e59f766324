//! What all unary and binary pointwise ops have in common: an op says its scalar function, its
//! WGSL and its gradient; shapes, arrays and lowering follow.

use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Attributes, Cotangents, EvalContext, HostFunction, Library, LowerContext, Lowering, Op, Pointwise, Reference,
    ScalarFunction, Tensor, Vjp,
};
use ndarray::Zip;
use std::fmt::Debug;

/// A function of one float.
pub(super) trait Function: Debug + Copy + Send + Sync + 'static {
    const NAME: &'static str;
    /// y = f(x).
    fn value<T: Real>(&self, x: T) -> T;
    /// f as WGSL, `{0}` standing for x.
    fn wgsl(&self) -> String;
    /// The libraries that the WGSL calls.
    const LIBRARIES: &'static [&'static Library] = &[];
    /// The gradient of x from x, y and the gradient of y.
    fn gradient<'g>(&self, x: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g>;
    fn attributes(&self) -> Attributes {
        Attributes::default()
    }
    fn composition<'g>(&self, _x: Tensor<'g>) -> Option<Tensor<'g>> {
        None
    }
}

/// A [`Function`] applied to every element of a float tensor.
#[derive(Debug)]
pub(super) struct Unary<F>(pub F);

impl<F: Function> Op for Unary<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        floats(inputs)?;
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (x, y, g) = cx.unary();
        self.0.gradient(x, y, g)
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let host = HostFunction::scalar(Self(self.0));
        Lowering::Pointwise(Pointwise::of_inputs(self.0.wgsl(), 1, F::LIBRARIES).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        Some(vec![self.0.composition(inputs[0])?])
    }
}

impl<F: Function> Reference for Unary<F> {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::Real(inputs[0].real().mapv(|x| self.0.value(x)))]
    }
}

impl<F: Function> ScalarFunction<1> for Unary<F> {
    #[inline(always)]
    fn call(&self, [x]: [f32; 1]) -> f32 {
        self.0.value(x)
    }
}

/// A function of two floats.
pub(super) trait Function2: Debug + Copy + Send + Sync + 'static {
    const NAME: &'static str;
    /// y = f(a, b).
    fn value<T: Real>(&self, a: T, b: T) -> T;
    /// f as WGSL, `{0}` and `{1}` standing for a and b.
    fn wgsl(&self) -> String;
    /// The libraries that the WGSL calls.
    const LIBRARIES: &'static [&'static Library] = &[];
    /// The gradients of a and b from a, b, y and the gradient of y.
    fn gradient<'g>(&self, a: Tensor<'g>, b: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g>;
    fn attributes(&self) -> Attributes {
        Attributes::default()
    }
}

/// A [`Function2`] applied to every pair of elements of two float tensors of one shape.
#[derive(Debug)]
pub(super) struct Binary<F>(pub F);

impl<F: Function2> Op for Binary<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        floats(inputs)?;
        same_shapes(inputs)?;
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        self.0.gradient(cx.inputs[0], cx.inputs[1], cx.outputs[0], cx.cotangent())
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let host = HostFunction::scalar(Self(self.0));
        Lowering::Pointwise(Pointwise::of_inputs(self.0.wgsl(), 2, F::LIBRARIES).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }
}

impl<F: Function2> Reference for Binary<F> {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (a, b) = (inputs[0].real(), inputs[1].real());
        vec![Value::Real(Zip::from(a).and(b).map_collect(|&a, &b| self.0.value(a, b)))]
    }
}

impl<F: Function2> ScalarFunction<2> for Binary<F> {
    #[inline(always)]
    fn call(&self, [a, b]: [f32; 2]) -> f32 {
        self.0.value(a, b)
    }
}

/// Records a binary op after both operands were stretched to their common shape.
#[track_caller]
pub(super) fn record_pair<'g>(op: impl Op + 'static, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    match broadcast_pair(op.name(), a, b) {
        Ok((a, b)) => a.graph().record(op, &[a, b]),
        Err(invalid) => invalid,
    }
}

/// Both operands stretched to their common shape, or the invalid tensor of a noted fault.
#[track_caller]
pub(super) fn broadcast_pair<'g>(
    name: &str,
    a: Tensor<'g>,
    b: Tensor<'g>,
) -> Result<(Tensor<'g>, Tensor<'g>), Tensor<'g>> {
    let (left, right) = (a.shape(), b.shape());
    if !a.is_valid() || !b.is_valid() || left == right {
        return Ok((a, b));
    }
    match left.broadcast(&right) {
        Some(common) => Ok((a.broadcast_to(&common), b.broadcast_to(&common))),
        None => Err(a.graph().fault(
            name,
            &[a, b],
            format!("shapes {left} and {right} do not broadcast: aligned at the last axis, extents must be equal or 1"),
        )),
    }
}

/// Checks that all inputs are floats.
pub(super) fn floats(inputs: &[&TensorType]) -> Result<(), String> {
    match inputs.iter().find(|input| input.dtype != DType::F32) {
        Some(input) => Err(format!("it works on f32 and got {}: convert with `to_f32()`", input.dtype)),
        None => Ok(()),
    }
}

/// Checks that all inputs have one shape.
pub(super) fn same_shapes(inputs: &[&TensorType]) -> Result<(), String> {
    match inputs.iter().find(|input| input.shape != inputs[0].shape) {
        Some(input) => Err(format!("shapes {} and {} differ", inputs[0].shape, input.shape)),
        None => Ok(()),
    }
}

/// Refuses indices that are no signed integers.
pub(super) fn integers(index: &TensorType) -> Result<(), String> {
    match index.dtype {
        DType::I32 => Ok(()),
        other => Err(format!("indices are i32 and these are {other}: record them with `Graph::labels`")),
    }
}
