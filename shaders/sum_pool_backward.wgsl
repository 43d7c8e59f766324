// dx[plane, row, column] = the sum of g over all windows that the element lies in.

const COUNT: u32 = 16u;
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

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;

fn load_g(index: u32) -> f32 {
    return g[index];
}

fn store_dx(index: u32, value: f32) {
    dx[index] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let begin = ((group.y * GRID_WIDTH + group.x) * 64u + local) * RUN;
    for (var element = begin; element < min(begin + RUN, COUNT); element++) {
        let plane = element / (HEIGHT * WIDTH) * (OUT_HEIGHT * OUT_WIDTH);
        let place = element % (HEIGHT * WIDTH);
        let row = place / WIDTH + PADDING_HEIGHT;
        let column = place % WIDTH + PADDING_WIDTH;
        var sum = 0.0f;
        for (var window_row = 0u; window_row < KERNEL_HEIGHT; window_row++) {
            // How far the window begins above the element; above the plane it is a large number.
            let top = row - window_row * DILATION_HEIGHT;
            if (top % STRIDE_HEIGHT == 0u && top / STRIDE_HEIGHT < OUT_HEIGHT) {
                for (var window_column = 0u; window_column < KERNEL_WIDTH; window_column++) {
                    let left = column - window_column * DILATION_WIDTH;
                    if (left % STRIDE_WIDTH == 0u && left / STRIDE_WIDTH < OUT_WIDTH) {
                        sum += load_g(plane + top / STRIDE_HEIGHT * OUT_WIDTH + left / STRIDE_WIDTH);
                    }
                }
            }
        }
        store_dx(element, sum);
    }
}
