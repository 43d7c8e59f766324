// y[outer, v, inner] = the sum of g[outer, place, inner] over all places whose key is FIRST + v.
//
// `keys` are sorted and `places` follow them, so the places of one key stand side by side: LANES lanes share their sum, and
// add in a fixed order. LANES * ELEMENTS_PER_GROUP = 64.

const COUNT: u32 = 10u;
const INDICES: u32 = 3u;
const ENTRIES: u32 = 5u;
const FIRST: u32 = 0u;
const INNER: u32 = 2u;
const LANES: u32 = 1u;
const ELEMENTS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<i32>;
@group(0) @binding(2) var<storage, read> places: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn load_g(index: u32) -> f32 {
    return g[index];
}

fn load_keys(index: u32) -> i32 {
    return keys[index];
}

fn load_places(index: u32) -> i32 {
    return places[index];
}

fn store_y(index: u32, value: f32) {
    y[index] = value;
}

// The first position whose key is not below `key`.
fn position(key: i32) -> u32 {
    var low = 0u;
    var high = INDICES;
    while (low < high) {
        let middle = (low + high) / 2u;
        if (load_keys(middle) < key) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let own = (group.y * GRID_WIDTH + group.x) * ELEMENTS_PER_GROUP + slot / LANES;
    let lane = slot % LANES;
    // Lanes without an element go along with the last one, as barriers need all; they store nothing.
    let element = min(own, COUNT - 1u);
    let row = element / INNER;
    let key = i32(FIRST + row % ENTRIES);
    let base = row / ENTRIES * INDICES;
    let last = position(key + 1);
    var sum = 0.0f;
    for (var next = position(key) + lane; next < last; next += LANES) {
        sum += load_g((base + u32(load_places(next))) * INNER + element % INNER);
    }
    sum = row_sum(sum, lane, slot, LANES);
    if (lane == 0u && own < COUNT) {
        store_y(element, sum);
    }
}
