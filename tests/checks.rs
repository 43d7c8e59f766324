//! The checks that ops go through find what is wrong with one: its gradient, its composition, its kernels.

mod common;

use common::device;
use retrograd::base::{Real, TensorType, Value};
use retrograd::record::{
    Case, CaseInput, Cotangents, EvalContext, Kernel, LowerContext, Lowering, Op, Reference, Text, Vjp, grid,
};
use retrograd::reference::{distance, within};
use retrograd::{Device, ErrorKind, Generator};

const TRIPLE: &str = "
const COUNT: u32 = 1u;
const GRID_WIDTH: u32 = 1u;
const FACTOR: f32 = 3.0f;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (index < COUNT) {
        y[index] = FACTOR * x[index];
    }
}
";

/// y = 3 x, with as many mistakes as one likes: 3 is right everywhere.
#[derive(Clone, Copy, Debug)]
struct Triple {
    gradient: f64,
    composition: f64,
    kernel: f64,
}

const RIGHT: Triple = Triple { gradient: 3.0, composition: 3.0, kernel: 3.0 };

impl Op for Triple {
    fn name(&self) -> &'static str {
        "triple"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![inputs[0].clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent() * self.gradient)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let count = cx.outputs[0].shape.elements();
        let workgroups = grid(count.div_ceil(64));
        let text = Text::new(TRIPLE, &[])
            .unsigned("COUNT", count)
            .unsigned("GRID_WIDTH", workgroups[0] as usize)
            .float("FACTOR", self.kernel);
        Lowering::Kernel(Kernel::of_shader("triple", text, workgroups, 1, 1))
    }
    fn composition<'g>(&self, inputs: &[retrograd::Tensor<'g>]) -> Option<Vec<retrograd::Tensor<'g>>> {
        Some(vec![inputs[0] * self.composition])
    }
}

impl Reference for Triple {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        vec![Value::Real(inputs[0].real().mapv(|x| T::real(3.0) * x))]
    }
}

fn case(op: Triple) -> Case {
    let input = vec![CaseInput::uniform([5, 65], -1.0, 1.0)];
    Case::new("broken", input, move |x| x[0].graph().record(op, &[x[0].transpose()]).sin())
}

#[test]
fn what_is_wrong_is_found_and_named() {
    case(RIGHT).check(&Device::cpu(), 1).unwrap();
    let found = |op: Triple, device: &Device| {
        let error = case(op).check(device, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Check, "{error}");
        error.to_string()
    };
    let text = found(Triple { gradient: 3.001, ..RIGHT }, &Device::cpu());
    assert!(text.starts_with("case `broken`: the gradient differs from central differences in float64 by"), "{text}");
    let text = found(Triple { composition: 3.0001, ..RIGHT }, &Device::cpu());
    assert!(text.contains("triple differs from its composition"), "{text}");
    for name in ["vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        case(RIGHT).check(device, 1).unwrap();
        let text = found(Triple { kernel: 3.001, ..RIGHT }, device);
        assert!(text.contains("it differs from the reference on") && text.contains(&device.name()), "{text}");
    }
}

#[test]
fn a_check_that_would_mean_nothing_is_refused() {
    // Where the function is flat, any gradient rule that gives zero would pass.
    let input = vec![CaseInput::uniform([4, 4], -1.0, 1.0)];
    let flat = Case::new("flat", input, |x| x[0].clamp(5.0, 6.0));
    let error = flat.check_gradient(&mut Generator::new(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Check);
    assert!(error.to_string().contains("only 0 of 16 gradient elements are not negligible"), "{error}");
    flat.value_only().check(&Device::cpu(), 1).unwrap();
    // A mistake of the case itself is one of the recording.
    let input = vec![CaseInput::uniform([4, 3], -1.0, 1.0)];
    let error = Case::new("mistaken", input, |x| x[0].matmul(x[0])).check(&Device::cpu(), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recording);
    assert!(error.to_string().contains("tests/checks.rs:"), "{error}");
}

#[test]
fn distances_see_every_difference() {
    assert_eq!(distance(&[1.0, -2.0], &[1.0, -2.0], 1e-6, 0.0).excess, 0.0);
    assert!((distance(&[1.0, 2.2], &[1.0, 2.0], 0.1, 0.0).excess - 1.0).abs() < 1e-9);
    assert!((distance(&[0.1, 2.0], &[0.0, 2.0], 0.0, 0.1).excess - 0.5).abs() < 1e-9);
    assert!(distance(&[f64::NAN], &[1.0], 1.0, 1.0).excess.is_nan());
    assert_eq!(distance(&[f64::NAN], &[f64::NAN], 0.0, 0.0).excess, 0.0);
    assert_eq!(within(&[1.0], &[1.0, 2.0], |_, _| 1e9).excess, f64::INFINITY);
}
