// Sums of squares of two arrays, chunk by chunk, in any range: sums[c] = (a, s, b, t), where a is the sum of (x[i] / s)^2
// over the vectors of chunk c, b that of (y[i] / t)^2, and s and t are powers of two, usually 1.
//
// chunks[c] = (first vector, end, parameter, -). A chunk lies within one parameter. A workgroup adds up one chunk, in
// fixed order: same bits every time. Only where squares leave the range of single precision is it gone through again.

const CHUNKS: u32 = 1u;
const GRID_WIDTH: u32 = 1u;
// Sums between these have lost nothing to it.
const LEAST_SUM: f32 = 1e-20f;
const GREATEST_SUM: f32 = 1e30f;
// Scales that have an inverse, 2^-125 and 2^126, as bits.
const LEAST_SCALE: u32 = 0x01000000u;
const GREATEST_SCALE: u32 = 0x7e800000u;

@group(0) @binding(0) var<storage, read> chunks: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4<f32>>;

fn load(of_y: bool, i: u32) -> vec4<f32> {
    if (of_y) {
        return y[i];
    }
    return x[i];
}

// One over a power of two, exactly.
fn inverse(scale: f32) -> f32 {
    return bitcast<f32>(0x7f000000u - bitcast<u32>(scale));
}

fn total(four: vec4<f32>) -> f32 {
    return (four.x + four.y) + (four.z + four.w);
}

// The sum of the squares of every 64th vector over the square of a scale, and the scale.
fn squares(of_y: bool, first: u32, end: u32) -> vec2<f32> {
    var sum = vec4<f32>();
    for (var i = first; i < end; i += 64u) {
        let value = load(of_y, i);
        sum += value * value;
    }
    let plain = total(sum);
    if (is_nan(plain) || (plain >= LEAST_SUM && plain <= GREATEST_SUM)) {
        return vec2<f32>(plain, 1.0f);
    }
    var greatest = vec4<f32>();
    for (var i = first; i < end; i += 64u) {
        greatest = max(greatest, abs(load(of_y, i)));
    }
    let most = max(max(greatest.x, greatest.y), max(greatest.z, greatest.w));
    // Of zeros alone it is the least, which gives way to any other.
    let scale = bitcast<f32>(clamp(bitcast<u32>(most) & 0x7f800000u, LEAST_SCALE, GREATEST_SCALE));
    var scaled = vec4<f32>();
    for (var i = first; i < end; i += 64u) {
        let value = load(of_y, i) * inverse(scale);
        scaled += value * value;
    }
    return vec2<f32>(total(scaled), scale);
}

// The same for all lanes together.
fn joined(own: vec2<f32>, lane: u32) -> vec2<f32> {
    let scale = row_maximum(own.y, lane, lane, 64u);
    let ratio = own.y * inverse(scale);
    return vec2<f32>(row_sum(own.x * ratio * ratio, lane, lane, 64u), scale);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let number = group.y * GRID_WIDTH + group.x;
    if (number >= CHUNKS) {
        return;
    }
    let chunk = chunks[number];
    let of_x = joined(squares(false, chunk.x + lane, chunk.y), lane);
    let of_y = joined(squares(true, chunk.x + lane, chunk.y), lane);
    if (lane == 0u) {
        sums[number] = vec4<f32>(of_x, of_y);
    }
}
