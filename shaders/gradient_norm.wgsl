// Sums of squares, and the Euclidean norm of all gradients: norm = sqrt(sum of x[i]^2).
//
// A workgroup adds up RUN vectors of four elements and writes one sum, y[workgroup]. Where there are several workgroups,
// a second dispatch of one workgroup adds their sums and takes the root: there `term` and `finish` are other functions.
// The order of additions is fixed: same bits every time.

const VECTORS: u32 = 256u;
const RUN: u32 = 256u;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn load_x(index: u32) -> vec4<f32> {
    return x[index];
}

fn term(value: vec4<f32>) -> vec4<f32> {
    return value * value;
}

fn finish(sum: f32) -> f32 {
    return sqrt(sum);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let last = min(group.x * RUN + RUN, VECTORS);
    var sums = vec4<f32>();
    for (var i = group.x * RUN + lane; i < last; i += 64u) {
        sums += term(load_x(i));
    }
    let total = row_sum((sums.x + sums.y) + (sums.z + sums.w), lane, lane, 64u);
    if (lane == 0u) {
        y[group.x] = finish(total);
    }
}
