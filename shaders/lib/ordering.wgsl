// Comparisons as masks, 1 where true. NaN differs from every number and is neither less nor greater nor equal; compilers may
// take it that there is none, and turn `a >= b` into `!(a < b)`, so it is told by its bits.

fn ordered(a: f32, b: f32) -> bool {
    return !(is_nan(a) || is_nan(b));
}

fn gt_f32(a: f32, b: f32) -> u32 {
    return select(0u, 1u, ordered(a, b) && a > b);
}

fn ge_f32(a: f32, b: f32) -> u32 {
    return select(0u, 1u, ordered(a, b) && a >= b);
}

fn lt_f32(a: f32, b: f32) -> u32 {
    return select(0u, 1u, ordered(a, b) && a < b);
}

fn le_f32(a: f32, b: f32) -> u32 {
    return select(0u, 1u, ordered(a, b) && a <= b);
}

fn eq_f32(a: f32, b: f32) -> u32 {
    return select(0u, 1u, ordered(a, b) && a == b);
}

fn ne_f32(a: f32, b: f32) -> u32 {
    return select(0u, 1u, !ordered(a, b) || a != b);
}
