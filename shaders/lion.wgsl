// Lion over a run of parameters of an arena:
//
//   w = w (1 - rate DECOUPLED_DECAY)
//   w = w - rate sign(BETA1 m + (1 - BETA1) g)
//   m = BETA2 m + (1 - BETA2) g
//
// The host computes step.scalars.x = rate DECOUPLED_DECAY in double precision. The sign of NaN is NaN, and that
// of infinity infinity, so that neither is hidden. Source: Chen and others 2023.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const BETA1: f32 = 0.9f;
const ONE_MINUS_BETA1: f32 = 0.1f;
const BETA2: f32 = 0.99f;
const ONE_MINUS_BETA2: f32 = 0.01f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;

struct Changed {
    weight: f32,
    mean: f32,
}

fn change(gradient: f32, weight: f32, mean: f32) -> Changed {
    let c = BETA1 * mean + ONE_MINUS_BETA1 * gradient;
    let direction = select(sign(c), c, is_nan(c) || is_infinite(c));
    let kept = weight - step.scalars.x * weight;
    return Changed(kept - step.learning_rate * direction, BETA2 * mean + ONE_MINUS_BETA2 * gradient);
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    let changed = change(gradient[i], weight[i], mean[i]);
    weight[i] = changed.weight;
    mean[i] = changed.mean;
}
