// Loss and its gradient for rows of scores x and rows of target probabilities q:
//
//   loss[row]         = - sum over columns of q log_softmax(x)
//   dx[row, column]   = softmax(x)[column] sum(q) - q[column]

const ROWS: u32 = 64u;
const COLUMNS: u32 = 10u;
// LANES lanes share a row; LANES * ROWS_PER_GROUP = 64.
const LANES: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn load_x(index: u32) -> f32 {
    return x[index];
}

fn load_q(index: u32) -> f32 {
    return q[index];
}

fn store_loss(index: u32, value: f32) {
    loss[index] = value;
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
    var greatest = load_x(start + min(lane, COLUMNS - 1u));
    for (var column = lane; column < COLUMNS; column += LANES) {
        greatest = maximum_f32(greatest, load_x(start + column));
    }
    greatest = row_maximum(greatest, lane, slot, LANES);
    var total = 0.0f;
    var weight = 0.0f;
    for (var column = lane; column < COLUMNS; column += LANES) {
        total += exp_f32(load_x(start + column) - greatest);
        weight += load_q(start + column);
    }
    total = row_sum(total, lane, slot, LANES);
    weight = row_sum(weight, lane, slot, LANES);
    let shift = log_f32(total);
    var value = 0.0f;
    for (var column = lane; column < COLUMNS; column += LANES) {
        value += load_q(start + column) * (shift - (load_x(start + column) - greatest));
    }
    value = row_sum(value, lane, slot, LANES);
    if (owns_row && lane == 0u) {
        store_loss(row, value);
    }
    for (var column = lane; column < COLUMNS; column += LANES) {
        if (owns_row) {
            store_dx(start + column, exp_f32(load_x(start + column) - greatest) / total * weight - load_q(start + column));
        }
    }
}
