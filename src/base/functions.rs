//! Functions of single precision without branches or tables, so that loops over them become vector code. Their
//! twins are `shaders/lib/exponential.wgsl`, `hyperbolic.wgsl` and `error_function.wgsl`, which say where the
//! formulas come from and how exact they are.

/// Adding and subtracting this rounds a float of moderate size to an integer, which then stands in its last bits.
const ROUNDER: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// exp(r) - 1 for |r| <= ln 2 / 2.
#[inline(always)]
fn expm1_polynomial(r: f32) -> f32 {
    let p = 0.5
        + r * (0.166_666_67 + r * (0.041_666_668 + r * (0.008_333_334 + r * (0.001_388_888_9 + r * 0.000_198_412_7))));
    r + r * r * p
}

/// 2^n for integers n in -126 .. 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// x = n ln 2 + r with |r| <= ln 2 / 2.
#[inline(always)]
fn reduce_exponent(x: f32) -> (i32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let whole = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    (whole, (x - n * LN2_HIGH) - n * LN2_LOW)
}

/// e to the power of x, relative error about 1e-7.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    let (n, r) = reduce_exponent(x.clamp(-104.0, 89.0));
    // In two factors, as 2^n alone may lie outside the range where the product does not.
    let half = n >> 1;
    (1.0 + expm1_polynomial(r)) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// exp(x) - 1, also exact where x is near 0.
#[inline(always)]
#[must_use]
pub fn exp_m1(x: f32) -> f32 {
    let (n, r) = reduce_exponent(x.clamp(-80.0, 89.0));
    let half = n >> 1;
    let (scale, rest) = (power_of_two(half), power_of_two(n.wrapping_sub(half)));
    let p = expm1_polynomial(r);
    if n > 60 { (1.0 + p) * scale * rest } else { (scale * rest - 1.0) + scale * rest * p }
}

/// The hyperbolic tangent, expm1(2x) / (expm1(2x) + 2), relative error about 2e-7.
#[inline(always)]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    // Not `min`, which drops NaN.
    let magnitude = if x.abs() > 10.0 { 10.0 } else { x.abs() };
    let e = exp_m1(2.0 * magnitude);
    let y = if magnitude > 9.5 { 1.0 } else { e / (e + 2.0) };
    y.copysign(x)
}

/// The error function for |x| <= 1, by its series.
#[inline(always)]
fn erf_series(x: f32) -> f32 {
    let z = x * x;
    let mut p = -1.089_222_2e-9;
    p = p * z + 1.312_253_3e-8;
    p = p * z - 1.450_385_3e-7;
    p = p * z + 1.458_916_9e-6;
    p = p * z - 1.322_751_4e-5;
    p = p * z + 0.000_106_837_61;
    p = p * z - 0.000_757_575_73;
    p = p * z + 0.004_629_63;
    p = p * z - 0.023_809_524;
    p = p * z + 0.1;
    p = p * z - 0.333_333_34;
    std::f32::consts::FRAC_2_SQRT_PI * (x + x * z * p)
}

/// erfc(x) for x in [1, 9.4].
#[inline(always)]
fn erfc_tail(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.5 * x);
    let mut p = 0.079_069_58;
    p = p * t - 0.178_844_96;
    p = p * t + 0.016_051_665;
    p = p * t + 0.112_644_05;
    p = p * t + 0.154_439_63;
    p = p * t + 0.254_072_88;
    p = p * t + 0.280_784_88;
    p = p * t + 0.282_220_66;
    p = p * t - 5.032_586_6e-6;
    exp(-x * x) * p
}

/// The error function, relative error below 8e-7.
#[inline(always)]
#[must_use]
pub fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let tail = if magnitude > 4.2 { 1.0 } else { 1.0 - erfc_tail(magnitude.clamp(1.0, 4.2)) };
    if magnitude < 1.0 { erf_series(x.clamp(-1.0, 1.0)) } else { keep_nan(tail.copysign(x), x) }
}

/// 1 - erf(x), relative error below 8e-7 also where it vanishes.
#[inline(always)]
#[must_use]
pub fn erfc(x: f32) -> f32 {
    let magnitude = x.abs();
    let positive = if magnitude > 9.4 { 0.0 } else { erfc_tail(magnitude.clamp(1.0, 9.4)) };
    let far = if x < 0.0 { 2.0 - positive } else { positive };
    if magnitude < 1.0 { 1.0 - erf_series(x.clamp(-1.0, 1.0)) } else { keep_nan(far, x) }
}

#[inline(always)]
fn keep_nan(y: f32, x: f32) -> f32 {
    if x.is_nan() { x } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(function: fn(f32) -> f32, exact: fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let points = 200_001;
        let at = |place: i32| low + (high - low) * place as f32 / (points - 1) as f32;
        let error = |x: f32| {
            let want = exact(f64::from(x));
            if want == 0.0 { f64::from(function(x)).abs() } else { ((f64::from(function(x)) - want) / want).abs() }
        };
        (0..points).map(at).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_as_exact_as_they_say() {
        assert!(worst(exp, f64::exp, -87.0, 88.0) < 4e-7);
        assert!(worst(exp_m1, f64::exp_m1, -20.0, 20.0) < 4e-7);
        assert!(worst(tanh, f64::tanh, -12.0, 12.0) < 4e-7);
        assert!(worst(erf, libm::erf, -6.0, 6.0) < 8e-7);
        assert!(worst(erfc, libm::erfc, -6.0, 3.0) < 1e-6);
        // exp(-x^2) of a rounded square has the error of the square, x^2 times half an ulp.
        assert!(worst(erfc, libm::erfc, 3.0, 9.0) < 1e-5);
    }

    #[test]
    fn limits_and_nan_are_kept() {
        for function in [exp, exp_m1, tanh, erf, erfc] {
            assert!(function(f32::NAN).is_nan());
        }
        assert_eq!((exp(f32::NEG_INFINITY), exp(f32::INFINITY)), (0.0, f32::INFINITY));
        assert_eq!((tanh(-30.0), tanh(f32::INFINITY), tanh(0.0)), (-1.0, 1.0, 0.0));
        assert_eq!((erf(f32::NEG_INFINITY), erfc(f32::INFINITY), erfc(f32::NEG_INFINITY)), (-1.0, 0.0, 2.0));
    }
}
