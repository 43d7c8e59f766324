// NAdam, Adam with the momentum of Nesterov, over a run of parameters of an arena:
//
//   g = g + L2_DECAY w
//   w = w (1 - rate DECOUPLED_DECAY)
//   m = BETA1 m + (1 - BETA1) g
//   v = BETA2 v + (1 - BETA2) g^2
//   mu(t) = BETA1 (1 - 0.96^(t momentum_decay) / 2), P(t) = mu(1) mu(2) .. mu(t)
//   w = w - rate ((1 - mu(t)) / (1 - P(t)) g + mu(t + 1) / (1 - P(t + 1)) m) / (sqrt(v / (1 - BETA2^t)) + EPSILON)
//
// The host computes step.scalars = (rate (1 - mu(t)) / (1 - P(t)), rate mu(t + 1) / (1 - P(t + 1)),
// 1 / sqrt(1 - BETA2^t), rate DECOUPLED_DECAY) in double precision. Source: Dozat 2016, in the form of PyTorch.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const BETA1: f32 = 0.9f;
const ONE_MINUS_BETA1: f32 = 0.1f;
const BETA2: f32 = 0.999f;
const ONE_MINUS_BETA2: f32 = 0.001f;
const EPSILON: f32 = 1e-8f;
const L2_DECAY: f32 = 0.0f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> square: array<f32>;

struct Changed {
    weight: f32,
    mean: f32,
    square: f32,
}

fn change(gradient: f32, weight: f32, mean: f32, square: f32) -> Changed {
    let g = gradient + L2_DECAY * weight;
    let m = BETA1 * mean + ONE_MINUS_BETA1 * g;
    let v = BETA2 * square + ONE_MINUS_BETA2 * g * g;
    let denominator = sqrt(v) * step.scalars.z + EPSILON;
    let kept = weight - step.scalars.w * weight;
    return Changed(kept - (step.scalars.x * g + step.scalars.y * m) / denominator, m, v);
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    let changed = change(gradient[i], weight[i], mean[i], square[i]);
    weight[i] = changed.weight;
    mean[i] = changed.mean;
    square[i] = changed.square;
}
