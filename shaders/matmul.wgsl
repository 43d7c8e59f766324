// C[batch, row, column] = sum over k of A[batch, row, k] B[batch, k, column].
//
// For devices whose shaders run on a CPU: no workgroup memory, no barriers. Every invocation
// computes a tile of 4 rows and 8 columns in registers. `a_index` and `b_index` say where the
// operands lie, so transposed, sliced and broadcast operands need no copy. The inner axis may be
// cut into SPLITS runs of INNER_RUN elements; C is then [SPLITS, BATCH, ROWS, COLUMNS] and is summed
// over its first axis afterwards.

const BATCH: u32 = 1u;
const ROWS: u32 = 4u;
const COLUMNS: u32 = 8u;
const INNER: u32 = 16u;
const INNER_RUN: u32 = 16u;
const TILES_DOWN: u32 = 1u;
const TILES_ACROSS: u32 = 1u;
const TILES: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

fn a_index(batch: u32, row: u32, k: u32) -> u32 {
    return (batch * ROWS + row) * INNER + k;
}

fn b_index(batch: u32, k: u32, column: u32) -> u32 {
    return (batch * INNER + k) * COLUMNS + column;
}

fn epilogue(value: f32, index: u32) -> f32 {
    return value;
}

fn store(plane: u32, row: u32, column: u32, value: f32) {
    if (row < ROWS && column < COLUMNS) {
        let index = (plane * ROWS + row) * COLUMNS + column;
        c[index] = epilogue(value, index);
    }
}

fn store_row(plane: u32, row: u32, column: u32, left: vec4<f32>, right: vec4<f32>) {
    store(plane, row, column, left.x);
    store(plane, row, column + 1u, left.y);
    store(plane, row, column + 2u, left.z);
    store(plane, row, column + 3u, left.w);
    store(plane, row, column + 4u, right.x);
    store(plane, row, column + 5u, right.y);
    store(plane, row, column + 6u, right.z);
    store(plane, row, column + 7u, right.w);
}

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = (group.y * GRID_WIDTH + group.x) * 16u + lane;
    if (tile >= TILES) {
        return;
    }
    let column = (tile % TILES_ACROSS) * 8u;
    let row = (tile / TILES_ACROSS % TILES_DOWN) * 4u;
    // Planes are numbered split by split: plane = split * BATCH + batch.
    let plane = tile / (TILES_ACROSS * TILES_DOWN);
    let batch = plane % BATCH;
    let first = (plane / BATCH) * INNER_RUN;
    let last = min(first + INNER_RUN, INNER);

    // Rows and columns past the edge repeat the last one; their results are not stored.
    let row0 = row;
    let row1 = min(row + 1u, ROWS - 1u);
    let row2 = min(row + 2u, ROWS - 1u);
    let row3 = min(row + 3u, ROWS - 1u);
    let column0 = column;
    let column1 = min(column + 1u, COLUMNS - 1u);
    let column2 = min(column + 2u, COLUMNS - 1u);
    let column3 = min(column + 3u, COLUMNS - 1u);
    let column4 = min(column + 4u, COLUMNS - 1u);
    let column5 = min(column + 5u, COLUMNS - 1u);
    let column6 = min(column + 6u, COLUMNS - 1u);
    let column7 = min(column + 7u, COLUMNS - 1u);

    var left0 = vec4<f32>();
    var left1 = vec4<f32>();
    var left2 = vec4<f32>();
    var left3 = vec4<f32>();
    var right0 = vec4<f32>();
    var right1 = vec4<f32>();
    var right2 = vec4<f32>();
    var right3 = vec4<f32>();
    for (var k = first; k < last; k++) {
        let left = vec4<f32>(b[b_index(batch, k, column0)], b[b_index(batch, k, column1)], b[b_index(batch, k, column2)], b[b_index(batch, k, column3)]);
        let right = vec4<f32>(b[b_index(batch, k, column4)], b[b_index(batch, k, column5)], b[b_index(batch, k, column6)], b[b_index(batch, k, column7)]);
        let a0 = a[a_index(batch, row0, k)];
        let a1 = a[a_index(batch, row1, k)];
        let a2 = a[a_index(batch, row2, k)];
        let a3 = a[a_index(batch, row3, k)];
        left0 += a0 * left;
        left1 += a1 * left;
        left2 += a2 * left;
        left3 += a3 * left;
        right0 += a0 * right;
        right1 += a1 * right;
        right2 += a2 * right;
        right3 += a3 * right;
    }
    store_row(plane, row, column, left0, right0);
    store_row(plane, row + 1u, column, left1, right1);
    store_row(plane, row + 2u, column, left2, right2);
    store_row(plane, row + 3u, column, left3, right3);
}
