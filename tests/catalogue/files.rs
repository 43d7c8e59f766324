//! Files, and checks.

use super::Catalogue;
use retrograd::base::{Real, TensorType, Value};
use retrograd::nn::Linear;
use retrograd::record::{
    Case, CaseInput, Cotangents, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp,
};
use retrograd::verify::Reproduction;
use retrograd::{Device, ErrorKind, Graph, Params, State};

#[test]
fn files() {
    let mut texts = Catalogue::new(ErrorKind::File);
    let state = |outputs: usize| {
        let mut params = Params::seeded(0);
        let _ = Linear::new(&mut params, "layer", 3, outputs);
        State::new(&Device::cpu(), &params).unwrap()
    };
    let bytes = |state: &State| {
        // Nothing is waited for on the host.
        let mut future = std::pin::pin!(state.to_safetensors());
        match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(bytes) => bytes.unwrap(),
            std::task::Poll::Pending => panic!("the host is at once"),
        }
    };
    let own = bytes(&state(2));
    texts.fails("parameters of another architecture", state(5).load_safetensors(&own));
    let mut params = Params::seeded(0);
    let _ = Linear::new(&mut params, "other", 3, 2);
    let other = State::new(&Device::cpu(), &params).unwrap();
    texts.fails("parameters of other names", other.load_safetensors(&own));
    texts.fails("a file that was cut", state(2).load_safetensors(&own[..own.len() - 7]));
    texts.fails("a file of another format", state(2).load_safetensors(b"PK\x03\x04 something else"));
    texts.fails("an empty file", state(2).load_safetensors(b""));
    texts.fails("a reproduction that is none", Reproduction::load(file("none.json", b"{}")));
    texts.compare("file");
}

fn file(name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// An op with whichever defect.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    Gradient,
    Rule,
    Device,
}

#[derive(Clone, Copy, Debug)]
struct Double(Defect);

impl Reference for Double {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::Real(inputs[0].real().mapv(|x| x + x))]
    }
}

impl Op for Double {
    fn name(&self) -> &'static str {
        "double"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        match self.0 {
            Defect::Gradient => Cotangents::one(cx.cotangent() * 3.0),
            Defect::Rule => Cotangents::Missing,
            Defect::Device => Cotangents::one(cx.cotangent() * 2.0),
        }
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let factor = if self.0 == Defect::Device { "3.0f * {0}" } else { "2.0f * {0}" };
        Lowering::Pointwise(Pointwise::of_inputs(factor, 1, &[]))
    }
}

#[test]
fn checks() {
    let mut texts = Catalogue::new(ErrorKind::Check);
    let case = |defect| {
        Case::new("plain", vec![CaseInput::uniform([2, 3], 0.5, 1.0)], move |x| {
            x[0].graph().record(Double(defect), &[x[0]]).sin()
        })
    };
    texts.fails("a gradient rule that is wrong", case(Defect::Gradient).check(&Device::cpu(), 1));
    let mut params = Params::seeded(1);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let loss = g.record(Double(Defect::Gradient), &[layer.forward(x)]).mean(..);
    let rows = [0.1f32, -0.7, 0.5, 0.9, 0.2, -0.4, -0.3, 0.8, 0.6, -0.1, -0.9, 0.3];
    let report = g.check_gradients(loss).only(&[layer.weight()]).without_inputs();
    texts.fails("a model with a gradient rule that is wrong", report.run(&params, [x.feed(&rows)]).unwrap().check());
    texts.compare("check");

    let mut texts = Catalogue::new(ErrorKind::Recording);
    let loss = g.record(Double(Defect::Rule), &[layer.forward(x)]).mean(..);
    let training = g.train(loss, retrograd::optim::Sgd::new(0.1));
    texts.fails("a gradient through an op that has no rule", training.compile(&Device::cpu(), &params));
    texts.compare("recording_rule");
}
