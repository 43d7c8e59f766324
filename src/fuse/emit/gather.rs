//! The batch of a step, gathered from data that stay on the device.

use crate::record::{Text, grid, libraries};

/// Invocations of a workgroup.
const THREADS: usize = 64;

/// The rows that a gathering dispatch copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Rows of a batch.
    pub batch: usize,
    /// Words of 32 bits of a row.
    pub words: usize,
    /// The first row of the data that lies in this part.
    pub first: usize,
    /// How many rows lie in it.
    pub rows: usize,
}

/// The kernel with its workgroups; its bindings are the data, the order and the batch.
///
/// # Errors
/// When the shader file lacks what is to be replaced, a defect of this library.
pub fn gather(rows: Gather) -> Result<(String, [u32; 3]), String> {
    let fours = rows.words.is_multiple_of(4);
    let words = if fours { rows.words / 4 } else { rows.words };
    let workgroups = grid((rows.batch * words).div_ceil(THREADS));
    let text = Text::new(include_str!("../../../shaders/gather_rows.wgsl"), &[&libraries::STEP])
        .unsigned("BATCH", rows.batch)
        .unsigned("WORDS", words)
        .unsigned("FIRST", rows.first)
        .unsigned("PART_ROWS", rows.rows)
        .unsigned("GRID_WIDTH", workgroups[0] as usize);
    let text = if fours { text.element("data", "vec4<u32>").element("batch", "vec4<u32>") } else { text };
    Ok((text.assemble()?, workgroups))
}
