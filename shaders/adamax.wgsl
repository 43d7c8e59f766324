// Adamax, Adam with the infinity norm, over a run of parameters of an arena:
//
//   g = g + L2_DECAY w
//   m = BETA1 m + (1 - BETA1) g
//   u = max(BETA2 u, |g| + EPSILON)
//   w = w - rate / (1 - BETA1^t) m / u
//
// The host computes step.scalars.x = rate / (1 - BETA1^t) in double precision. Source: Kingma, Ba 2015, in the form of
// PyTorch.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const BETA1: f32 = 0.9f;
const ONE_MINUS_BETA1: f32 = 0.1f;
const BETA2: f32 = 0.999f;
const EPSILON: f32 = 1e-8f;
const L2_DECAY: f32 = 0.0f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> greatest: array<f32>;

struct Changed {
    weight: f32,
    mean: f32,
    greatest: f32,
}

fn change(gradient: f32, weight: f32, mean: f32, greatest: f32) -> Changed {
    let g = gradient + L2_DECAY * weight;
    let m = BETA1 * mean + ONE_MINUS_BETA1 * g;
    let u = max(BETA2 * greatest, abs(g) + EPSILON);
    return Changed(weight - step.scalars.x * m / u, m, u);
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    let changed = change(gradient[i], weight[i], mean[i], greatest[i]);
    weight[i] = changed.weight;
    mean[i] = changed.mean;
    greatest[i] = changed.greatest;
}
