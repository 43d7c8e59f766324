// y[plane, row, column] = the sum of a window of x[plane]. What lies past the edges of the plane counts as zero.

const COUNT: u32 = 4u;
const RUN: u32 = 1u;
const HEIGHT: u32 = 4u;
const WIDTH: u32 = 4u;
const OUT_HEIGHT: u32 = 2u;
const OUT_WIDTH: u32 = 2u;
const KERNEL_HEIGHT: u32 = 2u;
const KERNEL_WIDTH: u32 = 2u;
const STRIDE_HEIGHT: u32 = 2u;
const STRIDE_WIDTH: u32 = 2u;
const PADDING_HEIGHT: u32 = 0u;
const PADDING_WIDTH: u32 = 0u;
const DILATION_HEIGHT: u32 = 1u;
const DILATION_WIDTH: u32 = 1u;
const GRID_WIDTH: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn load_x(index: u32) -> f32 {
    return x[index];
}

fn store_y(index: u32, value: f32) {
    y[index] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let begin = ((group.y * GRID_WIDTH + group.x) * 64u + local) * RUN;
    for (var element = begin; element < min(begin + RUN, COUNT); element++) {
        let plane = element / (OUT_HEIGHT * OUT_WIDTH) * (HEIGHT * WIDTH);
        let top = element / OUT_WIDTH % OUT_HEIGHT * STRIDE_HEIGHT;
        let left = element % OUT_WIDTH * STRIDE_WIDTH;
        var sum = 0.0f;
        for (var window_row = 0u; window_row < KERNEL_HEIGHT; window_row++) {
            // Before the first row the difference is a large number.
            let row = top + window_row * DILATION_HEIGHT - PADDING_HEIGHT;
            if (row < HEIGHT) {
                for (var window_column = 0u; window_column < KERNEL_WIDTH; window_column++) {
                    let column = left + window_column * DILATION_WIDTH - PADDING_WIDTH;
                    if (column < WIDTH) {
                        sum += load_x(plane + row * WIDTH + column);
                    }
                }
            }
        }
        store_y(element, sum);
    }
}
