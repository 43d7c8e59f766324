// y[plane, query] = the sum over keys of p v[plane, key], and total[plane, query] = ln(sum over keys of exp(s)), with the score
// s = SCALE q[plane, query] . k[plane, key] and p = exp(s - total), over the keys that the query sees; 0 where it sees none,
// and NaN where all scores that it sees are -infinity, as those have no softmax.
//
// Scores are never stored: every lane keeps the greatest score so far, and sums relative to it, which shrink when a greater
// one comes. Then the lanes of a row join theirs.
// Source: Milakov, Gimelshein 2018; Dao, Fu, Ermon, Rudra, Re 2022.

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
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> total: array<f32>;

fn load_q(index: u32) -> f32 {
    return q[index];
}

fn load_k(index: u32) -> f32 {
    return k[index];
}

fn load_v(index: u32) -> f32 {
    return v[index];
}

fn load_mask(index: u32) -> u32 {
    return mask[index];
}

fn store_y(index: u32, value: f32) {
    y[index] = value;
}

fn store_total(index: u32, value: f32) {
    total[index] = value;
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
    var sums: array<f32, VALUE_SIZE>;
    var weights = 0.0f;
    var greatest = -3.4028234e38f;
    var seen = 0.0f;
    for (var key = lane; key < KEYS; key += LANES) {
        if (sees(plane, query, key)) {
            seen = 1.0f;
            let key_row = (plane * KEYS + key) * SIZE;
            var score = 0.0f;
            for (var i = 0u; i < SIZE; i++) {
                score += q_row[i] * load_k(key_row + i);
            }
            if (score > greatest) {
                let shrink = exp_f32(greatest - score);
                weights *= shrink;
                for (var i = 0u; i < VALUE_SIZE; i++) {
                    sums[i] *= shrink;
                }
                greatest = score;
            }
            let weight = exp_f32(score - greatest);
            weights += weight;
            let value_row = (plane * KEYS + key) * VALUE_SIZE;
            for (var i = 0u; i < VALUE_SIZE; i++) {
                sums[i] += weight * load_v(value_row + i);
            }
        }
    }
    let over_all = row_maximum(greatest, lane, slot, LANES);
    let share = exp_f32(greatest - over_all);
    weights = row_sum(weights * share, lane, slot, LANES);
    // A query that sees no key has no weights to divide by, and one that sees no finite score no weights that count.
    let blind = row_sum(seen, lane, slot, LANES) == 0.0f;
    let divisor = select(select(weights, not_a_number(), weights == 0.0f), 1.0f, blind);
    for (var i = 0u; i < VALUE_SIZE; i++) {
        let sum = row_sum(sums[i] * share, lane, slot, LANES);
        if (own == row && lane == 0u) {
            store_y(row * VALUE_SIZE + i, sum / divisor);
        }
    }
    if (own == row && lane == 0u) {
        store_total(row, select(over_all + log_f32(divisor), 0.0f, blind));
    }
}
