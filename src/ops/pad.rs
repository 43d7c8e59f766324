//! A tensor among zeros: before, after, and between its elements; dx = the elements of g at its places.

use crate::base::{DType, Real, Shape, TensorType, Value};
use crate::record::{
    Argument, Attributes, Case, CaseInput, Cotangents, EvalContext, HostFunction, LowerContext, Lowering, Op,
    Pointwise, Reference, Tensor, Vjp,
};
use ndarray::{ArrayD, IxDyn, Slice};

#[derive(Clone, Debug)]
struct Pad {
    before: Vec<usize>,
    after: Vec<usize>,
    /// Elements of the input lie this far apart in the output.
    steps: Vec<usize>,
}

impl Pad {
    fn shape(&self, input: &Shape) -> Shape {
        // What overflows has more elements than any tensor, and is refused for that.
        let extent = |axis: usize| {
            let spread = (input[axis] - 1).saturating_mul(self.steps[axis]).saturating_add(1);
            spread.saturating_add(self.before[axis]).saturating_add(self.after[axis])
        };
        (0..input.rank()).map(extent).collect::<Vec<_>>().into()
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(inputs)?;
        let rank = inputs[0].shape.rank();
        if self.before.len() != rank {
            return Err(format!(
                "padding is given for {} axes and there are {rank}: give (before, after) for each",
                self.before.len()
            ));
        }
        Ok(vec![TensorType { shape: self.shape(&inputs[0].shape), dtype: DType::F32 }])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (shape, mut g) = (cx.inputs[0].shape(), cx.cotangent());
        for axis in 0..shape.rank() {
            let start = self.before[axis];
            let end = start + (shape[axis] - 1) * self.steps[axis] + 1;
            if (start, end, self.steps[axis]) != (0, g.shape()[axis], 1) {
                g = g.slice_step(axis as isize, start..end, self.steps[axis]);
            }
        }
        Cotangents::one(g)
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let argument = Argument::Padded { input: 0, before: self.before.clone(), steps: self.steps.clone() };
        Lowering::Pointwise(Pointwise::new("{0}", vec![argument], &[]).on_host(HostFunction::first()))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("before", &self.before).with("after", &self.after).with("steps", &self.steps)
    }
}

impl Reference for Pad {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let input = inputs[0].real();
        let mut output = ArrayD::zeros(IxDyn(&self.shape(&input.shape().into())));
        let mut place = output.view_mut();
        for axis in 0..input.ndim() {
            let start = self.before[axis] as isize;
            let end = start + (input.shape()[axis] as isize - 1) * self.steps[axis] as isize + 1;
            place.slice_axis_inplace(ndarray::Axis(axis), Slice::new(start, Some(end), self.steps[axis] as isize));
        }
        place.assign(input);
        vec![Value::Real(output)]
    }
}

/// Puts the elements along `axis` at `before`, `before + step`, .. and zeros everywhere else.
#[track_caller]
pub(super) fn spread(tensor: Tensor<'_>, axis: usize, before: usize, step: usize, after: usize) -> Tensor<'_> {
    let rank = tensor.rank();
    let mut op = Pad { before: vec![0; rank], after: vec![0; rank], steps: vec![1; rank] };
    (op.before[axis], op.after[axis], op.steps[axis]) = (before, after, step);
    tensor.graph().record(op, &[tensor])
}

impl Tensor<'_> {
    /// Zeros before and after along an axis; the tensor itself where there are none.
    #[track_caller]
    pub(crate) fn surrounded(self, axis: usize, before: usize, after: usize) -> Self {
        if before + after == 0 { self } else { spread(self, axis, before, 1, after) }
    }
}

/// Zeros before, after, and between the elements, which lie `steps` apart, along every axis; the tensor itself where
/// there are none.
#[track_caller]
pub(super) fn surround(tensor: Tensor<'_>, before: Vec<usize>, after: Vec<usize>, steps: Vec<usize>) -> Tensor<'_> {
    if before.iter().chain(&after).all(|&zeros| zeros == 0) && steps.iter().all(|&step| step == 1) {
        return tensor;
    }
    tensor.graph().record(Pad { before, after, steps }, &[tensor])
}

impl Tensor<'_> {
    /// Zeros around the tensor: for every axis, how many before and how many after.
    #[must_use]
    #[track_caller]
    pub fn pad(self, widths: &[(usize, usize)]) -> Self {
        let (before, after) = widths.iter().copied().unzip();
        self.graph.record(Pad { before, after, steps: vec![1; widths.len()] }, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([3, 4], -1.0, 1.0)];
    vec![
        Case::new("two axes", input(), |x| x[0].pad(&[(0, 3), (1, 2)]).sin()),
        Case::new("spread", input(), |x| spread(x[0], 0, 2, 3, 1).sin() * 2.0),
        Case::new("of a view", input(), |x| x[0].transpose().flip(0).pad(&[(1, 0), (0, 1)]).sin()),
    ]
}
