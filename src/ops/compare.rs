//! Comparisons: masks (`u32`, 1 where true) from two float tensors. No gradient passes.

use super::elementwise::{floats, record_pair, same_shapes};
use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Case, CaseInput, Cotangents, EvalContext, HostFunction, LowerContext, Lowering, Op, Pointwise, Reference, Tensor,
    Vjp, libraries,
};
use ndarray::Zip;

#[derive(Clone, Copy, Debug)]
enum Compare {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}

impl Op for Compare {
    fn name(&self) -> &'static str {
        match self {
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Eq => "eq",
            Self::Ne => "ne",
        }
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        floats(inputs)?;
        same_shapes(inputs)?;
        Ok(vec![TensorType { shape: inputs[0].shape.clone(), dtype: DType::U32 }])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(2)
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let compare = *self;
        let host = HostFunction::new(move |block, out| {
            for ((y, a), b) in out.iter_mut().zip(block.floats(0)).zip(block.floats(1)) {
                *y = u32::from(compare.holds(a, b));
            }
        });
        Lowering::Pointwise(
            Pointwise::of_inputs(format!("{}_f32({{0}}, {{1}})", self.name()), 2, &[&libraries::ORDERING])
                .on_host(host),
        )
    }
}

impl Compare {
    fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            Self::Gt => a > b,
            Self::Ge => a >= b,
            Self::Lt => a < b,
            Self::Le => a <= b,
            Self::Eq => a == b,
            Self::Ne => a != b,
        }
    }
}

impl Reference for Compare {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::U32(
            Zip::from(inputs[0].real()).and(inputs[1].real()).map_collect(|a, b| u32::from(self.holds(a, b))),
        )]
    }
}

macro_rules! methods {
    ($($method:ident $variant:ident $sign:literal),*) => {
        impl<'g> Tensor<'g> {
            $(
                #[doc = concat!("The mask of where self ", $sign, " other, stretched to a common shape.")]
                #[must_use]
                #[track_caller]
                pub fn $method(self, other: Self) -> Self {
                    record_pair(Compare::$variant, self, other)
                }
            )*
        }
    };
}

methods!(gt Gt ">", ge Ge ">=", lt Lt "<", le Le "<=", eq Eq "=", ne Ne "differs from");

pub(super) fn cases() -> Vec<Case> {
    let pair = || vec![CaseInput::uniform([5, 7], -1.0, 1.0), CaseInput::uniform([7], -1.0, 1.0)];
    vec![
        Case::new("gt", pair(), |x| x[0].gt(x[1])).value_only(),
        Case::new("ge", pair(), |x| x[0].ge(x[0])).value_only(),
        Case::new("lt", pair(), |x| x[0].lt(x[1])).value_only(),
        Case::new("le", pair(), |x| x[0].le(x[1])).value_only(),
        Case::new("eq", pair(), |x| x[1].eq(x[1])).value_only(),
        Case::new("ne", pair(), |x| x[0].ne(x[1])).value_only(),
    ]
}
