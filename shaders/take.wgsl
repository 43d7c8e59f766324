// y[outer, k, inner] = x[outer, index[k] - FIRST, inner]; NaN where the index is not in 0 .. ALL.
//
// x is the part FIRST .. FIRST + ENTRIES of a table with ALL entries. Of entries of other parts y is zero, so that what the
// parts give adds up to what the table does.
//
// One invocation copies RUN elements that follow one another.

const COUNT: u32 = 6u;
const RUN: u32 = 1u;
const INDICES: u32 = 3u;
const ENTRIES: u32 = 5u;
const FIRST: u32 = 0u;
const ALL: u32 = 5u;
const INNER: u32 = 2u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn load_x(index: u32) -> f32 {
    return x[index];
}

fn load_index(place: u32) -> i32 {
    return index[place];
}

fn store_y(index: u32, value: f32) {
    y[index] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = ((group.y * GRID_WIDTH + group.x) * 64u + local) * RUN;
    for (var element = first; element < min(first + RUN, COUNT); element++) {
        let row = element / INNER;
        // Negative ones become large numbers.
        let named = u32(load_index(row % INDICES));
        let entry = named - FIRST;
        var value = select(not_a_number(), 0.0f, named < ALL);
        if (entry < ENTRIES) {
            value = load_x((row / INDICES * ENTRIES + entry) * INNER + element % INNER);
        }
        store_y(element, value);
    }
}
