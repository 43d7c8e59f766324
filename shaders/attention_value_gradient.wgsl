// dv[plane, key] = the sum over queries of p g[plane, query], with p = exp(s - total), s the score, over the queries that see
// the key. Scores are computed anew.

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
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> total: array<f32>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read_write> dv: array<f32>;

fn load_q(index: u32) -> f32 {
    return q[index];
}

fn load_k(index: u32) -> f32 {
    return k[index];
}

fn load_g(index: u32) -> f32 {
    return g[index];
}

fn load_total(index: u32) -> f32 {
    return total[index];
}

fn load_mask(index: u32) -> u32 {
    return mask[index];
}

fn store_dv(index: u32, value: f32) {
    dv[index] = value;
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
    let row = min(own, PLANES * KEYS - 1u);
    let plane = row / KEYS;
    let key = row % KEYS;
    var k_row: array<f32, SIZE>;
    for (var i = 0u; i < SIZE; i++) {
        k_row[i] = load_k(row * SIZE + i) * SCALE;
    }
    var sums: array<f32, VALUE_SIZE>;
    for (var query = lane; query < QUERIES; query += LANES) {
        if (sees(plane, query, key)) {
            let query_row = plane * QUERIES + query;
            var score = 0.0f;
            for (var i = 0u; i < SIZE; i++) {
                score += k_row[i] * load_q(query_row * SIZE + i);
            }
            let p = exp_f32(score - load_total(query_row));
            for (var i = 0u; i < VALUE_SIZE; i++) {
                sums[i] += p * load_g(query_row * VALUE_SIZE + i);
            }
        }
    }
    for (var i = 0u; i < VALUE_SIZE; i++) {
        let sum = row_sum(sums[i], lane, slot, LANES);
        if (own == row && lane == 0u) {
            store_dv(row * VALUE_SIZE + i, sum);
        }
    }
}
