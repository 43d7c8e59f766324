//! What kernels that compute every element of their output by itself have in common.

use crate::record::{Dispatched, HostKernel, Kernel, KernelClass, Lowering, Operand, Text, grid};

/// Software adapters stop an invocation after 65,535 iterations of all its loops together.
pub(super) const LONGEST_LOOP: usize = 60_000;

/// A kernel over `count` elements: reads all inputs and writes all outputs, densely, under these names, each through a
/// function of the text: `load_<name>` and `store_<name>`. One invocation computes `RUN` elements that follow one
/// another, with up to `iterations` of loops for each.
#[allow(clippy::too_many_arguments)] // what every kernel of elements is made of
pub(super) fn lower(
    name: &'static str,
    text: Text,
    count: usize,
    iterations: usize,
    class: KernelClass,
    loads: &[&'static str],
    stores: &[&'static str],
    host: HostKernel,
) -> Lowering {
    // On a CPU a lane is a part of a SIMD register: longer runs mean fewer workgroups to begin.
    let run = if class == KernelClass::Gpu || 4 * iterations > LONGEST_LOOP { 1 } else { 4 };
    let workgroups = grid(count.div_ceil(64 * run));
    let text = text.unsigned("COUNT", count).unsigned("RUN", run).unsigned("GRID_WIDTH", workgroups[0] as usize);
    let stage = Dispatched {
        name,
        text,
        reads: (0..loads.len()).map(Operand::Input).collect(),
        writes: (0..stores.len()).map(Operand::Output).collect(),
        loads: loads.iter().copied().enumerate().collect(),
        stores: stores.iter().copied().enumerate().collect(),
        uses_step: false,
        workgroups,
    };
    let any_layout = vec![false; loads.len()];
    Lowering::Kernel(Kernel { stages: vec![stage], scratch: Vec::new(), any_layout, host: Some(host) })
}
