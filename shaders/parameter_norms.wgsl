// Norms of two arrays, parameter by parameter, from sums[c] = (a, s, b, t): norms[p] = (sqrt(sum of s^2 a),
// sqrt(sum of t^2 b)) over the chunks of parameter p, with the greatest of the scales taken out of the sum.
//
// spans[p] = (first chunk, end, -, -). One invocation adds up one parameter, in fixed order.

const PARAMETERS: u32 = 1u;

@group(0) @binding(0) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> norms: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let parameter = group.x * 64u + lane;
    if (parameter >= PARAMETERS) {
        return;
    }
    let span = spans[parameter];
    var scale = vec2<f32>();
    for (var c = span.x; c < span.y; c++) {
        scale = max(scale, sums[c].yw);
    }
    // One over powers of two, exactly.
    let inverse = bitcast<vec2<f32>>(vec2<u32>(0x7f000000u) - bitcast<vec2<u32>>(scale));
    var total = vec2<f32>();
    for (var c = span.x; c < span.y; c++) {
        let ratio = sums[c].yw * inverse;
        total += sums[c].xz * ratio * ratio;
    }
    norms[parameter] = sqrt(total) * scale;
}
