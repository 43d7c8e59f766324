// Sums of squares of two arrays, chunk by chunk: sums[c] = (sum of x[i]^2, sum of y[i]^2) over the vectors of chunk c.
//
// chunks[c] = (first vector, end, parameter, -). A chunk lies within one parameter. A workgroup adds up one chunk, in
// fixed order: same bits every time.

const CHUNKS: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> chunks: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let number = group.y * GRID_WIDTH + group.x;
    if (number >= CHUNKS) {
        return;
    }
    let chunk = chunks[number];
    var first = vec4<f32>();
    var second = vec4<f32>();
    for (var i = chunk.x + lane; i < chunk.y; i += 64u) {
        first += x[i] * x[i];
        second += y[i] * y[i];
    }
    let of_x = row_sum((first.x + first.y) + (first.z + first.w), lane, lane, 64u);
    let of_y = row_sum((second.x + second.y) + (second.z + second.w), lane, lane, 64u);
    if (lane == 0u) {
        sums[number] = vec2<f32>(of_x, of_y);
    }
}
