// Writes a cell: cell[i] = value[i], or leaves it as it is where the update is left out.

const LENGTH: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> cell: array<f32>;

// Whether this update is left out; plans replace it where it can be.
fn is_left_out() -> bool {
    return false;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (i >= LENGTH || is_left_out()) {
        return;
    }
    cell[i] = value[i];
}
