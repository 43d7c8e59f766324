//! A user's own op whose reference does not keep what its shape rule promises is an error with its name, on the host and in
//! every check; never a panic.

mod common;

use common::hostile::caught;
use retrograd::base::{Real, TensorType, Value};
use retrograd::record::{
    Argument, Case, CaseInput, Cotangents, Draw, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp,
};
use retrograd::{DType, Device, Error, ErrorKind, Generator, Graph, Params};

/// What is wrong with the op.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    /// Its reference works on floats, and gets what it is given.
    MeetsIntegers,
    GivesIntegers,
    GivesTwo,
    GivesNone,
    GivesAnotherShape,
}

/// x itself, or so it says; `whole` ones know their column, which a block of elements does not tell.
#[derive(Clone, Copy, Debug)]
struct Defective {
    defect: Defect,
    whole: bool,
}

impl Op for Defective {
    fn name(&self) -> &'static str {
        "defective"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent())
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let mut arguments = vec![Argument::Input(0)];
        arguments.extend(self.whole.then(|| Argument::Coordinate(cx.inputs[0].shape.rank() - 1)));
        Lowering::Pointwise(Pointwise::new("{0}", arguments, &[]))
    }
}

impl Reference for Defective {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let right = inputs[0].clone();
        match self.defect {
            Defect::MeetsIntegers => vec![Value::Real(inputs[0].real().clone())],
            Defect::GivesIntegers => vec![Value::U32(inputs[0].to_real().mapv(|_| 1))],
            Defect::GivesTwo => vec![right.clone(), right],
            Defect::GivesNone => Vec::new(),
            Defect::GivesAnotherShape => vec![Value::Real(ndarray::ArrayD::zeros(ndarray::IxDyn(&[7])))],
        }
    }
}

fn on_the_host(op: Defective) -> Result<(), Error> {
    let g = Graph::new();
    let dtype = if op.defect == Defect::MeetsIntegers { DType::I32 } else { DType::F32 };
    let x = if dtype == DType::I32 { g.labels("x", [2, 3]) } else { g.input("x", [2, 3]) };
    let y = g.record(op, &[x]);
    let mut step = g.infer(&[y]).compile(&Device::cpu(), &Params::seeded(0))?;
    if dtype == DType::I32 { step.run([x.feed(&[1i32; 6])]) } else { step.run([x.feed(&[1.0f32; 6])]) }
}

#[test]
fn defects_of_references_are_named() {
    for (defect, tells) in [
        (Defect::MeetsIntegers, "its reference works on floats, and its shape rule accepts (i32["),
        (Defect::GivesIntegers, "its reference gives u32["),
        (Defect::GivesTwo, "its reference gives 2 outputs, and its shape rule promises 1"),
        (Defect::GivesNone, "its reference gives 0 outputs, and its shape rule promises 1"),
        (Defect::GivesAnotherShape, "its reference gives f32[7] as output 0, and its shape rule promises f32["),
    ] {
        for whole in [false, true] {
            let op = Defective { defect, whole };
            let check = |result: Result<(), Error>| {
                let error = result.expect_err("the op is defective");
                assert_eq!(error.kind(), ErrorKind::Check, "{op:?}: {error}");
                let text = error.to_string();
                assert!(text.contains("op `defective`") && text.contains(tells), "{op:?}: {text}");
            };
            check(caught(|| on_the_host(op)).unwrap_or_else(|panic| panic!("{op:?}: {panic}")));
            let draw = if defect == Defect::MeetsIntegers {
                Draw::Labels { below: 5 }
            } else {
                Draw::Uniform { low: 0.0, high: 1.0 }
            };
            let case = Case::new("defective", vec![CaseInput::new([2, 3], draw)], move |x| x[0].graph().record(op, x))
                .value_only();
            let checked = caught(|| case.check_on(&Device::cpu(), &mut Generator::new(1)));
            check(checked.unwrap_or_else(|panic| panic!("{op:?}: {panic}")));
        }
    }
}
