// dq[plane, query] = SCALE times the sum over keys of ds k[plane, key], with p = exp(s - total), s the score, and
// ds = p (g[plane, query] . v[plane, key] - delta[plane, query]), over the keys that the query sees. Scores are computed anew.

const PLANES: u32 = 1u;
const QUERIES: u32 = 4u;
const KEYS: u32 = 4u;
const SIZE: u32 = 2u;
const VALUE_SIZE: u32 = 2u;
const SCALE: f32 = 0.7071068f;
// Whether a query sees only keys up to its own position.
const CAUSAL: u32 = 0u;
// How many planes the mask has: as many as there are, or one for all; 0 where there is none.
const MASK_PLANES: u32 = 0u;
// LANES lanes share a row; LANES * ROWS_PER_GROUP = 64.
const LANES: u32 = 1u;
const ROWS_PER_GROUP: u32 = 64u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read> mask: array<u32>;
@group(0) @binding(7) var<storage, read_write> dq: array<f32>;

fn load_q(index: u32) -> f32 {
    return q[index];
}

fn load_k(index: u32) -> f32 {
    return k[index];
}

fn load_v(index: u32) -> f32 {
    return v[index];
}

fn load_g(index: u32) -> f32 {
    return g[index];
}

fn load_total(index: u32) -> f32 {
    return total[index];
}

fn load_delta(index: u32) -> f32 {
    return delta[index];
}

fn load_mask(index: u32) -> u32 {
    return mask[index];
}

fn store_dq(index: u32, value: f32) {
    dq[index] = value;
}

// Whether a query sees a key.
fn sees(plane: u32, query: u32, key: u32) -> bool {
    if (CAUSAL == 1u && key > query) {
        return false;
    }
    if (MASK_PLANES == 0u) {
        return true;
    }
    return load_mask((plane % max(MASK_PLANES, 1u) * QUERIES + query) * KEYS + key) != 0u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let own = (group.y * GRID_WIDTH + group.x) * ROWS_PER_GROUP + slot / LANES;
    let lane = slot % LANES;
    // Lanes without a row go along with the last one, as barriers need all; they store nothing.
    let row = min(own, PLANES * QUERIES - 1u);
    let plane = row / QUERIES;
    let query = row % QUERIES;
    var q_row: array<f32, SIZE>;
    for (var i = 0u; i < SIZE; i++) {
        q_row[i] = load_q(row * SIZE + i) * SCALE;
    }
    var g_row: array<f32, VALUE_SIZE>;
    for (var i = 0u; i < VALUE_SIZE; i++) {
        g_row[i] = load_g(row * VALUE_SIZE + i);
    }
    let row_total = load_total(row);
    let row_delta = load_delta(row);
    var sums: array<f32, SIZE>;
    for (var key = lane; key < KEYS; key += LANES) {
        if (sees(plane, query, key)) {
            let key_row = (plane * KEYS + key) * SIZE;
            let value_row = (plane * KEYS + key) * VALUE_SIZE;
            var score = 0.0f;
            for (var i = 0u; i < SIZE; i++) {
                score += q_row[i] * load_k(key_row + i);
            }
            var dp = 0.0f;
            for (var i = 0u; i < VALUE_SIZE; i++) {
                dp += g_row[i] * load_v(value_row + i);
            }
            let ds = exp_f32(score - row_total) * (dp - row_delta);
            for (var i = 0u; i < SIZE; i++) {
                sums[i] += ds * load_k(key_row + i);
            }
        }
    }
    for (var i = 0u; i < SIZE; i++) {
        let sum = row_sum(sums[i], lane, slot, LANES);
        if (own == row && lane == 0u) {
            store_dq(row * SIZE + i, sum * SCALE);
        }
    }
}
