//! The ops that resolving adds: none computes anything but where elements lie.

use crate::base::{Layout, Real, TensorType, Value, View, map_value};
use crate::record::{Cotangents, EvalContext, HostFunction, LowerContext, Lowering, Op, Pointwise, Reference, Vjp};

/// A dense copy.
#[derive(Debug)]
pub(super) struct CopyElements;

impl Op for CopyElements {
    fn name(&self) -> &'static str {
        "copy"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent())
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        Lowering::Pointwise(Pointwise::of_inputs("{0}", 1, &[]).on_host(HostFunction::first()))
    }
}

impl Reference for CopyElements {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![inputs[0].clone()]
    }
}

/// A tensor seen through a layout that no recorded view has: it is never computed, only read through.
#[derive(Debug)]
pub(super) struct Seen(pub Layout);

impl Op for Seen {
    fn name(&self) -> &'static str {
        "seen"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![TensorType { shape: self.0.shape.clone(), dtype: inputs[0].dtype }])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        // It is made after differentiation.
        Cotangents::Missing
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        Lowering::View(View::Reshape(cx.outputs[0].shape.clone()))
    }
}

impl Reference for Seen {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let at = |place: ndarray::IxDyn| -> usize {
            let steps = ndarray::Dimension::slice(&place)
                .iter()
                .zip(&self.0.strides)
                .map(|(&place, &stride)| place as isize * stride);
            (self.0.offset as isize + steps.sum::<isize>()) as usize
        };
        vec![map_value!(inputs[0], array => {
            let flat: Vec<_> = array.iter().copied().collect();
            ndarray::ArrayD::from_shape_fn(ndarray::IxDyn(&self.0.shape), |place| flat[at(place)])
        })]
    }
}
