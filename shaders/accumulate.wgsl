// The mean of the gradients of a run of parameters and of those of the n runs before it: a = n / (n + 1) a + 1 / (n + 1) g.
//
// It is a mean after every run, so it does not matter how many were to be added up. What the first one finds is not looked
// at: it may be anything, NaN as well.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> accumulated: array<f32>;

struct Changed {
    accumulated: f32,
}

fn change(gradient: f32, accumulated: f32) -> Changed {
    let before = f32(step.gathered);
    let sum = before + 1.0f;
    return Changed(select((before / sum) * accumulated, 0.0f, step.gathered == 0u) + (1.0f / sum) * gradient);
}

// Plans replace this by a form that loads and stores several elements at once.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH) {
        return;
    }
    accumulated[i] = change(gradient[i], accumulated[i]).accumulated;
}
