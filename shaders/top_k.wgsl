// The K greatest elements of every row, in descending order, and their columns. Of equal elements the one in the lesser
// column comes first; NaN counts as greater than all.
//
// Every element counts those of its row that come before it: this is its place in the order, and it is stored if it is
// below K. No two elements have one place.

const COUNT: u32 = 640u;
const COLUMNS: u32 = 10u;
const K: u32 = 3u;
const RUN: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> columns: array<i32>;

fn load_x(index: u32) -> f32 {
    return x[index];
}

fn store_values(index: u32, value: f32) {
    values[index] = value;
}

fn store_columns(index: u32, value: i32) {
    columns[index] = value;
}

// Whether `other`, in a lesser column if `lesser`, comes before `value`.
fn leads(other: f32, value: f32, lesser: bool) -> bool {
    if (is_nan(value)) {
        return is_nan(other) && lesser;
    }
    return is_nan(other) || other > value || (other == value && lesser);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = ((group.y * GRID_WIDTH + group.x) * 64u + local) * RUN;
    for (var element = first; element < min(first + RUN, COUNT); element++) {
        let row = element / COLUMNS;
        let column = element % COLUMNS;
        let value = load_x(element);
        var place = 0u;
        for (var other = 0u; other < COLUMNS; other++) {
            if (leads(load_x(row * COLUMNS + other), value, other < column)) {
                place++;
            }
        }
        if (place < K) {
            store_values(row * K + place, value);
            store_columns(row * K + place, i32(column));
        }
    }
}
