//! The update: gradients are added up, measured, and change parameters, one dispatch per run of neighbouring parameters
//! of a group.

use super::{Builder, Draft, Memory};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::fuse::{self, Role, UpdateKernel, UpdateOperand, Usage};
use crate::plan::{BufferKind, Dispatch, Held, KernelText, Phase, Updates, Work};
use crate::record::{KernelClass, Text, libraries};

/// A run of neighbouring parameters: segment, first byte, bytes.
pub(super) type Run = (usize, u64, u64);

impl Builder<'_> {
    pub(super) fn update(&mut self) -> Result<()> {
        let Some(updates) = self.request.updates else { return Ok(()) };
        if updates.accumulate > 1 {
            self.accumulate()?;
        }
        self.gradient_norm(updates)?;
        if updates.layer_norms {
            self.layer_norms()?;
        }
        for number in 0..updates.groups.len() {
            self.change(updates, number)?;
        }
        Ok(())
    }

    /// Which parameters of the store are trained.
    pub(super) fn trained(&self) -> Vec<bool> {
        let mut trained = vec![false; self.request.arena.entries.len()];
        self.request.gradients.iter().for_each(|gradient| trained[gradient.parameter] = true);
        trained
    }

    /// Where the gradients are that change the parameters of a segment.
    pub(super) fn gradient_segment(&mut self, segment: usize) -> usize {
        let gathers = self.request.updates.is_some_and(|updates| updates.accumulate > 1);
        let accumulated = || BufferKind::OptimizerState { state: Updates::ACCUMULATED.into(), segment };
        let kind = if gathers { accumulated() } else { BufferKind::Gradients(segment) };
        self.buffer(kind, self.request.arena.segments[segment])
    }

    /// Names of the trained parameters that lie in a run.
    fn names(&self, trained: &[bool], (segment, offset, bytes): Run) -> String {
        let entries = self.request.arena.entries.iter().zip(trained);
        let inside = entries.filter(|(entry, trained)| {
            let meets = entry.offset < offset + bytes && offset < entry.offset + entry.bytes;
            **trained && entry.segment == segment && meets
        });
        inside.map(|(entry, _)| entry.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn accumulate(&mut self) -> Result<()> {
        let trained = self.trained();
        let text = Text::new(include_str!("../../../shaders/accumulate.wgsl"), &[&libraries::STEP]);
        let variables = [Role::Read.of("gradient"), Role::Change.of("accumulated")];
        for run in self.request.arena.runs(&trained) {
            let (segment, offset, bytes) = run;
            let length = (bytes / DType::BYTES as u64) as usize;
            let updated = kernel(&UpdateKernel {
                text: &text,
                variables: &variables,
                length,
                class: self.request.profile.class,
                images: self.request.profile.image_loads(),
                clips_norm: false,
                clips_value: None,
                averages: false,
            });
            let updated = updated.map_err(|reason| defect("accumulate", &reason))?;
            let from = self.buffer(BufferKind::Gradients(segment), self.request.arena.segments[segment]);
            let places = [from, self.gradient_segment(segment)];
            let operand = |&(operand, _): &(UpdateOperand, Usage)| match operand {
                UpdateOperand::Variable(number) => Memory::Fixed { buffer: places[number], offset, bytes },
                UpdateOperand::Clip | UpdateOperand::Average => unreachable!("it was asked for neither"),
            };
            let operands = updated.bindings.iter().map(operand).collect();
            let usages = updated.bindings.iter().map(|(_, usage)| *usage).collect();
            let text = KernelText { name: "accumulate".into(), wgsl: updated.wgsl, usages, uses_step: true };
            let label = self.names(&trained, run);
            self.state_dispatch(Work::Accumulate, text, label, updated.workgroups, 2 * length, operands)?;
        }
        Ok(())
    }

    /// Changes the parameters of a group.
    fn change(&mut self, updates: &Updates, group: usize) -> Result<()> {
        let update = &updates.groups[group];
        let mut trained = self.trained();
        trained.iter_mut().zip(&updates.group_of).for_each(|(trained, &of)| *trained &= of == group);
        let runs = if update.trust_ratio && self.request.profile.class == KernelClass::Host {
            // The rule needs whole parameters, one at a time.
            let one = |number: usize| (0..trained.len()).map(|other| trained[other] && other == number).collect();
            (0..trained.len()).flat_map(|number| self.request.arena.runs(&one(number) as &Vec<bool>)).collect()
        } else {
            self.request.arena.runs(&trained)
        };
        for run in runs {
            self.change_run(updates, group, &trained, run)?;
        }
        if update.trust_ratio && self.request.profile.class != KernelClass::Host && trained.contains(&true) {
            self.trust_ratio(updates, group, &trained)?;
        }
        Ok(())
    }

    fn change_run(&mut self, updates: &Updates, group: usize, trained: &[bool], run: Run) -> Result<()> {
        let update = &updates.groups[group];
        let (segment, offset, bytes) = run;
        let length = (bytes / DType::BYTES as u64) as usize;
        let on_host = self.request.profile.class == KernelClass::Host;
        let updated = kernel(&UpdateKernel {
            text: &update.text,
            variables: &update.variables,
            length,
            class: self.request.profile.class,
            images: self.request.profile.image_loads(),
            clips_norm: updates.clip_norm.is_some(),
            clips_value: updates.clip_value,
            // Elsewhere the weight is changed by a dispatch of its own.
            averages: updates.averages && (on_host || !update.trust_ratio),
        });
        let updated = updated.map_err(|reason| defect(update.name, &reason))?;
        let mut operands = Vec::new();
        let mut usages = Vec::new();
        for &(operand, usage) in &updated.bindings {
            let buffer = match operand {
                UpdateOperand::Clip => {
                    operands.push(self.clip());
                    usages.push(usage);
                    continue;
                }
                UpdateOperand::Average => self.state_segment(Updates::AVERAGE, segment),
                UpdateOperand::Variable(0) => self.gradient_segment(segment),
                UpdateOperand::Variable(1) => self.parameter_segment(segment),
                UpdateOperand::Variable(number) if update.variables[number].role == Role::Write => {
                    // The rule on the host needs no memory for it.
                    if on_host {
                        continue;
                    }
                    self.buffer(BufferKind::Directions(segment), self.request.arena.segments[segment])
                }
                UpdateOperand::Variable(number) => {
                    let is_state = |variable: &&fuse::Variable| variable.role == Role::Change;
                    let place = update.variables[2..number].iter().filter(is_state).count();
                    self.state_segment(update.states[place], segment)
                }
            };
            operands.push(Memory::Fixed { buffer, offset, bytes });
            // On the host every rule changes weights by itself.
            let is_weight = operand == UpdateOperand::Variable(1);
            usages.push(if on_host && is_weight { Usage::Write } else { usage });
        }
        let text = KernelText { name: update.name.to_owned(), wgsl: updated.wgsl, usages, uses_step: true };
        let (label, operations) = (self.names(trained, run), length * 4 * (update.states.len() + 1));
        self.state_dispatch(Work::Change(group), text, label, updated.workgroups, operations, operands)
    }

    pub(super) fn parameter_segment(&mut self, segment: usize) -> usize {
        self.buffer(BufferKind::Parameters(segment), self.request.arena.segments[segment])
    }

    pub(super) fn state_segment(&mut self, state: &str, segment: usize) -> usize {
        let kind = BufferKind::OptimizerState { state: state.to_owned(), segment };
        self.buffer(kind, self.request.arena.segments[segment])
    }

    /// A dispatch of the update.
    pub(super) fn state_dispatch(
        &mut self,
        work: Work,
        text: KernelText,
        label: String,
        workgroups: [u32; 3],
        operations: usize,
        operands: Vec<Memory>,
    ) -> Result<()> {
        let kernel = self.kernel_number(text);
        let dispatch = Dispatch {
            phase: Phase::Update,
            kernel,
            label,
            work: Some(work),
            bindings: Vec::new(),
            holds: vec![Held::State; operands.len()],
            images: Vec::new(),
            chosen: None,
            workgroups,
            operations: operations as u64,
            node: None,
            nodes: Vec::new(),
            origin: None,
            location: String::new(),
            scope: String::new(),
        };
        self.push(Draft { dispatch, operands })
    }
}

/// The kernel of an update.
fn kernel(kernel: &UpdateKernel<'_>) -> Result<fuse::Updated, String> {
    // What the host runs is not generated, but printed: as plain buffers.
    let images = if kernel.class == KernelClass::Host { usize::MAX } else { kernel.images };
    fuse::update(&UpdateKernel { images, ..*kernel })
}

pub(super) fn defect(name: &str, reason: &str) -> Error {
    Error::new(ErrorKind::Driver, format!("{name}: {reason}"))
}
