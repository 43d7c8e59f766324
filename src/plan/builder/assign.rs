//! Cells get their new values, when all else is done.

use super::update::defect;
use super::{Builder, Memory};
use crate::base::{DType, Result};
use crate::fuse::Usage;
use crate::plan::{Held, KernelText, Work};
use crate::record::{Text, grid};

const WORKGROUP: usize = 64;

impl Builder<'_> {
    /// A dispatch for every cell that gets a new value. What is copied was computed before the update, also where it is a
    /// parameter or another cell, so all of the step reads old values.
    pub(super) fn assign(&mut self) -> Result<()> {
        // With a norm that is no number the update is left out, and what cells would get is no better.
        let clips = self.request.updates.is_some_and(|updates| updates.clip_norm.is_some());
        for &(cell, value) in &self.resolved.assigned {
            let entry = self.request.arena.entries[cell].clone();
            let buffer = self.parameter_segment(entry.segment);
            let cell = Memory::Fixed { buffer, offset: entry.offset, bytes: entry.bytes };
            let length = (entry.bytes / DType::BYTES as u64) as usize;
            let workgroups = grid(length.div_ceil(WORKGROUP));
            let mut text = Text::new(include_str!("../../../shaders/assign.wgsl"), &[])
                .unsigned("LENGTH", length)
                .unsigned("GRID_WIDTH", workgroups[0] as usize);
            let mut operands = vec![self.tensor(value)?, cell];
            let mut usages = vec![Usage::Read, Usage::Write];
            if clips {
                text = text
                    .declare("@group(0) @binding(2) var<storage, read> clip: array<f32>;\n")
                    .function("is_left_out", "fn is_left_out() -> bool {\n    return clip[3] < 0.0f;\n}".into());
                operands.push(self.clip());
                usages.push(Usage::Read);
            }
            let wgsl = text.assemble().map_err(|reason| defect("assign", &reason))?;
            let text = KernelText { name: "assign".into(), wgsl, usages, uses_step: false };
            self.state_dispatch(Work::Assign, text, entry.name, workgroups, 0, operands)?;
            if let Some(draft) = self.drafts.last_mut() {
                draft.dispatch.holds[0] = Held::Tensor(value);
            }
        }
        Ok(())
    }
}
