//! What all views have in common: an op says its view and its gradient; shapes, reference and
//! lowering follow.

use crate::base::{Real, Shape, TensorType, Value, View, Walk, map_value};
use crate::record::{Attributes, Cotangents, EvalContext, LowerContext, Lowering, Op, Reference, Vjp};

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
                        "{input} has {} elements and {shape} has {}: a reshape keeps their number",
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
            View::Walk(walks) => walks.iter().map(|walk| walk.extent).collect::<Vec<_>>().into(),
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
            View::Walk(walks) => {
                let of = |walk: &Walk| (walk.axis, walk.step, walk.extent);
                Attributes::default().with("walks", walks.iter().map(of).collect::<Vec<_>>())
            }
        }
    }
}

impl<G> Reference for ViewOp<G> {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![map_value!(inputs[0], array => self.view.apply(array))]
    }
}
