// y[o] = x[o, 0] * x[o, 1] * .. * x[o, R-1], where * is sum, maximum or minimum.
//
// x is seen as OUTPUTS rows of REDUCED elements; `source_index` says where they lie, so that any
// axes of any view can be reduced, and `element` what is combined. A row is cut into CHUNKS runs of CHUNK elements, one per
// invocation, combined in order; y has one element per run and row, [CHUNKS, OUTPUTS], and where
// there are several runs a second dispatch reduces those. The order is fixed: same bits every time.

const OUTPUTS: u32 = 4u;
const REDUCED: u32 = 8u;
const CHUNK: u32 = 8u;
const CHUNKS: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn source_index(output: u32, reduced: u32) -> u32 {
    return output * REDUCED + reduced;
}

fn element(index: u32) -> f32 {
    return x[index];
}

fn store_y(index: u32, value: f32) {
    y[index] = value;
}

fn combine(a: f32, b: f32) -> f32 {
    return a + b;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * GRID_WIDTH + group.x) * 64u + lane;
    if (index >= OUTPUTS * CHUNKS) {
        return;
    }
    let output = index % OUTPUTS;
    let first = (index / OUTPUTS) * CHUNK;
    let last = min(first + CHUNK, REDUCED);
    var total = element(source_index(output, first));
    for (var r = first + 1u; r < last; r++) {
        total = combine(total, element(source_index(output, r)));
    }
    store_y(index, total);
}
