// y[row, column] = x[row, column] - m - log(sum over columns of exp(x - m)), m the row's maximum.

const ROWS: u32 = 64u;
const COLUMNS: u32 = 10u;
// LANES lanes share a row; LANES * ROWS_PER_GROUP = 64.
const LANES: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn load_x(index: u32) -> f32 {
    return x[index];
}

fn store_y(index: u32, value: f32) {
    y[index] = value;
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
    for (var column = lane; column < COLUMNS; column += LANES) {
        total += exp_f32(load_x(start + column) - greatest);
    }
    total = row_sum(total, lane, slot, LANES);
    let shift = log_f32(total);
    for (var column = lane; column < COLUMNS; column += LANES) {
        if (owns_row) {
            store_y(start + column, (load_x(start + column) - greatest) - shift);
        }
    }
}
