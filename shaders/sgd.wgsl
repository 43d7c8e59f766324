// Stochastic gradient descent over a run of parameters of an arena:
//
//   d = g + WEIGHT_DECAY w
//   v = MOMENTUM v + d          (the first step, v = d; without momentum there is no v)
//   w = w - rate (NESTEROV ? d + MOMENTUM v : v)
//
// Source: Sutskever, Martens, Dahl, Hinton 2013, in the form of PyTorch.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const MOMENTUM: f32 = 0.9f;
const WEIGHT_DECAY: f32 = 0.0f;
const NESTEROV: f32 = 0.0f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> velocity: array<f32>;

struct Changed {
    weight: f32,
    velocity: f32,
}

fn change(gradient: f32, weight: f32, velocity: f32) -> Changed {
    let d = gradient + WEIGHT_DECAY * weight;
    let v = MOMENTUM * velocity + d;
    return Changed(weight - step.learning_rate * select(v, d + MOMENTUM * v, NESTEROV != 0.0f), v);
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    let changed = change(gradient[i], weight[i], velocity[i]);
    weight[i] = changed.weight;
    velocity[i] = changed.velocity;
}
