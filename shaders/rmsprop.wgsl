// RMSprop over a run of parameters of an arena:
//
//   g = g + L2_DECAY w
//   s = ALPHA s + (1 - ALPHA) g^2
//   a = ALPHA a + (1 - ALPHA) g            (CENTERED)
//   d = g / (sqrt(s - a^2) + EPSILON)      (a = 0 without CENTERED)
//   v = MOMENTUM v + d                     (v = d without MOMENTUM)
//   w = w - rate v
//
// Rounding can leave s - a^2 below zero where the gradient hardly changes: there it counts as zero. Source: Tieleman,
// Hinton 2012; centered: Graves 2013, in the form of PyTorch.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const ALPHA: f32 = 0.99f;
const ONE_MINUS_ALPHA: f32 = 0.01f;
const EPSILON: f32 = 1e-8f;
const L2_DECAY: f32 = 0.0f;
const MOMENTUM: f32 = 0.0f;
const CENTERED: f32 = 0.0f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> square: array<f32>;
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> velocity: array<f32>;

struct Changed {
    weight: f32,
    square: f32,
    mean: f32,
    velocity: f32,
}

fn change(gradient: f32, weight: f32, square: f32, mean: f32, velocity: f32) -> Changed {
    let g = gradient + L2_DECAY * weight;
    let s = ALPHA * square + ONE_MINUS_ALPHA * g * g;
    let a = select(0.0f, ALPHA * mean + ONE_MINUS_ALPHA * g, CENTERED != 0.0f);
    let v = MOMENTUM * velocity + g / (sqrt(max(s - a * a, 0.0f)) + EPSILON);
    return Changed(weight - step.learning_rate * v, s, a, v);
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    let changed = change(gradient[i], weight[i], square[i], mean[i], velocity[i]);
    weight[i] = changed.weight;
    square[i] = changed.square;
    mean[i] = changed.mean;
    velocity[i] = changed.velocity;
}
