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

// a^b for real b: NaN for negative a, 1 for b = 0, 0 or infinity for a = 0.
fn power_real(a: f32, b: f32) -> f32 {
    let safe = select(a, 1.0f, a <= 0.0f);
    let positive = exp_f32(b * log_f32(safe));
    let at_zero = select(select(infinity(), 0.0f, b > 0.0f), 1.0f, b == 0.0f);
    let y = select(positive, at_zero, a == 0.0f);
    let whole = b == round(b) && abs(b) < 1000000.0f;
    let odd = (i32(select(0.0f, b, whole)) & 1) == 1;
    let magnitude = exp_f32(b * log_f32(select(1.0f, -a, a < 0.0f)));
    let negative = select(not_a_number(), select(magnitude, -magnitude, odd), whole);
    return select(y, negative, a < 0.0f);
}
