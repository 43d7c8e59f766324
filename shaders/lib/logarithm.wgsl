// log(x) and log1p(x) = log(1 + x), relative error about 1e-7, also where the result is near 0.
//
// The builtin log has no bound on the relative error near x = 1. Here x = m 2^e with m in
// [sqrt(1/2), sqrt(2)], and with s = r / (2 + r), r = m - 1:
// log(m) = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ..), |s| < 0.172, so five terms leave less than 3e-10.

// log(1 + r) for r in [sqrt(1/2) - 1, sqrt(2) - 1].
fn log_polynomial(r: f32) -> f32 {
    let s = r / (2.0f + r);
    let z = s * s;
    let tail = z * (0.6666667f + z * (0.4f + z * (0.2857143f + z * 0.22222222f)));
    // 2 s = r - s r, which is exact in its leading term.
    return r - s * (r - tail);
}

fn log_f32(x: f32) -> f32 {
    // Subnormal numbers are scaled into the normal range first.
    let subnormal = x < 1.17549435e-38f;
    let scaled = select(x, x * 8388608.0f, subnormal);
    let bits = bitcast<u32>(scaled);
    // The exponent such that the mantissa lies in [sqrt(1/2), sqrt(2)).
    let e = i32(bits - 0x3f3504f3u) >> 23u;
    let m = bitcast<f32>(bits - (u32(e) << 23u));
    let exponent = f32(e) - select(0.0f, 23.0f, subnormal);
    let p = log_polynomial(m - 1.0f);
    var y = exponent * 0.693359375f + (p + exponent * -2.12194440e-4f);
    y = select(y, -infinity(), x == 0.0f);
    y = select(y, not_a_number(), x < 0.0f);
    // Infinity and NaN stay what they are.
    return select(y, x, is_nan(x) || bitcast<u32>(x) == 0x7f800000u);
}

fn log1p_f32(x: f32) -> f32 {
    let near = x > -0.29f && x < 0.41f;
    let y = select(log_f32(1.0f + x), log_polynomial(select(0.0f, x, near)), near);
    return select(y, x, is_nan(x));
}
