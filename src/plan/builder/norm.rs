//! The global norm of all gradients, straight from the arena.

use super::{Builder, Draft, Memory};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::fuse::{self, Usage};
use crate::plan::{Binding, BufferKind, Dispatch, KernelText, Phase};
use crate::record::KernelClass;

const WORD: u64 = DType::BYTES as u64;

impl Builder<'_> {
    /// The dispatches that compute the norm, and where it will be.
    pub(super) fn gradient_norm(&mut self) -> Result<Option<Binding>> {
        let request = self.request;
        if !request.gradient_norm {
            return Ok(None);
        }
        let mut trained = vec![false; request.arena.entries.len()];
        request.gradients.iter().for_each(|&(parameter, _)| trained[parameter] = true);
        let mut runs = Vec::new();
        for (segment, offset, bytes) in request.arena.runs(&trained) {
            let buffer = self.buffer(BufferKind::Gradients(segment), request.arena.segments[segment]);
            runs.push((Memory::Fixed { buffer, offset, bytes }, (bytes / WORD) as usize));
        }
        let buffer = self.buffer(BufferKind::GradientNorm, WORD);
        let norm = Memory::Fixed { buffer, offset: 0, bytes: WORD };
        let place = Binding { buffer, offset: 0, bytes: WORD };
        let defect = |reason: String| Error::new(ErrorKind::Driver, format!("gradient_norm: {reason}"));
        if request.profile.class == KernelClass::Host {
            let usages = runs.iter().map(|_| Usage::Read).chain([Usage::Write]).collect();
            let operands = runs.iter().map(|(memory, _)| *memory).chain([norm]).collect();
            let text = "the square root of the sum of the squares of all gradients".to_owned();
            let elements = runs.iter().map(|(_, length)| *length).sum();
            self.norm_dispatch("gradient norm", text, usages, operands, 1, elements)?;
            return Ok(Some(place));
        }
        if let [(memory, length)] = runs[..]
            && fuse::norm_is_short(length)
        {
            let sums = fuse::norm_squares(length, true, request.profile.image_loads()).map_err(defect)?;
            self.norm_dispatch(
                "gradient norm",
                sums.wgsl,
                vec![sums.reads, Usage::Write],
                vec![memory, norm],
                1,
                length,
            )?;
            return Ok(Some(place));
        }
        // Every run has a part of one buffer; what it does not fill stays zero.
        let part = (fuse::NORM_MOST_SUMS as u64) * WORD;
        let parts = self.buffer(BufferKind::GradientSquares, part * runs.len() as u64);
        for (number, (memory, length)) in runs.iter().enumerate() {
            let sums = fuse::norm_squares(*length, false, request.profile.image_loads()).map_err(defect)?;
            let offset = part * number as u64;
            let to = Memory::Fixed { buffer: parts, offset, bytes: sums.count as u64 * WORD };
            let usages = vec![sums.reads, Usage::Write];
            self.norm_dispatch("squares of gradients", sums.wgsl, usages, vec![*memory, to], sums.count, *length)?;
        }
        let count = fuse::NORM_MOST_SUMS * runs.len();
        let sums = fuse::norm_root(count).map_err(defect)?;
        let all = Memory::Fixed { buffer: parts, offset: 0, bytes: part * runs.len() as u64 };
        self.norm_dispatch("gradient norm", sums.wgsl, vec![Usage::Read, Usage::Write], vec![all, norm], 1, count)?;
        Ok(Some(place))
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
        let kernel = self.kernel_number(KernelText { name: "gradient_norm".into(), wgsl, usages, uses_step: false });
        let dispatch = Dispatch {
            phase: Phase::Update,
            kernel,
            label: label.into(),
            bindings: Vec::new(),
            images: Vec::new(),
            workgroups: [workgroups as u32, 1, 1],
            operations: 2 * elements as u64,
            node: None,
            nodes: Vec::new(),
            origin: None,
            chosen: None,
            location: String::new(),
            scope: String::new(),
        };
        self.push(Draft { dispatch, operands })
    }
}
