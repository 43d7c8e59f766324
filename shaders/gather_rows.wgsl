// batch[row, word] = data[order[first_row + row], word].
//
// The batch of a step, from data that stay on the device: `order` is a permutation of the rows of the data, and
// `first_row` the step's place in it. Data that are larger than a binding may be lie in parts; every part is gathered
// by a dispatch of its own, which copies those rows that it holds: PART_ROWS of them, from row FIRST of the data on.
// One invocation copies one word of 32 bits, or four of them where rows allow it.

const BATCH: u32 = 1u;
const WORDS: u32 = 1u;
const FIRST: u32 = 0u;
const PART_ROWS: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> batch: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = (group.y * GRID_WIDTH + group.x) * 64u + local;
    if (index >= BATCH * WORDS) {
        return;
    }
    // Rows before those of this part wrap around to large numbers.
    let row = order[step.first_row + index / WORDS] - FIRST;
    if (row < PART_ROWS) {
        batch[index] = data[row * WORDS + index % WORDS];
    }
}
