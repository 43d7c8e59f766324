// Numbers that WGSL has no literals for, and tests that compilers may not fold away.
//
// WGSL implementations may assume that NaN and infinity do not occur, so `x != x` can be false
// for NaN. Bit patterns are reliable: exponent all ones, mantissa zero (infinity) or not (NaN).

var<private> nan_bits: u32 = 0x7fc00000u;
var<private> infinity_bits: u32 = 0x7f800000u;

fn not_a_number() -> f32 {
    return bitcast<f32>(nan_bits);
}

fn infinity() -> f32 {
    return bitcast<f32>(infinity_bits);
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_infinite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}
