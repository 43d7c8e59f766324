// Maximum and minimum that keep NaN, and the sign.
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
