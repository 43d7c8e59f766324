// Functions made of comparisons: maximum and minimum that keep NaN, the sign, and relu.
//
// The builtin max and min may return either operand when one is NaN: a NaN would vanish.

fn maximum_f32(a: f32, b: f32) -> f32 {
    return select(select(b, a, a >= b || is_nan(a)), b, is_nan(b) && !is_nan(a));
}

fn minimum_f32(a: f32, b: f32) -> f32 {
    return select(select(b, a, a <= b || is_nan(a)), b, is_nan(b) && !is_nan(a));
}

fn clamp_f32(x: f32, low: f32, high: f32) -> f32 {
    return select(select(select(x, low, x < low), high, x > high), x, is_nan(x));
}

fn sign_f32(x: f32) -> f32 {
    return select(select(select(x, 1.0f, x > 0.0f), -1.0f, x < 0.0f), x, is_nan(x));
}

// max(x, 0), with NaN kept. Compilers may turn x <= 0 into !(x > 0), so NaN is told by its bits.
fn relu_f32(x: f32) -> f32 {
    return select(select(x, 0.0f, x <= 0.0f), x, is_nan(x));
}

// x > 0 ? x : slope x.
fn leaky_relu_f32(x: f32, slope: f32) -> f32 {
    return select(x, slope * x, x <= 0.0f);
}
