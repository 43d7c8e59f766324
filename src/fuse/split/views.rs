//! Ops that only a recording in parts has: they are made after differentiation and merging.

use crate::base::{Real, Shape, TensorType, Value, View, map_value};
use crate::record::{Attributes, Cotangents, EvalContext, LowerContext, Lowering, Op, Reference, Vjp};
use std::ops::Range;

/// Part of a tensor that is fed, constant or a parameter: rows that follow one another, which a dispatch binds by
/// themselves.
#[derive(Debug)]
pub struct Window {
    /// The axis along which it is a part. Those before it have one element.
    pub axis: usize,
    /// The part of it.
    pub range: Range<usize>,
}

impl Window {
    /// Its first element within the tensor, whose shape this is.
    #[must_use]
    pub fn first(&self, shape: &Shape) -> usize {
        self.range.start * shape[self.axis + 1..].iter().product::<usize>()
    }

    fn view(&self, shape: &Shape) -> View {
        let mut extents = shape.to_vec();
        let mut starts = vec![0; shape.rank()];
        (extents[self.axis], starts[self.axis]) = (self.range.len(), self.range.start);
        View::Slice { starts, steps: vec![1; shape.rank()], extents }
    }
}

impl Op for Window {
    fn name(&self) -> &'static str {
        "window"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let mut extents = inputs[0].shape.to_vec();
        extents[self.axis] = self.range.len();
        Ok(vec![TensorType { shape: extents.into(), dtype: inputs[0].dtype }])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::Missing
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        Lowering::View(self.view(&cx.inputs[0].shape))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("axis", self.axis).with("range", &self.range)
    }
}

impl Reference for Window {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let view = self.view(&inputs[0].shape().into());
        vec![map_value!(inputs[0], array => view.apply(array))]
    }
}

/// A view of a part, under the name of the view of the whole.
#[derive(Debug)]
pub(super) struct PartView {
    pub name: &'static str,
    pub view: View,
}

impl PartView {
    /// The view of a part of its input: `ranges` are those of the result, of which axes that follow one of the input begin
    /// where the part does.
    pub fn new(name: &'static str, view: &View, follows: &[bool], ranges: &[Range<usize>]) -> Self {
        let extents: Vec<usize> = ranges.iter().map(Range::len).collect();
        let view = match view {
            View::Reshape(_) => View::Reshape(extents.into()),
            View::Permute(order) => View::Permute(order.clone()),
            View::Broadcast(_) => View::Broadcast(extents.into()),
            View::Slice { starts, steps, .. } => {
                let start = |axis: usize| if follows[axis] { 0 } else { starts[axis] };
                View::Slice { starts: (0..starts.len()).map(start).collect(), steps: steps.clone(), extents }
            }
            View::Walk(walks) => {
                let mut walks = walks.clone();
                walks.iter_mut().zip(extents).for_each(|(walk, extent)| walk.extent = extent);
                View::Walk(walks)
            }
        };
        Self { name, view }
    }
}

impl Op for PartView {
    fn name(&self) -> &'static str {
        self.name
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let input = &inputs[0].shape;
        let shape: Shape = match &self.view {
            View::Reshape(shape) | View::Broadcast(shape) => shape.clone(),
            View::Permute(order) => order.iter().map(|&axis| input[axis]).collect::<Vec<_>>().into(),
            View::Slice { extents, .. } => extents.clone().into(),
            View::Walk(walks) => walks.iter().map(|walk| walk.extent).collect::<Vec<_>>().into(),
        };
        Ok(vec![TensorType { shape, dtype: inputs[0].dtype }])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::Missing
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        Lowering::View(self.view.clone())
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("view", &self.view)
    }
}

impl Reference for PartView {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![map_value!(inputs[0], array => self.view.apply(array))]
    }
}
