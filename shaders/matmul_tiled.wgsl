// C[batch, row, column] = sum over k of A[batch, row, k] B[batch, k, column].
//
// For GPUs: a workgroup of 256 computes a tile of 64 x 64, staging 16 columns of A and 16 rows of B
// at a time in workgroup memory; every invocation holds 4 x 4 results in registers. `a_index` and
// `b_index` say where the operands lie, so transposed, sliced and broadcast operands need no copy.
// The inner axis may be cut into SPLITS runs of INNER_RUN elements (a multiple of 16); C is then
// [SPLITS, BATCH, ROWS, COLUMNS] and is summed over its first axis afterwards.

const BATCH: u32 = 1u;
const ROWS: u32 = 64u;
const COLUMNS: u32 = 64u;
const INNER: u32 = 64u;
const INNER_RUN: u32 = 64u;
const TILES_DOWN: u32 = 1u;
const TILES_ACROSS: u32 = 1u;
const TILES: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

// A is stored transposed, so that an invocation reads four rows as one vector. The stride of 17
// vectors keeps lanes on different memory banks.
var<workgroup> a_tile: array<vec4<f32>, 272>;
var<workgroup> b_tile: array<vec4<f32>, 272>;

fn a_index(batch: u32, row: u32, k: u32) -> u32 {
    return (batch * ROWS + row) * INNER + k;
}

fn b_index(batch: u32, k: u32, column: u32) -> u32 {
    return (batch * INNER + k) * COLUMNS + column;
}

fn store_c(index: u32, value: f32) {
    c[index] = value;
}

// Elements past the edge count as zero, so that they add nothing.
fn load_a(batch: u32, row: u32, k: u32, last: u32) -> f32 {
    let inside = row < ROWS && k < last;
    return select(0.0f, a[a_index(batch, min(row, ROWS - 1u), min(k, INNER - 1u))], inside);
}

fn load_b(batch: u32, k: u32, column: u32, last: u32) -> f32 {
    let inside = column < COLUMNS && k < last;
    return select(0.0f, b[b_index(batch, min(k, INNER - 1u), min(column, COLUMNS - 1u))], inside);
}

fn store(plane: u32, row: u32, column: u32, value: f32) {
    if (row < ROWS && column < COLUMNS) {
        store_c((plane * ROWS + row) * COLUMNS + column, value);
    }
}

fn store_row(plane: u32, row: u32, column: u32, values: vec4<f32>) {
    store(plane, row, column, values.x);
    store(plane, row, column + 1u, values.y);
    store(plane, row, column + 2u, values.z);
    store(plane, row, column + 3u, values.w);
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let tile = group.y * GRID_WIDTH + group.x;
    // The last row of a folded grid may be incomplete. All invocations of a workgroup agree.
    if (tile >= TILES) {
        return;
    }
    let left = (tile % TILES_ACROSS) * 64u;
    let top = (tile / TILES_ACROSS % TILES_DOWN) * 64u;
    // Planes are numbered split by split: plane = split * BATCH + batch.
    let plane = tile / (TILES_ACROSS * TILES_DOWN);
    let batch = plane % BATCH;
    let first = (plane / BATCH) * INNER_RUN;
    let last = min(first + INNER_RUN, INNER);

    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    for (var k0 = first; k0 < last; k0 += 16u) {
        // Lane (x, y) stages A[top + 4y .. 4y + 3, k0 + x] and B[k0 + y, left + 4x .. 4x + 3].
        let row = top + lane.y * 4u;
        let ka = k0 + lane.x;
        a_tile[lane.x * 17u + lane.y] = vec4<f32>(load_a(batch, row, ka, last), load_a(batch, row + 1u, ka, last), load_a(batch, row + 2u, ka, last), load_a(batch, row + 3u, ka, last));
        let column = left + lane.x * 4u;
        let kb = k0 + lane.y;
        b_tile[lane.y * 17u + lane.x] = vec4<f32>(load_b(batch, kb, column, last), load_b(batch, kb, column + 1u, last), load_b(batch, kb, column + 2u, last), load_b(batch, kb, column + 3u, last));
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            let rows = a_tile[k * 17u + lane.y];
            let columns = b_tile[k * 17u + lane.x];
            c0 += rows.x * columns;
            c1 += rows.y * columns;
            c2 += rows.z * columns;
            c3 += rows.w * columns;
        }
        workgroupBarrier();
    }
    let row = top + lane.y * 4u;
    let column = left + lane.x * 4u;
    store_row(plane, row, column, c0);
    store_row(plane, row + 1u, column, c1);
    store_row(plane, row + 2u, column, c2);
    store_row(plane, row + 3u, column, c3);
}
