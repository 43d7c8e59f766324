//! Constants that ops make on the host, such as weights of neighbours and angles of positions.

use crate::base::{HostData, HostTensor};
use crate::record::Tensor;

/// Most elements of one: 256 MiB, which every device binds, or tells that it does not.
const MOST: usize = 1 << 26;

/// A constant of this shape for an op on `operand`, whose elements `make` gives for their number; a mistake of the op where it
/// would be too large to make while recording.
///
/// # Panics
/// When `make` gives another number of elements: a defect of the op.
#[track_caller]
pub(super) fn table<'g>(
    op: &str,
    operand: Tensor<'g>,
    extents: [usize; 2],
    make: impl FnOnce(usize) -> Vec<f32>,
) -> Tensor<'g> {
    let graph = operand.graph();
    match extents[0].checked_mul(extents[1]) {
        Some(elements) if elements <= MOST => {
            let host = HostTensor::new(extents, HostData::F32(make(elements)));
            graph.constant(host.expect("as many elements were made as were asked for"))
        }
        _ => {
            let reason = format!(
                "it works with a table of {} x {} numbers, and makes tables of at most {MOST}: use smaller extents",
                extents[0], extents[1]
            );
            graph.fault(op, &[operand], reason)
        }
    }
}
