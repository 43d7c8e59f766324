// Stochastic gradient descent without momentum over a run of parameters of an arena:
//
//   w = w - rate (g + WEIGHT_DECAY w)

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const WEIGHT_DECAY: f32 = 0.0f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;

struct Changed {
    weight: f32,
}

fn change(gradient: f32, weight: f32) -> Changed {
    return Changed(weight - step.learning_rate * (gradient + WEIGHT_DECAY * weight));
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    weight[i] = change(gradient[i], weight[i]).weight;
}
