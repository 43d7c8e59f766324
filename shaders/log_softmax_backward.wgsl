// dx[row, column] = g[row, column] - exp(y[row, column]) sum over columns of g.
//
// y is the result of log_softmax, g the gradient with respect to it.

const ROWS: u32 = 64u;
const COLUMNS: u32 = 10u;
// LANES lanes share a row; LANES * ROWS_PER_GROUP = 64.
const LANES: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

fn load_y(index: u32) -> f32 {
    return y[index];
}

fn load_g(index: u32) -> f32 {
    return g[index];
}

fn store_dx(index: u32, value: f32) {
    dx[index] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let row = (group.y * GRID_WIDTH + group.x) * ROWS_PER_GROUP + slot / LANES;
    let lane = slot % LANES;
    // Lanes without a row go along with the last one, as barriers need all; they store nothing.
    let owns_row = row < ROWS;
    let start = min(row, ROWS - 1u) * COLUMNS;
    var total = 0.0f;
    for (var column = lane; column < COLUMNS; column += LANES) {
        total += load_g(start + column);
    }
    total = row_sum(total, lane, slot, LANES);
    for (var column = lane; column < COLUMNS; column += LANES) {
        if (owns_row) {
            store_dx(start + column, load_g(start + column) - exp_f32(load_y(start + column)) * total);
        }
    }
}
