// dx[row, column] = r (g - mean(g) - y mean(g y)), the means over the row; mean(g) only where CENTERED.

const ROWS: u32 = 64u;
const COLUMNS: u32 = 10u;
const LANES: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;
const CENTERED: u32 = 1u;

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn load_y(index: u32) -> f32 {
    return y[index];
}

fn load_scale(index: u32) -> f32 {
    return scale[index];
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
    let owns_row = row < ROWS;
    let start = min(row, ROWS - 1u) * COLUMNS;
    var mean = 0.0f;
    var projection = 0.0f;
    for (var column = lane; column < COLUMNS; column += LANES) {
        let gradient = load_g(start + column);
        mean += gradient;
        projection += gradient * load_y(start + column);
    }
    if (CENTERED == 1u) {
        mean = row_sum(mean, lane, slot, LANES) / f32(COLUMNS);
    } else {
        mean = 0.0f;
    }
    projection = row_sum(projection, lane, slot, LANES) / f32(COLUMNS);
    let factor = load_scale(min(row, ROWS - 1u));
    for (var column = lane; column < COLUMNS; column += LANES) {
        if (owns_row) {
            store_dx(start + column, factor * (load_g(start + column) - mean - load_y(start + column) * projection));
        }
    }
}
