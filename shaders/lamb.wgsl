// LAMB over a run of parameters of an arena, first part: the moments, and the direction of every parameter.
//
//   m = BETA1 m + (1 - BETA1) g
//   v = BETA2 v + (1 - BETA2) g^2
//   d = m / (1 - BETA1^t) / (sqrt(v / (1 - BETA2^t)) + EPSILON) + DECAY w
//
// `trust_ratio.wgsl` then moves each parameter by rate |w| / |d| d, where |.| is the norm over the whole parameter. The
// host computes step.scalars = (1 / (1 - BETA1^t), 1 / sqrt(1 - BETA2^t), -, -) in double precision. Source: You and
// others 2020.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const BETA1: f32 = 0.9f;
const ONE_MINUS_BETA1: f32 = 0.1f;
const BETA2: f32 = 0.999f;
const ONE_MINUS_BETA2: f32 = 0.001f;
const EPSILON: f32 = 1e-6f;
const DECAY: f32 = 0.0f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> square: array<f32>;
@group(0) @binding(4) var<storage, read_write> direction: array<f32>;

struct Changed {
    mean: f32,
    square: f32,
    direction: f32,
}

fn change(gradient: f32, weight: f32, mean: f32, square: f32) -> Changed {
    let m = BETA1 * mean + ONE_MINUS_BETA1 * gradient;
    let v = BETA2 * square + ONE_MINUS_BETA2 * gradient * gradient;
    let d = step.scalars.x * m / (sqrt(v) * step.scalars.y + EPSILON) + DECAY * weight;
    return Changed(m, v, d);
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    let changed = change(gradient[i], weight[i], mean[i], square[i]);
    mean[i] = changed.mean;
    square[i] = changed.square;
    direction[i] = changed.direction;
}
