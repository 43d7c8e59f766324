// One pass of a merge sort of (key, place) by key, equal keys in the order of their places.
//
// Runs of WIDTH elements are sorted already; neighbouring runs are merged. Every element finds where it goes by itself: after
// those of its own run that stand before it, and those of the other run that come first, which a binary search counts.
// Elements of the left run come before equal ones of the right run, so the order is that of a stable sort, always.

const COUNT: u32 = 6u;
const WIDTH: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> keys: array<i32>;
@group(0) @binding(1) var<storage, read> places: array<i32>;
@group(0) @binding(2) var<storage, read_write> merged_keys: array<i32>;
@group(0) @binding(3) var<storage, read_write> merged_places: array<i32>;

// The first pass begins with the places 0, 1, ..
fn place_of(element: u32) -> i32 {
    return places[element];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let element = (group.y * GRID_WIDTH + group.x) * 64u + local;
    if (element >= COUNT) {
        return;
    }
    let key = keys[element];
    let run = element / WIDTH;
    let is_left = run % 2u == 0u;
    let own = run * WIDTH;
    let other = select(own - WIDTH, own + WIDTH, is_left);
    // How many of the other run come before this element: of the interval low..high it is searched for.
    let start = min(other, COUNT);
    var low = start;
    var high = min(other + WIDTH, COUNT);
    while (low < high) {
        let middle = (low + high) / 2u;
        let before = select(keys[middle] <= key, keys[middle] < key, is_left);
        if (before) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    let to = min(own, other) + (element - own) + (low - start);
    merged_keys[to] = key;
    merged_places[to] = place_of(element);
}
