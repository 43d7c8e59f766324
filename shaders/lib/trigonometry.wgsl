// sin(x) and cos(x), absolute error about 1e-7 for |x| up to 100,000; NaN beyond, where the angle
// could no longer be told.
//
// The builtins only promise 5e-4. Here x = q pi/2 + r with |r| <= pi/4; pi/2 is split in four parts,
// the first three of 8 bits each, so that their products with q are exact (Cody and Waite 1980), and
// sin r, cos r are Taylor polynomials with remainders below 3e-10.

struct ReducedAngle {
    quadrant: i32,
    r: f32,
}

fn reduce_angle(x: f32) -> ReducedAngle {
    let q = round(x * 0.63661977f);
    let r = (((x - q * 1.5703125f) - q * 0.0004825592041015625f) - q * 1.2665987014770508e-06f) - q * 9.92093629470503e-10f;
    let known = abs(x) <= 100000.0f;
    return ReducedAngle(i32(select(0.0f, q, known)) & 3, select(not_a_number(), r, known));
}

fn sine_polynomial(r: f32) -> f32 {
    let z = r * r;
    return r + r * z * (-0.16666667f + z * (0.008333334f + z * (-0.0001984127f + z * 2.7557319e-6f)));
}

fn cosine_polynomial(r: f32) -> f32 {
    let z = r * r;
    return 1.0f - 0.5f * z + z * z * (0.041666668f + z * (-0.0013888889f + z * (2.4801587e-5f + z * -2.755732e-7f)));
}

fn quarter_turns(quadrant: i32, r: f32) -> f32 {
    let magnitude = select(sine_polynomial(r), cosine_polynomial(r), (quadrant & 1) == 1);
    return select(magnitude, -magnitude, (quadrant & 2) == 2);
}

fn sin_f32(x: f32) -> f32 {
    let reduced = reduce_angle(x);
    return quarter_turns(reduced.quadrant, reduced.r);
}

fn cos_f32(x: f32) -> f32 {
    let reduced = reduce_angle(x);
    return quarter_turns(reduced.quadrant + 1, reduced.r);
}

// arctan(x), relative error about 2e-7. arctan(x) = pi/2 - arctan(1/x) brings |x| to at most 1, and
// arctan(x) = pi/4 + arctan((x - 1) / (x + 1)) brings that to at most tan(pi/8) = 0.4142; there the
// series x - x^3/3 + x^5/5 - .. leaves less than 2e-8 after nine terms.
fn atan_f32(x: f32) -> f32 {
    let magnitude = abs(x);
    let large = magnitude > 1.0f;
    let inner = select(magnitude, 1.0f / magnitude, large);
    let middle = inner > 0.41421356f;
    let r = select(inner, (inner - 1.0f) / (inner + 1.0f), middle);
    let z = r * r;
    var p = 0.05882353f;
    p = p * z - 0.06666667f;
    p = p * z + 0.07692308f;
    p = p * z - 0.09090909f;
    p = p * z + 0.11111111f;
    p = p * z - 0.14285715f;
    p = p * z + 0.2f;
    p = p * z - 0.33333334f;
    let near = r + r * z * p + select(0.0f, 0.7853982f, middle);
    let y = select(near, 1.5707964f - near, large);
    return select(y, -y, x < 0.0f);
}
