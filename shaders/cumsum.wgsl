// y[row, column] = x[row, 0] + x[row, 1] + .. + x[row, column].
//
// Every lane of a row adds up a run of neighbours; then it knows the sum of the runs before its own, and goes through its run
// again. LANES * ROWS_PER_GROUP = 64.

const ROWS: u32 = 64u;
const COLUMNS: u32 = 10u;
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

var<workgroup> runs: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let row = (group.y * GRID_WIDTH + group.x) * ROWS_PER_GROUP + slot / LANES;
    let lane = slot % LANES;
    let start = min(row, ROWS - 1u) * COLUMNS;
    let length = (COLUMNS + LANES - 1u) / LANES;
    let first = min(lane * length, COLUMNS);
    let last = min(first + length, COLUMNS);
    var sum = 0.0f;
    for (var column = first; column < last; column++) {
        sum += load_x(start + column);
    }
    runs[slot] = sum;
    workgroupBarrier();
    sum = 0.0f;
    for (var before = slot - lane; before < slot; before++) {
        sum += runs[before];
    }
    if (row < ROWS) {
        for (var column = first; column < last; column++) {
            sum += load_x(start + column);
            store_y(start + column, sum);
        }
    }
}
