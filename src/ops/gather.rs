//! Elements along an axis, one index for each: y[.., k, ..] = x[.., index[.., k, ..], ..], and the reverse, which adds
//! elements to where indices say. Both are [`take`](super::take) and its gradient on the flat tensor.

use super::elementwise::integers;
use super::take::summed;
use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Argument, Attributes, Case, CaseInput, Cotangents, Draw, EvalContext, HostFunction, LowerContext, Lowering, Op,
    Pointwise, Reference, Tensor, Vjp,
};

/// From indices along an axis to positions in the flat tensor, whose axis has `entries` elements; -1 for an index outside
/// of it, lest it means an element of another line.
#[derive(Debug)]
struct FlatIndex {
    axis: usize,
    entries: usize,
}

impl FlatIndex {
    fn position(&self, index: i64, outer: usize, inner: usize, inners: usize) -> i32 {
        match usize::try_from(index) {
            Ok(index) if index < self.entries => ((outer * self.entries + index) * inners + inner) as i32,
            _ => -1,
        }
    }
}

impl Op for FlatIndex {
    fn name(&self) -> &'static str {
        "flat_index"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        integers(inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let shape = &cx.inputs[0].shape;
        let inners: usize = shape[self.axis + 1..].iter().product();
        let own = shape[self.axis] * inners;
        let entries = self.entries;
        let position = format!("(i32({{1}} / {own}u) * {entries} + {{0}}) * {inners} + i32({{1}} % {inners}u)");
        let expression = format!("select(-1, {position}, {{0}} >= 0 && {{0}} < {entries})");
        let this = Self { axis: self.axis, entries };
        let host = HostFunction::new(move |block, out| {
            for ((y, &index), &place) in out.iter_mut().zip(block.arguments[0]).zip(block.arguments[1]) {
                let place = place as usize;
                let index = i64::from(index.cast_signed());
                *y = this.position(index, place / own, place % inners, inners).cast_unsigned();
            }
        });
        let arguments = vec![Argument::Input(0), Argument::Index];
        Lowering::Pointwise(Pointwise::new(expression, arguments, &[]).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("axis", self.axis).with("entries", self.entries)
    }
    fn index_limit(&self, _input: usize, _inputs: &[&TensorType]) -> Option<usize> {
        Some(self.entries)
    }
}

impl Reference for FlatIndex {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let index = inputs[0].integers();
        let inners: usize = index.shape()[self.axis + 1..].iter().product();
        let own = index.shape()[self.axis] * inners;
        let mut flat = index.mapv(|_| 0);
        for (place, (to, &index)) in flat.iter_mut().zip(&index).enumerate() {
            *to = self.position(index, place / own, place % inners, inners);
        }
        vec![Value::I32(flat)]
    }
}

/// Positions in the flat `x` of what `index` names along an axis, or the reason why it cannot.
#[track_caller]
fn positions<'g>(name: &str, x: Tensor<'g>, axis: isize, index: Tensor<'g>) -> Result<Tensor<'g>, Tensor<'g>> {
    let (shape, of) = (x.shape(), index.shape());
    let refuse = |reason: String| Err(x.graph().fault(name, &[x, index], reason));
    if !x.is_valid() || !index.is_valid() {
        return Err(x.graph().fault(name, &[x, index], "an operand is invalid"));
    }
    if index.dtype() != DType::I32 {
        return refuse(format!(
            "indices are i32 and these are {}: record them with `Graph::labels`, or convert with `to_i32()`",
            index.dtype()
        ));
    }
    let axis = match shape.axis(axis) {
        Ok(axis) => axis,
        Err(reason) => return refuse(reason),
    };
    let fits = |other: usize| other == axis || of[other] == shape[other];
    if of.rank() != shape.rank() || !(0..shape.rank()).all(fits) {
        return refuse(format!("indices {of} must have the extents of {shape} on every axis but {axis}"));
    }
    x.graph().check_index(name, index, shape[axis]);
    Ok(x.graph().record(FlatIndex { axis, entries: shape[axis] }, &[index]).flat())
}

impl Tensor<'_> {
    /// y[.., k, ..] = x[.., index[.., k, ..], ..] along an axis, for `index` (`i32`) with the extents of this tensor on all
    /// other axes. Indices are checked as in [`embedding`](Self::embedding).
    #[must_use]
    #[track_caller]
    pub fn gather(self, axis: isize, index: Self) -> Self {
        let _here = self.graph.here();
        match positions("gather", self, axis, index) {
            Ok(flat) => {
                let elements = self.shape().elements();
                self.reshape([elements, 1]).embedding_unchecked(flat).reshape(index.shape())
            }
            Err(invalid) => invalid,
        }
    }

    /// This tensor with every element of `source` added where `index` (`i32`) says: y[.., index[.., k, ..], ..] +=
    /// source[.., k, ..] along an axis; what goes to one place is added up in the order of k before. `index` and `source` have one shape, with the
    /// extents of this tensor on all other axes. Indices are checked as in [`embedding`](Self::embedding).
    #[must_use]
    #[track_caller]
    pub fn scatter_add(self, axis: isize, index: Self, source: Self) -> Self {
        let _here = self.graph.here();
        if index.is_valid() && source.is_valid() && index.shape() != source.shape() {
            let reason = "indices and what they place need one shape";
            return self.graph.fault("scatter_add", &[self, index, source], reason);
        }
        match positions("scatter_add", self, axis, index) {
            Ok(flat) => {
                let elements = self.shape().elements();
                let source = source.reshape([1, flat.shape()[0], 1]);
                self + summed(source, flat, elements).reshape(self.shape())
            }
            Err(invalid) => invalid,
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let of = |x: &[usize], index: &[usize], entries: usize| {
        vec![CaseInput::uniform(x, -1.0, 1.0), CaseInput::new(index, Draw::Labels { below: entries })]
    };
    let with = |mut inputs: Vec<CaseInput>| {
        let shape = inputs[1].shape.clone();
        inputs.push(CaseInput::uniform(shape, -1.0, 1.0));
        inputs
    };
    vec![
        Case::new("gather, last axis", of(&[4, 7], &[4, 3], 7), |x| x[0].gather(-1, x[1]).sin()),
        Case::new("gather, middle axis", of(&[2, 5, 3], &[2, 9, 3], 5), |x| x[0].gather(1, x[1]).sin()),
        Case::new("gather from a view", of(&[5, 2], &[2, 4], 5), |x| x[0].transpose().gather(1, x[1]).sin()),
        Case::new("scatter, first axis", with(of(&[5, 3], &[65, 3], 5)), |x| x[0].scatter_add(0, x[1], x[2]).sin()),
        Case::new("scatter, last axis", with(of(&[2, 3, 6], &[2, 3, 2], 6)), |x| x[0].scatter_add(2, x[1], x[2]).sin()),
    ]
}
