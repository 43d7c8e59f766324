// y[row] = the column of the row's greatest element; the first of equals; the first NaN, if any.

const ROWS: u32 = 64u;
const COLUMNS: u32 = 10u;
const LANES: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;

fn load_x(index: u32) -> f32 {
    return x[index];
}

fn store_y(index: u32, value: i32) {
    y[index] = value;
}

var<workgroup> values: array<f32, 64>;
var<workgroup> columns: array<u32, 64>;

// Whether (value, column) comes before (other, other_column).
fn leads(value: f32, column: u32, other: f32, other_column: u32) -> bool {
    let earlier = column < other_column;
    if (is_nan(value) || is_nan(other)) {
        return is_nan(value) && (!is_nan(other) || earlier);
    }
    return value > other || (value == other && earlier);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let row = (group.y * GRID_WIDTH + group.x) * ROWS_PER_GROUP + slot / LANES;
    let lane = slot % LANES;
    let start = min(row, ROWS - 1u) * COLUMNS;
    var best_column = min(lane, COLUMNS - 1u);
    var best = load_x(start + best_column);
    for (var column = lane; column < COLUMNS; column += LANES) {
        let value = load_x(start + column);
        if (leads(value, column, best, best_column)) {
            best = value;
            best_column = column;
        }
    }
    values[slot] = best;
    columns[slot] = best_column;
    for (var width = LANES / 2u; width > 0u; width = width / 2u) {
        workgroupBarrier();
        if (lane < width && leads(values[slot + width], columns[slot + width], values[slot], columns[slot])) {
            values[slot] = values[slot + width];
            columns[slot] = columns[slot + width];
        }
    }
    workgroupBarrier();
    if (row < ROWS && lane == 0u) {
        store_y(row, i32(columns[slot]));
    }
}
