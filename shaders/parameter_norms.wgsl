// Norms of two arrays, parameter by parameter: norms[p] = sqrt(sum of sums[c]) over the chunks of parameter p.
//
// spans[p] = (first chunk, end, -, -). One invocation adds up one parameter, in fixed order.

const PARAMETERS: u32 = 1u;

@group(0) @binding(0) var<storage, read> spans: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> sums: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> norms: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let parameter = group.x * 64u + lane;
    if (parameter >= PARAMETERS) {
        return;
    }
    let span = spans[parameter];
    var total = vec2<f32>();
    for (var c = span.x; c < span.y; c++) {
        total += sums[c];
    }
    norms[parameter] = sqrt(total);
}
