//! What a step is compiled from, and compiled from again.

use super::dataset::Passes;
use super::draft::{Draft, index_checks, input_slots};
use super::input::InputSlot;
use super::numbers::Numbers;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::{Program, ProgramRequest, RowOrder, State};
use crate::fuse::Simplified;
use crate::plan::{NumberCheck, Plan, Planned, Updates};
use crate::record::{IndexCheck, Recording};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What compiling gives for one state.
pub(super) struct Compiled {
    pub program: Program,
    pub plan: Arc<Plan>,
    pub simplified: Simplified,
    pub state: State,
    pub inputs: Vec<InputSlot>,
    pub passes: Option<Passes>,
    pub checks: Vec<IndexCheck>,
    pub resolved: Recording,
    pub numbers: Option<Numbers>,
}

/// Everything that a step is compiled from but the state.
#[derive(Debug)]
pub(super) struct Source {
    pub draft: Draft,
    /// How parameters change, if they do.
    pub updates: Option<Updates>,
    /// For every parameter, whether its running average is read in its place; empty where none is.
    pub averaged: Vec<bool>,
    pub checks_feeds: bool,
    /// Whether there was a dataset that is not kept.
    lacks_data: bool,
}

impl Source {
    pub const fn new(draft: Draft, updates: Option<Updates>, averaged: Vec<bool>, checks_feeds: bool) -> Self {
        Self { draft, updates, averaged, checks_feeds, lacks_data: false }
    }

    /// Lets go of the data that stay on the device, which may be large.
    pub fn forget_data(&mut self) {
        self.lacks_data = self.draft.dataset().is_some();
        self.draft.forget_dataset();
    }

    /// An error where the step could not be compiled again on a state.
    pub fn fits(&self, state: &State) -> Result<()> {
        let refuse = |message: &str| Err(Error::new(ErrorKind::Argument, message));
        if self.lacks_data {
            return refuse(
                "the data of the step's dataset were not kept on the host, so it cannot be compiled again: ask for \
                 `Training::snapshots`, which keeps them, or compile it anew",
            );
        }
        let averaged = state.averaged();
        if self.averaged.iter().zip(&averaged).any(|(wanted, there)| *wanted && !there) {
            return refuse("the step reads running averages that this state does not have: compile it anew");
        }
        Ok(())
    }

    /// Plans, and makes everything ready on the device of a state.
    pub async fn build(&self, state: &State) -> Result<Compiled> {
        let profile = state.device().profile();
        let (draft, planned) =
            self.draft.clone().fitted(&profile, state.arena(), self.updates.as_ref(), &self.averaged)?;
        let Planned { plan, natives, gathers, recording: resolved } = planned;
        let check = |every| Arc::new(NumberCheck::new(every, &plan, &resolved, state.arena()));
        let numbers = draft.check_numbers().map(check);
        if let Some(numbers) = &numbers {
            log::debug!("{numbers}");
        }
        let plan = Arc::new(plan);
        let simplified = draft.simplified().clone();
        let inputs = input_slots(&draft);
        let checks = index_checks(&simplified);
        let datasets = match draft.dataset() {
            Some(dataset) => dataset.checked(draft.graph(), &simplified, &inputs, self.checks_feeds)?,
            None => BTreeMap::new(),
        };
        let resident = draft.resident()?;
        let shuffles = draft.dataset().is_some_and(|dataset| dataset.shuffles);
        let seed = shuffles.then(|| state.seed());
        let program = Program::new(ProgramRequest {
            recording: Arc::new(simplified.recording.clone()),
            plan: Arc::clone(&plan),
            natives,
            state,
            gathers,
            updates: self.updates.clone(),
            datasets: &datasets,
            order: resident.as_ref().map(|(resident, _)| RowOrder::new(resident.rows, seed)),
            numbers: numbers.clone(),
        })
        .await?;
        let passes = resident.map(|(resident, batch)| Passes {
            steps: resident.rows as u32 / batch,
            inputs: resident.inputs,
            batch,
        });
        Ok(Compiled {
            program,
            plan,
            simplified,
            resolved,
            state: state.clone(),
            inputs,
            passes,
            checks,
            numbers: numbers.map(Numbers::new),
        })
    }
}
