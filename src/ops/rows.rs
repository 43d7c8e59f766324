//! What kernels that work row by row along the last axis have in common.

use crate::base::{Shape, TensorType};
use crate::record::{
    Dispatched, Domain, HostKernel, Kernel, KernelClass, Lowering, Op, Operand, Tensor, Text, grid, lanes,
};
use rayon::prelude::*;

/// 64 lanes share a row, and software adapters stop an invocation after 65,535 iterations of all its loops together, of
/// which there are up to three.
const MOST_COLUMNS: usize = 64 * 21_000;

/// A kernel over the rows of `shape`, whose last axis is the columns: reads all inputs and writes all outputs, densely,
/// under these names, each through a function of the text: `load_<name>` and `store_<name>`.
pub(super) fn lower(
    name: &'static str,
    text: Text,
    shape: &Shape,
    class: KernelClass,
    loads: &[&'static str],
    stores: &[&'static str],
    host: Option<HostKernel>,
) -> Lowering {
    let columns = shape.last();
    let rows = shape.elements() / columns;
    let lanes = lanes(columns, class);
    let workgroups = grid(rows.div_ceil(64 / lanes));
    let text = text
        .unsigned("ROWS", rows)
        .unsigned("COLUMNS", columns)
        .unsigned("LANES", lanes)
        .unsigned("ROWS_PER_GROUP", 64 / lanes)
        .unsigned("GRID_WIDTH", workgroups[0] as usize);
    let dispatched = Dispatched {
        name,
        text,
        reads: (0..loads.len()).map(Operand::Input).collect(),
        writes: (0..stores.len()).map(Operand::Output).collect(),
        loads: loads.iter().copied().enumerate().collect(),
        stores: stores.iter().copied().enumerate().collect(),
        uses_step: false,
        workgroups,
    };
    Lowering::Kernel(Kernel {
        stages: vec![dispatched],
        scratch: Vec::new(),
        any_layout: vec![false; loads.len()],
        host,
    })
}

/// How an op that works row by row is computed part by part.
pub(super) fn domain(op: &dyn Op, inputs: &[&TensorType]) -> Option<Domain> {
    let outputs = op.outputs(inputs).ok()?;
    Domain::of_rows(inputs, &outputs.iter().collect::<Vec<_>>())
}

/// Elements of neighbouring rows that one thread computes at a time.
const HOST_ELEMENTS: usize = 1 << 14;

/// On the host: a function from the rows of all inputs to the row of the only output, compiled for the vector units that
/// this machine has.
pub(super) fn on_host<const N: usize>(
    columns: usize,
    function: impl Fn([&[f32]; N], &mut [f32]) + Send + Sync + 'static,
) -> HostKernel {
    HostKernel::new(move |inputs, outputs| {
        let inputs: [&[f32]; N] = std::array::from_fn(|number| bytemuck::cast_slice(inputs[number]));
        let block = (HOST_ELEMENTS / columns).max(1) * columns;
        outputs[0].par_chunks_mut(block).enumerate().for_each(|(number, out)| {
            let out: &mut [f32] = bytemuck::cast_slice_mut(out);
            pulp::Arch::new().dispatch(|| {
                for (row, y) in out.chunks_exact_mut(columns).enumerate() {
                    let start = number * block + row * columns;
                    function(inputs.map(|input| &input[start..start + columns]), y);
                }
            });
        });
    })
}

/// The sum of f over pairs of neighbours: eight running sums, which are vector code, in an order that never changes.
#[inline(always)]
pub(super) fn sum_of(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    let (eights, rest) = x.as_chunks::<8>();
    let (others, other_rest) = y.as_chunks::<8>();
    for (x, y) in eights.iter().zip(others) {
        for lane in 0..8 {
            sums[lane] += f(x[lane], y[lane]);
        }
    }
    for ((sum, &x), &y) in sums.iter_mut().zip(rest).zip(other_rest) {
        *sum += f(x, y);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// The greatest of a row, NaN left out.
#[inline(always)]
pub(super) fn greatest_of(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 8];
    let (eights, rest) = x.as_chunks::<8>();
    for eight in eights {
        for (lane, &x) in lanes.iter_mut().zip(eight) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The type of a row op's output, which is that of its inputs.
pub(super) fn output(inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
    super::elementwise::floats(inputs)?;
    super::elementwise::same_shapes(inputs)?;
    if inputs[0].shape.rank() == 0 {
        return Err("it needs at least one axis".into());
    }
    if inputs[0].shape.last() > MOST_COLUMNS {
        return Err(format!(
            "rows have {} elements, and its kernels take at most {MOST_COLUMNS}",
            inputs[0].shape.last()
        ));
    }
    Ok(vec![inputs[0].clone()])
}

/// Runs `op` with `axis` brought to the end and back.
#[track_caller]
pub(super) fn along<'g>(
    name: &str,
    x: Tensor<'g>,
    axis: isize,
    op: impl FnOnce(Tensor<'g>) -> Tensor<'g>,
) -> Tensor<'g> {
    let _here = x.graph().here();
    let last = x.rank() as isize - 1;
    match x.shape().axis(axis) {
        Ok(axis) if axis as isize == last => op(x),
        Ok(axis) => op(x.swap_axes(axis as isize, last)).swap_axes(axis as isize, last),
        Err(reason) => x.graph().fault(name, &[x], reason),
    }
}
