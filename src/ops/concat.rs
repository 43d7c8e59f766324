//! Tensors laid end to end along an axis; each gets its part of g.

use crate::base::{Real, TensorType, Value};
use crate::record::{
    Argument, Attributes, Case, CaseInput, Cotangents, Draw, EvalContext, Graph, HostFunction, LowerContext, Lowering,
    Op, Pointwise, Reference, Tensor, Vjp,
};
use ndarray::{ArrayD, ArrayViewD, Axis, concatenate};

/// The storage buffers that every device offers to one dispatch are eight, one of them written.
const MOST: usize = 7;

#[derive(Debug)]
struct Concat {
    axis: usize,
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        if let Some(input) = inputs.iter().find(|input| input.dtype != inputs[0].dtype) {
            return Err(format!("elements of {} and {} do not lie in one tensor", inputs[0].dtype, input.dtype));
        }
        let first = &inputs[0].shape;
        let fits = |other: &TensorType| {
            other.shape.rank() == first.rank()
                && (0..first.rank()).all(|axis| axis == self.axis || other.shape[axis] == first[axis])
        };
        if let Some(input) = inputs.iter().find(|input| !fits(input)) {
            Err(format!("shapes {first} and {} differ on an axis other than {}", input.shape, self.axis))
        } else {
            let mut extents = first.to_vec();
            extents[self.axis] = inputs.iter().map(|input| input.shape[self.axis]).sum();
            Ok(vec![TensorType { shape: extents.into(), dtype: inputs[0].dtype }])
        }
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let g = cx.cotangent();
        let mut start = 0;
        let part = |input: &Tensor<'g>| {
            let range = start..start + input.shape()[self.axis];
            start = range.end;
            Some(g.slice(self.axis as isize, range))
        };
        Cotangents::Inputs(cx.inputs.iter().map(part).collect())
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let argument = Argument::Joined { axis: self.axis, inputs: (0..cx.inputs.len()).collect() };
        Lowering::Pointwise(Pointwise::new("{0}", vec![argument], &[]).on_host(HostFunction::first()))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("axis", self.axis)
    }
}

impl Reference for Concat {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        fn joined<A: Clone>(axis: usize, parts: &[ArrayViewD<'_, A>]) -> ArrayD<A> {
            let joined = concatenate(Axis(axis), parts).expect("the shape rule was checked when the op was recorded");
            joined.as_standard_layout().into_owned()
        }
        macro_rules! views {
            ($kind:path) => {
                inputs.iter().filter_map(|x| if let $kind(array) = x { Some(array.view()) } else { None })
            };
        }
        vec![match inputs[0] {
            Value::Real(_) => Value::Real(joined(self.axis, &views!(Value::Real).collect::<Vec<_>>())),
            Value::I32(_) => Value::I32(joined(self.axis, &views!(Value::I32).collect::<Vec<_>>())),
            Value::U32(_) => Value::U32(joined(self.axis, &views!(Value::U32).collect::<Vec<_>>())),
        }]
    }
}

impl Graph {
    /// Tensors laid end to end along an axis: all other extents must be equal. One of extents `[.., a, ..]` and one of
    /// `[.., b, ..]` give `[.., a + b, ..]`. At least one tensor is needed.
    #[must_use]
    #[track_caller]
    pub fn concat<'g>(&'g self, tensors: &[Tensor<'g>], axis: isize) -> Tensor<'g> {
        let _here = self.here();
        let Some(first) = tensors.first() else {
            return self.fault("concat", &[], "there is nothing to join: give at least one tensor");
        };
        let axis = match first.shape().axis(axis) {
            Ok(axis) => axis,
            Err(reason) => return self.fault("concat", tensors, reason),
        };
        let mut parts = tensors.to_vec();
        while parts.len() > 1 {
            let join =
                |group: &[Tensor<'g>]| if group.len() == 1 { group[0] } else { self.record(Concat { axis }, group) };
            parts = parts.chunks(MOST).map(join).collect();
        }
        parts[0]
    }

    /// Tensors of one shape along a new axis.
    #[must_use]
    #[track_caller]
    pub fn stack<'g>(&'g self, tensors: &[Tensor<'g>], axis: isize) -> Tensor<'g> {
        let _here = self.here();
        let raised: Vec<Tensor<'g>> = tensors.iter().map(|tensor| tensor.unsqueeze(axis)).collect();
        self.concat(&raised, axis)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let parts = |extents: &[usize]| extents.iter().map(|&n| CaseInput::uniform([3, n], -1.0, 1.0)).collect::<Vec<_>>();
    let labels =
        vec![CaseInput::new([3, 2], Draw::Labels { below: 9 }), CaseInput::new([65, 2], Draw::Labels { below: 5 })];
    vec![
        Case::new("three", parts(&[2, 5, 1]), |x| x[0].graph().concat(x, 1).sin()),
        Case::new("more than one kernel takes", parts(&[1, 2, 3, 1, 2, 3, 1, 2, 3]), |x| {
            x[0].graph().concat(x, -1).sin()
        }),
        Case::new("labels", labels, |x| x[0].graph().concat(x, 0)).value_only(),
        Case::new("masks", parts(&[2, 2]), |x| {
            let zero = x[0].graph().scalar(0.0);
            x[0].graph().concat(&[x[0].gt(zero), x[1].gt(zero)], 1)
        })
        .value_only(),
        Case::new("stack", parts(&[2, 2]), |x| x[0].graph().stack(x, 1).sin()),
        Case::new("stack at the end", parts(&[2, 2]), |x| x[0].graph().stack(x, -1).sin()),
    ]
}
