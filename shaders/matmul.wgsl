// C[batch, row, column] = sum over k of A[batch, row, k] B[batch, k, column].
//
// For devices whose shaders run on a CPU: no workgroup memory, no barriers. The 8 lanes of a
// workgroup are the lanes of one SIMD register: they share 8 rows, so that an element of A is loaded
// once for all of them, and each has 4 columns of its own. `a_index` and `b_index` say where the
// operands lie, so transposed, sliced and broadcast operands need no copy. The inner axis may be
// cut into SPLITS runs of INNER_RUN elements; C is then [SPLITS, BATCH, ROWS, COLUMNS] and is summed
// over its first axis afterwards.

const BATCH: u32 = 1u;
const ROWS: u32 = 8u;
const COLUMNS: u32 = 32u;
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

fn store_row(plane: u32, row: u32, column: u32, values: vec4<f32>) {
    store(plane, row, column, values.x);
    store(plane, row, column + 1u, values.y);
    store(plane, row, column + 2u, values.z);
    store(plane, row, column + 3u, values.w);
}

fn load_columns(batch: u32, k: u32, column0: u32, column1: u32, column2: u32, column3: u32) -> vec4<f32> {
    return vec4<f32>(b[b_index(batch, k, column0)], b[b_index(batch, k, column1)], b[b_index(batch, k, column2)], b[b_index(batch, k, column3)]);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = group.y * GRID_WIDTH + group.x;
    if (tile >= TILES) {
        return;
    }
    let column = (tile % TILES_ACROSS) * 32u + lane * 4u;
    let row = (tile / TILES_ACROSS % TILES_DOWN) * 8u;
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
    let row4 = min(row + 4u, ROWS - 1u);
    let row5 = min(row + 5u, ROWS - 1u);
    let row6 = min(row + 6u, ROWS - 1u);
    let row7 = min(row + 7u, ROWS - 1u);
    let column0 = min(column, COLUMNS - 1u);
    let column1 = min(column + 1u, COLUMNS - 1u);
    let column2 = min(column + 2u, COLUMNS - 1u);
    let column3 = min(column + 3u, COLUMNS - 1u);

    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    var c4 = vec4<f32>();
    var c5 = vec4<f32>();
    var c6 = vec4<f32>();
    var c7 = vec4<f32>();
    for (var k = first; k < last; k++) {
        let columns = load_columns(batch, k, column0, column1, column2, column3);
        c0 += a[a_index(batch, row0, k)] * columns;
        c1 += a[a_index(batch, row1, k)] * columns;
        c2 += a[a_index(batch, row2, k)] * columns;
        c3 += a[a_index(batch, row3, k)] * columns;
        c4 += a[a_index(batch, row4, k)] * columns;
        c5 += a[a_index(batch, row5, k)] * columns;
        c6 += a[a_index(batch, row6, k)] * columns;
        c7 += a[a_index(batch, row7, k)] * columns;
    }
    store_row(plane, row, column, c0);
    store_row(plane, row + 1u, column, c1);
    store_row(plane, row + 2u, column, c2);
    store_row(plane, row + 3u, column, c3);
    store_row(plane, row + 4u, column, c4);
    store_row(plane, row + 5u, column, c5);
    store_row(plane, row + 6u, column, c6);
    store_row(plane, row + 7u, column, c7);
}
