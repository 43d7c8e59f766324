//! What all views have in common: an op says its view and its gradient; shapes, reference and
//! lowering follow.

use crate::base::{Real, Shape, TensorType, Value, View, map_value};
use crate::record::{Attributes, Cotangents, EvalContext, LowerContext, Lowering, Op, Reference, Vjp};
use ndarray::{ArrayD, IxDyn, Slice};

/// An op that looks at its input differently.
#[derive(Debug)]
pub(super) struct ViewOp<G> {
    /// The op's name.
    pub name: &'static str,
    /// The view.
    pub view: View,
    /// The gradient rule.
    pub gradient: G,
}

/// The gradient of a view.
pub(super) trait ViewGradient: std::fmt::Debug + Send + Sync + 'static {
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g>;
}

impl<G: ViewGradient> Op for ViewOp<G> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let input = &inputs[0].shape;
        let shape: Shape = match &self.view {
            View::Reshape(shape) => match shape.checked_elements() {
                Some(elements) if elements == input.elements() => shape.clone(),
                _ => {
                    return Err(format!(
                        "{input} has {} elements and {shape} has {}",
                        input.elements(),
                        shape.elements()
                    ));
                }
            },
            View::Permute(order) => order.iter().map(|&axis| input[axis]).collect::<Vec<_>>().into(),
            View::Broadcast(shape) if input.broadcasts_to(shape) => shape.clone(),
            View::Broadcast(shape) => {
                return Err(format!(
                    "{input} does not stretch to {shape}: aligned at the last axis, extents must be equal or 1"
                ));
            }
            View::Slice { extents, .. } => extents.clone().into(),
        };
        Ok(vec![TensorType { shape, dtype: inputs[0].dtype }])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        self.gradient.vjp(cx)
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        Lowering::View(self.view.clone())
    }
    fn attributes(&self) -> Attributes {
        match &self.view {
            View::Reshape(shape) | View::Broadcast(shape) => Attributes::default().with("shape", &shape[..]),
            View::Permute(order) => Attributes::default().with("axes", order),
            View::Slice { starts, steps, extents } => {
                Attributes::default().with("starts", starts).with("steps", steps).with("extents", extents)
            }
        }
    }
}

impl<G> Reference for ViewOp<G> {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![map_value!(inputs[0], array => apply(&self.view, array))]
    }
}

fn apply<A: Clone>(view: &View, array: &ArrayD<A>) -> ArrayD<A> {
    // The shape rule has checked that every one of these fits.
    const CHECKED: &str = "the shape rule of the view was checked when it was recorded";
    match view {
        View::Reshape(shape) => {
            array.as_standard_layout().into_owned().into_shape_with_order(IxDyn(shape)).expect(CHECKED)
        }
        View::Permute(order) => array.view().permuted_axes(IxDyn(order)).as_standard_layout().into_owned(),
        View::Broadcast(shape) => array.broadcast(IxDyn(shape)).expect(CHECKED).as_standard_layout().into_owned(),
        View::Slice { starts, steps, extents } => {
            let mut result = array.view();
            for axis in 0..starts.len() {
                let (start, step, extent) = (starts[axis] as isize, steps[axis], extents[axis] as isize);
                // ndarray walks backwards from the end of the range.
                let reach = start + step * (extent - 1);
                let (from, to) = if step > 0 { (start, reach + 1) } else { (reach, start + 1) };
                result.slice_axis_inplace(ndarray::Axis(axis), Slice::new(from, Some(to), step));
            }
            result.as_standard_layout().into_owned()
        }
    }
}
