// exp(x) and expm1(x) = exp(x) - 1, relative error about 1e-7 (2 ulp).
//
// The builtin exp may be wrong by 3 + 2|x| ulp. Here x = n ln 2 + r with |r| <= ln 2 / 2, so
// exp(x) = 2^n exp(r), and exp(r) - 1 is its Taylor polynomial of degree 7, whose remainder is
// below r^8 / 8! < 6e-9. ln 2 is split in two parts so that n times the first is exact.

const LN2_HIGH: f32 = 0.693359375f;
const LN2_LOW: f32 = -2.12194440e-4f;

struct ReducedExponent {
    n: f32,
    r: f32,
}

fn reduce_exponent(x: f32) -> ReducedExponent {
    let n = round(x * 1.44269504f);
    return ReducedExponent(n, (x - n * LN2_HIGH) - n * LN2_LOW);
}

// exp(r) - 1 for |r| <= ln 2 / 2.
fn expm1_polynomial(r: f32) -> f32 {
    let p = 0.5f + r * (0.16666667f + r * (0.041666668f + r * (0.008333334f + r * (0.0013888889f + r * 0.0001984127f))));
    return r + r * r * p;
}

// 2^n for integers n in -126 .. 127.
fn power_of_two(n: f32) -> f32 {
    return bitcast<f32>(u32(i32(n) + 127) << 23u);
}

fn exp_f32(x: f32) -> f32 {
    let reduced = reduce_exponent(clamp(x, -104.0f, 89.0f));
    // In two factors, as 2^n alone may lie outside the range where the product does not.
    let half = floor(reduced.n * 0.5f);
    let y = (1.0f + expm1_polynomial(reduced.r)) * power_of_two(half) * power_of_two(reduced.n - half);
    // clamp may turn NaN into a bound.
    return select(y, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}

fn expm1_f32(x: f32) -> f32 {
    let reduced = reduce_exponent(clamp(x, -80.0f, 89.0f));
    let half = floor(reduced.n * 0.5f);
    let scale = power_of_two(half);
    let rest = power_of_two(reduced.n - half);
    let p = expm1_polynomial(reduced.r);
    // 2^n (p + 1) - 1 as (2^n - 1) + 2^n p, which keeps small results exact.
    let small = (scale * rest - 1.0f) + scale * rest * p;
    let y = select(small, (1.0f + p) * scale * rest, reduced.n > 60.0f);
    return select(y, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}
