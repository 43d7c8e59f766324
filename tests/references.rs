//! A user's own op whose reference does not keep what its shape rule promises is an error with its name, on the host and in
//! every check; never a panic.

mod common;

use common::hostile::caught;
use retrograd::base::{Real, TensorType, Value};
use retrograd::record::{
    Argument, Case, CaseInput, Cotangents, Draw, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp,
};
use retrograd::{DType, Device, Error, ErrorKind, Generator, Graph, Init, Params, optim::Adam};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

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

/// x itself; its reference gives that so many times, and then nothing.
#[derive(Clone, Debug)]
struct Tiring {
    left: Arc<AtomicU32>,
    panics: bool,
}

impl Op for Tiring {
    fn name(&self) -> &'static str {
        "tiring"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent())
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        // What knows its column is evaluated as a whole.
        let arguments = vec![Argument::Input(0), Argument::Coordinate(cx.inputs[0].shape.rank() - 1)];
        Lowering::Pointwise(Pointwise::new("{0}", arguments, &[]))
    }
}

impl Reference for Tiring {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let is_tired = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err();
        assert!(!(is_tired && self.panics), "tired");
        if is_tired { Vec::new() } else { vec![inputs[0].clone()] }
    }
}

#[test]
fn what_a_reference_breaks_off_on_the_host_leaves_the_state_whole() {
    for panics in [false, true] {
        let op = Tiring { left: Arc::new(AtomicU32::new(1000)), panics };
        let left = Arc::clone(&op.left);
        let mut params = Params::seeded(4);
        let weight = params.add("weight", [2, 3], Init::Normal(0.0, 1.0));
        let g = Graph::new();
        let loss = g.record(op, &[g.param(&weight)]).square().sum(..);
        let training = || g.train(loss, Adam::new(0.1)).compile(&Device::cpu(), &params).unwrap();
        let mut undisturbed = training();
        undisturbed.run_many(5, []).unwrap();
        let (losses, weights) = (undisturbed.read_history(loss).unwrap(), undisturbed.state().weights_hash().unwrap());

        let mut step = training();
        if panics {
            left.store(0, Relaxed);
            assert!(caught(|| step.run([])).unwrap_err().contains("tired"));
            assert_eq!(step.state().steps(), 0);
        } else {
            left.store(2, Relaxed);
            let error = step.run_many(5, []).unwrap_err();
            assert!(error.to_string().contains("gives 0 outputs"), "{error}");
            // Two steps were run, and these count.
            assert_eq!(step.state().steps(), 2);
            assert_eq!(step.read_history(loss).unwrap().to_vec(), losses.to_vec()[..2]);
        }
        left.store(1000, Relaxed);
        step.run_many(5 - step.state().steps(), []).unwrap();
        assert_eq!(step.state().weights_hash().unwrap(), weights, "panics: {panics}");
    }
}
