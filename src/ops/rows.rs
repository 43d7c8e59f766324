//! What kernels that work row by row along the last axis have in common.

use crate::base::{Shape, TensorType};
use crate::record::{Dispatched, Kernel, KernelClass, Lowering, Operand, Tensor, Text, grid, lanes};

/// 64 lanes share a row, and software adapters stop loops after 65,535 iterations.
const MOST_COLUMNS: usize = 64 * 65_000;

/// A kernel over the rows of `shape`, whose last axis is the columns: reads all inputs and writes all outputs, densely,
/// under these names, each through a function of the text: `load_<name>` and `store_<name>`.
pub(super) fn lower(
    name: &'static str,
    text: Text,
    shape: &Shape,
    class: KernelClass,
    loads: &[&'static str],
    stores: &[&'static str],
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
        host: None,
    })
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
