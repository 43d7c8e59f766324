// y[row, column] = (x[row, column] - m) r with the row's mean m (0 unless CENTERED) and r = 1 / sqrt(v + EPSILON), where v
// is the mean over the row of (x - m)^2; and scale[row] = r.

const ROWS: u32 = 64u;
const COLUMNS: u32 = 10u;
// LANES lanes share a row; LANES * ROWS_PER_GROUP = 64.
const LANES: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const CENTERED: u32 = 1u;
const EPSILON: f32 = 1e-5f;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;

fn load_x(index: u32) -> f32 {
    return x[index];
}

fn store_y(index: u32, value: f32) {
    y[index] = value;
}

fn store_scale(index: u32, value: f32) {
    scale[index] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let row = (group.y * GRID_WIDTH + group.x) * ROWS_PER_GROUP + slot / LANES;
    let lane = slot % LANES;
    // Lanes without a row go along with the last one, as barriers need all; they store nothing.
    let owns_row = row < ROWS;
    let start = min(row, ROWS - 1u) * COLUMNS;
    var mean = 0.0f;
    if (CENTERED == 1u) {
        for (var column = lane; column < COLUMNS; column += LANES) {
            mean += load_x(start + column);
        }
        mean = row_sum(mean, lane, slot, LANES) / f32(COLUMNS);
    }
    var square = 0.0f;
    for (var column = lane; column < COLUMNS; column += LANES) {
        let distance = load_x(start + column) - mean;
        square += distance * distance;
    }
    square = row_sum(square, lane, slot, LANES) / f32(COLUMNS);
    let factor = inverseSqrt(square + EPSILON);
    for (var column = lane; column < COLUMNS; column += LANES) {
        if (owns_row) {
            store_y(start + column, (load_x(start + column) - mean) * factor);
        }
    }
    if (owns_row && lane == 0u) {
        store_scale(row, factor);
    }
}
