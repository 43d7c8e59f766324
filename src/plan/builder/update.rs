//! The update: one dispatch per run of neighbouring parameters.

use super::{Builder, Draft, Memory};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::fuse;
use crate::plan::{BufferKind, Dispatch, KernelText, Phase};

impl Builder<'_> {
    pub(super) fn update(&mut self) -> Result<()> {
        let request = self.request;
        let Some(update) = request.update else { return Ok(()) };
        let mut trained = vec![false; request.arena.entries.len()];
        request.gradients.iter().for_each(|&(parameter, _)| trained[parameter] = true);
        for (segment, offset, bytes) in request.arena.runs(&trained) {
            let length = (bytes / DType::BYTES as u64) as usize;
            let updated = fuse::update(
                &update.text,
                &update.variables,
                length,
                request.profile.class,
                request.profile.image_loads(),
            )
            .map_err(|reason| Error::new(ErrorKind::Driver, format!("{}: {reason}", update.name)))?;
            let mut kinds = vec![BufferKind::Gradients(segment), BufferKind::Parameters(segment)];
            kinds.extend(
                update.states.iter().map(|state| BufferKind::OptimizerState { state: (*state).to_owned(), segment }),
            );
            let mut operands = Vec::new();
            for &(variable, _) in &updated.bindings {
                let buffer = self.buffer(kinds[variable].clone(), request.arena.segments[segment]);
                operands.push(Memory::Fixed { buffer, offset, bytes });
            }
            let usages = updated.bindings.iter().map(|(_, usage)| *usage).collect();
            let (name, wgsl, workgroups) = (update.name.to_owned(), updated.wgsl, updated.workgroups);
            let kernel = self.kernel_number(KernelText { name, wgsl, usages, uses_step: true });
            let names = request.arena.entries.iter().zip(&trained).filter(|(entry, trained)| {
                **trained && entry.segment == segment && (offset..offset + bytes).contains(&entry.offset)
            });
            let dispatch = Dispatch {
                phase: Phase::Update,
                kernel,
                label: names.map(|(entry, _)| entry.name.as_str()).collect::<Vec<_>>().join(", "),
                bindings: Vec::new(),
                images: Vec::new(),
                chosen: None,
                workgroups,
                operations: length as u64 * 4 * (update.states.len() as u64 + 1),
                node: None,
                nodes: Vec::new(),
                origin: None,
                location: String::new(),
                scope: String::new(),
            };
            self.push(Draft { dispatch, operands })?;
        }
        Ok(())
    }
}
