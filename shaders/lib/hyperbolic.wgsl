// tanh(x), relative error about 2e-7 everywhere.
//
// The builtin overflows to NaN on some drivers for large |x| and loses all digits near 0 on
// others. tanh(x) = expm1(2x) / (expm1(2x) + 2) has neither problem for |x| up to 10, beyond
// which the result rounds to one.

fn tanh_f32(x: f32) -> f32 {
    let magnitude = min(abs(x), 10.0f);
    let e = expm1_f32(2.0f * magnitude);
    let y = select(e / (e + 2.0f), 1.0f, magnitude > 9.5f);
    let signed = select(y, -y, x < 0.0f);
    return select(signed, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}
