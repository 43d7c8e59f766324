// Adagrad over a run of parameters of an arena:
//
//   g = g + L2_DECAY w
//   s = s + g^2
//   w = w - rate / (1 + (t - 1) rate_decay) g / (sqrt(s + INITIAL) + EPSILON)
//
// The host computes step.scalars.x = rate / (1 + (t - 1) rate_decay) in double precision. Source: Duchi, Hazan, Singer
// 2011, in the form of PyTorch.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const EPSILON: f32 = 1e-10f;
const L2_DECAY: f32 = 0.0f;
const INITIAL: f32 = 0.0f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> square: array<f32>;

struct Changed {
    weight: f32,
    square: f32,
}

fn change(gradient: f32, weight: f32, square: f32) -> Changed {
    let g = gradient + L2_DECAY * weight;
    let s = square + g * g;
    return Changed(weight - step.scalars.x * g / (sqrt(s + INITIAL) + EPSILON), s);
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    let changed = change(gradient[i], weight[i], square[i]);
    weight[i] = changed.weight;
    square[i] = changed.square;
}
