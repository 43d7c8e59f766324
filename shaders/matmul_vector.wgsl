// C[batch, row, column] = sum over k of A[batch, row, k] B[batch, k, column], where C has at most four rows, or at
// most four columns: a matrix with up to four vectors.
//
// For GPUs: of C's two axes the long one is called `wide` and the short one `thin`. A workgroup of 256 computes
// WIDE_LANES results along the wide axis; 256 / WIDE_LANES invocations share each of them, every one adding up its
// own steps of the inner axis, and their sums are added in workgroup memory in a fixed order. Neighbouring
// invocations are numbered along the axis along which the matrix is dense, so that they load neighbouring elements.
// The inner axis may be cut into runs of INNER_RUN elements; C is then [runs, BATCH, ..] and is summed over its first
// axis afterwards.

const BATCH: u32 = 1u;
const WIDE: u32 = 64u;
const THIN: u32 = 1u;
const INNER: u32 = 64u;
const INNER_RUN: u32 = 64u;
const WIDE_LANES: u32 = 64u;
const INNER_LANES: u32 = 4u;
const GROUPS: u32 = 1u;
const WORKGROUPS: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> matrix: array<f32>;
@group(0) @binding(1) var<storage, read> vectors: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

// At [step of the inner axis, place along the wide axis].
var<workgroup> parts: array<vec4<f32>, 256>;

fn matrix_index(batch: u32, wide: u32, k: u32) -> u32 {
    return (batch * INNER + k) * WIDE + wide;
}

fn vectors_index(batch: u32, thin: u32, k: u32) -> u32 {
    return (batch * THIN + thin) * INNER + k;
}

fn c_index(plane: u32, wide: u32, thin: u32) -> u32 {
    return (plane * THIN + thin) * WIDE + wide;
}

// Which place along the wide axis, and which step of the inner axis, an invocation has.
fn lane(local: u32) -> vec2<u32> {
    return vec2<u32>(local % WIDE_LANES, local / WIDE_LANES);
}

fn store_c(index: u32, value: f32) {
    c[index] = value;
}

// Element k of all vectors.
fn elements(batch: u32, k: u32) -> vec4<f32> {
    var four = vec4<f32>(vectors[vectors_index(batch, 0u, k)], 0.0f, 0.0f, 0.0f);
    if (THIN > 1u) {
        four.y = vectors[vectors_index(batch, min(1u, THIN - 1u), k)];
    }
    if (THIN > 2u) {
        four.z = vectors[vectors_index(batch, min(2u, THIN - 1u), k)];
    }
    if (THIN > 3u) {
        four.w = vectors[vectors_index(batch, min(3u, THIN - 1u), k)];
    }
    return four;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let number = group.y * GRID_WIDTH + group.x;
    // The last row of a folded grid may be incomplete. All invocations of a workgroup agree.
    if (number >= WORKGROUPS) {
        return;
    }
    // Planes are numbered run by run: plane = run * BATCH + batch.
    let plane = number / GROUPS;
    let batch = plane % BATCH;
    let first = plane / BATCH * INNER_RUN;
    let last = min(first + INNER_RUN, INNER);
    let own = lane(local);
    let wide = number % GROUPS * WIDE_LANES + own.x;
    // Past the edge the last place stands in, whose results are not stored twice.
    let clamped = min(wide, WIDE - 1u);

    var sum = vec4<f32>();
    for (var k = first + own.y; k < last; k += INNER_LANES) {
        sum += matrix[matrix_index(batch, clamped, k)] * elements(batch, k);
    }
    let place = own.y * WIDE_LANES + own.x;
    parts[place] = sum;
    workgroupBarrier();
    for (var half = INNER_LANES / 2u; half > 0u; half /= 2u) {
        if (own.y < half) {
            parts[place] += parts[place + half * WIDE_LANES];
        }
        workgroupBarrier();
    }
    if (own.y == 0u && wide < WIDE) {
        let total = parts[place];
        store_c(c_index(plane, wide, 0u), total.x);
        if (THIN > 1u) {
            store_c(c_index(plane, wide, 1u), total.y);
        }
        if (THIN > 2u) {
            store_c(c_index(plane, wide, 2u), total.z);
        }
        if (THIN > 3u) {
            store_c(c_index(plane, wide, 3u), total.w);
        }
    }
}
