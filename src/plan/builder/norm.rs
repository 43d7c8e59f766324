//! The global norm of all gradients, straight from the arena.

use super::update::defect;
use super::{Builder, Memory};
use crate::base::{DType, Result};
use crate::fuse::{self, Usage};
use crate::plan::{Binding, BufferKind, KernelText, Updates, Work};
use crate::record::KernelClass;

const WORD: u64 = DType::BYTES as u64;
/// The norm, the factor for gradients, the number of updates that were left out, and whether the norm is a number.
const CLIP_BYTES: u64 = 4 * WORD;

impl Builder<'_> {
    /// The dispatches that compute the norm, where it is needed.
    pub(super) fn gradient_norm(&mut self, updates: &Updates) -> Result<()> {
        if !updates.gradient_norm && updates.clip_norm.is_none() {
            return Ok(());
        }
        let limit = updates.clip_norm;
        let purpose = fuse::NormPurpose { limit, gathers: self.norm_gathers() };
        let request = self.request;
        let mut runs = Vec::new();
        for (segment, offset, bytes) in request.arena.runs(&self.trained()) {
            let buffer = self.gradient_segment(segment);
            runs.push((Memory::Fixed { buffer, offset, bytes }, (bytes / WORD) as usize));
        }
        let norm = self.clip();
        let Memory::Fixed { buffer, .. } = norm else { unreachable!("it lies in a buffer of its own") };
        self.gradient_norm = Some(Binding { buffer, offset: 0, bytes: WORD });
        self.left_out = limit.map(|_| Binding { buffer, offset: 2 * WORD, bytes: WORD });
        if runs.is_empty() {
            // Nothing is trained: the norm is the zero that the buffer begins with.
            return Ok(());
        }
        if request.profile.class == KernelClass::Host {
            let usages = runs.iter().map(|_| Usage::Read).chain([Usage::Write]).collect();
            let operands = runs.iter().map(|(memory, _)| *memory).chain([norm]).collect();
            let text = "the square root of the sum of the squares of all gradients".to_owned();
            let elements = runs.iter().map(|(_, length)| *length).sum();
            return self.norm_dispatch("gradient norm", text, usages, operands, 1, elements);
        }
        if let [(memory, length)] = runs[..]
            && fuse::norm_is_short(length)
        {
            let sums = fuse::norm_squares(length, Some(purpose), request.profile.image_loads());
            let sums = sums.map_err(|reason| defect("gradient_norm", &reason))?;
            let usages = vec![sums.reads, Usage::Write];
            return self.norm_dispatch("gradient norm", sums.wgsl, usages, vec![memory, norm], 1, length);
        }
        // Every run has a part of one buffer; what it does not fill stays zero.
        let part = (fuse::NORM_MOST_SUMS as u64) * WORD;
        let parts = self.buffer(BufferKind::GradientSquares, part * runs.len() as u64);
        for (number, (memory, length)) in runs.iter().enumerate() {
            let sums = fuse::norm_squares(*length, None, request.profile.image_loads());
            let sums = sums.map_err(|reason| defect("gradient_norm", &reason))?;
            let offset = part * number as u64;
            let to = Memory::Fixed { buffer: parts, offset, bytes: sums.count as u64 * WORD };
            let usages = vec![sums.reads, Usage::Write];
            self.norm_dispatch("squares of gradients", sums.wgsl, usages, vec![*memory, to], sums.count, *length)?;
        }
        let count = fuse::NORM_MOST_SUMS * runs.len();
        let sums = fuse::norm_root(count, purpose).map_err(|reason| defect("gradient_norm", &reason))?;
        let all = Memory::Fixed { buffer: parts, offset: 0, bytes: part * runs.len() as u64 };
        self.norm_dispatch("gradient norm", sums.wgsl, vec![Usage::Read, Usage::Write], vec![all, norm], 1, count)
    }

    /// Whether runs that only add up gradients look at their norm as well: cells that they write stay as they are where it is
    /// no number.
    fn norm_gathers(&self) -> bool {
        let updates = self.request.updates;
        let guards = updates.is_some_and(|updates| updates.clip_norm.is_some() && updates.accumulate > 1);
        guards && !self.resolved.assigned.is_empty()
    }

    /// Where the norm is, and what follows from it.
    pub(super) fn clip(&mut self) -> Memory {
        let clips = self.request.updates.is_some_and(|updates| updates.clip_norm.is_some());
        let bytes = if clips { CLIP_BYTES } else { WORD };
        Memory::Fixed { buffer: self.buffer(BufferKind::GradientNorm, bytes), offset: 0, bytes }
    }

    fn norm_dispatch(
        &mut self,
        label: &str,
        wgsl: String,
        usages: Vec<Usage>,
        operands: Vec<Memory>,
        workgroups: usize,
        elements: usize,
    ) -> Result<()> {
        let gathers = self.norm_gathers();
        let text = KernelText { name: "gradient_norm".into(), wgsl, usages, uses_step: gathers };
        self.state_dispatch(
            Work::Norm { gathers },
            text,
            label.into(),
            [workgroups as u32, 1, 1],
            2 * elements,
            operands,
        )
    }
}
