//! The functions in `shaders/lib` over their whole range, and NaN and infinity through every one:
//! where builtins are known to be wrong, these must not be.

mod common;

use common::{device, on_device, on_reference};
use retrograd::{Graph, HostData, HostTensor, Tensor};
use std::collections::BTreeMap;

type Unary = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

/// Name, function, range, and the relative error allowed.
const FUNCTIONS: &[(&str, Unary, (f64, f64), f64)] = &[
    ("exp", |x| x.exp(), (-80.0, 80.0), 1e-6),
    ("expm1", |x| x.expm1(), (-30.0, 30.0), 1e-6),
    ("log", |x| x.log(), (1e-30, 1e30), 1e-6),
    ("log near 1", |x| x.log(), (0.9, 1.1), 1e-6),
    ("log1p", |x| x.log1p(), (-0.9, 1e4), 1e-6),
    ("log1p near 0", |x| x.log1p(), (-1e-3, 1e-3), 1e-6),
    ("tanh", |x| x.tanh(), (-12.0, 12.0), 2e-6),
    ("tanh near 0", |x| x.tanh(), (-1e-4, 1e-4), 2e-6),
    ("sigmoid", |x| x.sigmoid(), (-60.0, 60.0), 2e-6),
    ("softplus", |x| x.softplus(), (-60.0, 60.0), 2e-6),
    ("erf", |x| x.erf(), (-5.0, 5.0), 2e-6),
    ("gelu_erf", |x| x.gelu_erf(), (-9.0, 9.0), 1e-5),
    ("gelu_tanh", |x| x.gelu_tanh(), (-5.0, 9.0), 1e-5),
    ("silu", |x| x.silu(), (-60.0, 60.0), 2e-6),
    ("sqrt", |x| x.sqrt(), (1e-20, 1e20), 1e-6),
    ("rsqrt", |x| x.rsqrt(), (1e-20, 1e20), 1e-6),
    ("sin, away from its roots", |x| x.sin() + 2.0, (-1e5, 1e5), 1e-6),
    ("cos, away from its roots", |x| x.cos() + 2.0, (-1e5, 1e5), 1e-6),
    ("sin near 0", |x| x.sin(), (-1.0, 1.0), 1e-6),
    ("atan", |x| x.atan(), (-50.0, 50.0), 1e-6),
    ("root", |x| x.powf(0.3), (1e-10, 1e10), 5e-6),
];

fn sweep(range: (f64, f64)) -> Vec<f32> {
    const POINTS: usize = 4096;
    let (low, high) = range;
    let at = |point: usize| {
        let t = point as f64 / (POINTS - 1) as f64;
        if low > 0.0 { low * (high / low).powf(t) } else { low + (high - low) * t }
    };
    (0..POINTS).map(|point| at(point) as f32).collect()
}

fn check(name: &'static str) {
    let Some(device) = device(name) else { return };
    for &(function, apply, range, allowed) in FUNCTIONS {
        let points = sweep(range);
        let g = Graph::new();
        let x = g.input("x", [points.len()]);
        let y = apply(x);
        let feed = HostTensor::new([points.len()], HostData::F32(points.clone())).unwrap();
        let want = &on_reference(&g, &[y], &BTreeMap::from([(x.id().node, feed.clone())]), [0, 0])[0];
        let got = &on_device(device, &g, &[y], &[(x, feed)])[0];
        for ((&x, &got), &want) in points.iter().zip(got).zip(want) {
            let error = (got - want).abs();
            // Below the least normal number devices may flush to zero.
            assert!(error <= allowed * want.abs() + 2e-38, "{name}: {function}({x:e}) = {got:e}, want {want:e}");
        }
    }
}

#[test]
fn functions_are_accurate_on_vulkan() {
    check("vulkan");
}

#[test]
fn functions_are_accurate_on_gl() {
    check("gl");
}

#[test]
fn functions_are_accurate_on_the_cpu_device() {
    check("cpu");
}

/// What functions give for NaN, and for values far outside of what they are used for.
fn special(name: &'static str) {
    let Some(device) = device(name) else { return };
    let far = [f32::NAN, 1e38, -1e38, f32::INFINITY, f32::NEG_INFINITY, 0.0];
    let functions: &[(&str, Unary, [f64; 6])] = &[
        ("relu", |x| x.relu(), [f64::NAN, 1e38, 0.0, f64::INFINITY, 0.0, 0.0]),
        ("exp", |x| x.exp(), [f64::NAN, f64::INFINITY, 0.0, f64::INFINITY, 0.0, 1.0]),
        ("tanh", |x| x.tanh(), [f64::NAN, 1.0, -1.0, 1.0, -1.0, 0.0]),
        ("sigmoid", |x| x.sigmoid(), [f64::NAN, 1.0, 0.0, 1.0, 0.0, 0.5]),
        ("erf", |x| x.erf(), [f64::NAN, 1.0, -1.0, 1.0, -1.0, 0.0]),
        ("softplus", |x| x.softplus(), [f64::NAN, 1e38, 0.0, f64::INFINITY, 0.0, std::f64::consts::LN_2]),
        ("clamp", |x| x.clamp(-1.0, 2.0), [f64::NAN, 2.0, -1.0, 2.0, -1.0, 0.0]),
        ("log", |x| x.abs().log(), [f64::NAN, 87.498_23, 87.498_23, f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY]),
        ("log1p", |x| x.abs().log1p(), [f64::NAN, 87.498_23, 87.498_23, f64::INFINITY, f64::INFINITY, 0.0]),
        ("gelu_erf", |x| x.gelu_erf(), [f64::NAN, 1e38, 0.0, f64::INFINITY, f64::NAN, 0.0]),
        ("sign", |x| x.sign(), [f64::NAN, 1.0, -1.0, 1.0, -1.0, 0.0]),
    ];
    for (function, apply, want) in functions {
        let g = Graph::new();
        let x = g.input("x", [far.len()]);
        let y = apply(x);
        let feed = HostTensor::new([far.len()], HostData::F32(far.to_vec())).unwrap();
        let got = &on_device(device, &g, &[y], &[(x, feed)])[0];
        for ((x, &got), &want) in far.iter().zip(got).zip(want) {
            let same = (got.is_nan() && want.is_nan()) || got == want || (got - want).abs() <= 1e-6 * want.abs();
            assert!(same, "{name}: {function}({x}) = {got}, want {want}");
        }
    }
    // A NaN survives every way of combining it with a number.
    let g = Graph::new();
    let (a, b) = (g.input("a", [2]), g.input("b", [2]));
    let wanted = [a.maximum(b), a.minimum(b), g.stack(&[a, b], 0).amax(0), g.stack(&[a, b], 0).amin(0)];
    let feeds = [(a, (&ndarray::array![f32::NAN, 1.0]).into()), (b, (&ndarray::array![1.0, f32::NAN]).into())];
    for got in on_device(device, &g, &wanted, &feeds) {
        assert!(got.iter().all(|value| value.is_nan()), "{name}: {got:?}");
    }
}

#[test]
fn special_values_on_vulkan() {
    special("vulkan");
}

#[test]
fn special_values_on_gl() {
    special("gl");
}

#[test]
fn special_values_on_the_cpu_device() {
    special("cpu");
}
