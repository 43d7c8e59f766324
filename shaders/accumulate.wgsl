// Adds the gradients of a run of parameters to those of the runs before it: a = (a, or 0 for the first) + SCALE g.
//
// What the first one finds is not looked at: it may be anything, NaN as well.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const SCALE: f32 = 1.0f;

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> accumulated: array<f32>;

struct Changed {
    accumulated: f32,
}

fn change(gradient: f32, accumulated: f32) -> Changed {
    return Changed(select(accumulated, 0.0f, step.gathered == 0u) + SCALE * gradient);
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
