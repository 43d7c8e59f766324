// a^b.
//
// The builtin pow is undefined for negative bases and for 0^0. Integer exponents that are known
// when the shader is written go through products; the rest through exp(b log a).

// x^n for a whole number n, by squaring; the sign of x is kept exactly.
fn power_integer(x: f32, n: i32) -> f32 {
    var base = x;
    var rest = u32(abs(n));
    var y = 1.0f;
    // 32 bits at most.
    for (var bit = 0u; bit < 32u && rest != 0u; bit++) {
        y = select(y, y * base, (rest & 1u) == 1u);
        base = base * base;
        rest = rest >> 1u;
    }
    return select(y, 1.0f / y, n < 0);
}

// a^b for real b, with the special cases of IEEE 754: 1 for b = 0 and for a = 1, NaN for negative a
// unless b is whole.
fn power_real(a: f32, b: f32) -> f32 {
    let magnitude = bitcast<f32>(bitcast<u32>(a) & 0x7fffffffu);
    // From 2^24 on every number is whole and even; infinity counts as such.
    let large = magnitude_of(b) >= 16777216.0f;
    let whole = large || b == round(b);
    let odd = !large && whole && (i32(select(b, 0.0f, large || is_nan(b))) & 1) == 1;
    let zero = magnitude == 0.0f;
    let positive = exp_f32(b * log_f32(select(magnitude, 1.0f, zero)));
    var y = select(positive, select(infinity(), 0.0f, b > 0.0f), zero);
    // A negative base, -0 included: the sign of an odd power, and NaN where b is not whole.
    let negative = (bitcast<u32>(a) >> 31u) == 1u;
    y = select(y, -y, negative && odd);
    y = select(y, not_a_number(), negative && !zero && !whole && !is_infinite(a));
    y = select(y, not_a_number(), is_nan(a) || is_nan(b));
    return select(y, 1.0f, b == 0.0f || (a == 1.0f && !is_nan(a)));
}

fn magnitude_of(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0x7fffffffu);
}
