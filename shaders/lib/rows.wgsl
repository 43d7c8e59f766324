// Sums and maxima over the lanes that share a row.
//
// A workgroup has 64 invocations, in runs of `lanes` (1, 2, .. 64) that share a row; `lane` is the place
// in the run, `slot` the place in the workgroup. Partial results are combined pairwise, in fixed order.
// All invocations must call these together, as they wait for one another.

var<workgroup> row_partial: array<f32, 64>;

// The sum of `value` over the lanes of a row; every lane gets it.
fn row_sum(value: f32, lane: u32, slot: u32, lanes: u32) -> f32 {
    row_partial[slot] = value;
    for (var width = lanes / 2u; width > 0u; width = width / 2u) {
        workgroupBarrier();
        if (lane < width) {
            row_partial[slot] += row_partial[slot + width];
        }
    }
    workgroupBarrier();
    let total = row_partial[slot - lane];
    // The next call must not write before all have read.
    workgroupBarrier();
    return total;
}

// The maximum of `value` over the lanes of a row, NaN if any is; every lane gets it.
fn row_maximum(value: f32, lane: u32, slot: u32, lanes: u32) -> f32 {
    row_partial[slot] = value;
    for (var width = lanes / 2u; width > 0u; width = width / 2u) {
        workgroupBarrier();
        if (lane < width) {
            row_partial[slot] = maximum_f32(row_partial[slot], row_partial[slot + width]);
        }
    }
    workgroupBarrier();
    let greatest = row_partial[slot - lane];
    workgroupBarrier();
    return greatest;
}
