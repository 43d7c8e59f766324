// Loss and its gradient for rows of scores x and one label t per row, with label smoothing e:
//
//   loss[row]         = log(sum of exp(x - m)) - (1 - e) (x[t] - m) - e / C sum of (x - m)
//   dx[row, column]   = softmax(x)[column] - (1 - e) [column = t] - e / C
//
// m is the row's maximum, C the number of columns. A label outside 0 .. C-1 gives NaN in both
// rather than a read out of bounds; fed labels are checked before that.

const ROWS: u32 = 64u;
const COLUMNS: u32 = 10u;
// LANES lanes share a row; LANES * ROWS_PER_GROUP = 64.
const LANES: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const SMOOTHING: f32 = 0.0f;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn load_x(index: u32) -> f32 {
    return x[index];
}

fn load_labels(index: u32) -> i32 {
    return labels[index];
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
    var sum = 0.0f;
    for (var column = lane; column < COLUMNS; column += LANES) {
        let shifted = load_x(start + column) - greatest;
        total += exp_f32(shifted);
        sum += shifted;
    }
    total = row_sum(total, lane, slot, LANES);
    sum = row_sum(sum, lane, slot, LANES);
    let label = load_labels(min(row, ROWS - 1u));
    let known = label >= 0 && label < i32(COLUMNS);
    let target_column = u32(clamp(label, 0, i32(COLUMNS) - 1));
    if (owns_row && lane == 0u) {
        let chosen = load_x(start + target_column) - greatest;
        // Without smoothing the sum does not count: it may be infinite where scores are masked.
        let spread = select(0.0f, SMOOTHING / f32(COLUMNS) * sum, SMOOTHING > 0.0f);
        let value = log_f32(total) - (1.0f - SMOOTHING) * chosen - spread;
        store_loss(row, select(not_a_number(), value, known));
    }
    for (var column = lane; column < COLUMNS; column += LANES) {
        if (owns_row) {
            let wanted = SMOOTHING / f32(COLUMNS) + select(0.0f, 1.0f - SMOOTHING, column == target_column);
            let value = exp_f32(load_x(start + column) - greatest) / total - wanted;
            store_dx(start + column, select(not_a_number(), value, known));
        }
    }
}
