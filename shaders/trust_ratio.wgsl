// LAMB, last part: every parameter moves in its direction, as far as the norm of its weights says.
//
//   w = w - rate r d, where r = |w| / |d|, or 1 where either is zero
//
// norms[p] = (|d|, |w|) of parameter p before this. chunks[c] = (first vector, end, parameter, -); a workgroup moves one
// chunk. Source: You and others 2020.

const CHUNKS: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> chunks: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> norms: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> direction: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> weight: array<vec4<f32>>;

// Whether this update is left out; plans replace it where it can be.
fn is_left_out() -> bool {
    return false;
}

// What is done with a new weight besides storing it; plans replace it where averages are kept.
fn stored(i: u32, new_weight: vec4<f32>) {
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let number = group.y * GRID_WIDTH + group.x;
    if (number >= CHUNKS || is_left_out()) {
        return;
    }
    let chunk = chunks[number];
    let norm = norms[chunk.z];
    var ratio = 1.0f;
    if (norm.x != 0.0f && norm.y != 0.0f) {
        ratio = norm.y / norm.x;
    }
    for (var i = chunk.x + lane; i < chunk.y; i += 64u) {
        let moved = weight[i] - step.learning_rate * ratio * direction[i];
        weight[i] = moved;
        stored(i, moved);
    }
}
