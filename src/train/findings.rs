//! What checks of computed indices find, run by run, until something is read and it is told.

use crate::base::Result;
use crate::dispatch::{PendingRead, Program};
use crate::record::IndexCheck;
use std::sync::{Mutex, PoisonError};

/// Findings of so many runs are looked at together, where nothing is read for long.
const MOST: usize = 64;

/// The checks of a step.
#[derive(Debug)]
pub(super) struct Findings {
    checks: Vec<IndexCheck>,
    unread: Mutex<Unread>,
}

#[derive(Debug, Default)]
struct Unread {
    /// Findings of runs before the last.
    earlier: Vec<Finding>,
    last: Last,
}

/// Whether an index lies outside, and where, on the way to the host.
#[derive(Debug)]
struct Finding {
    any: PendingRead,
    position: PendingRead,
    check: IndexCheck,
}

/// The last run.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    has_run: bool,
    /// Whether many steps ran together, every one of which left its findings.
    many: bool,
    /// Whether something was read since.
    read: bool,
}

impl Findings {
    pub fn new(checks: Vec<IndexCheck>) -> Self {
        Self { checks, unread: Mutex::default() }
    }

    /// Starts to read what the last run found, before the next takes its place.
    pub fn before_run(&mut self, program: &Program) -> Result<()> {
        if self.checks.is_empty() {
            return Ok(());
        }
        let unread = self.unread.get_mut().unwrap_or_else(PoisonError::into_inner);
        if unread.last.has_run && !unread.last.read {
            for check in &self.checks {
                unread.earlier.push(Finding::begin(program, check, unread.last.many)?);
            }
            // In a browser nothing can wait here: there the list grows until something is read.
            #[cfg(not(target_arch = "wasm32"))]
            if unread.earlier.len() >= MOST * self.checks.len() {
                unread.settle()?;
            }
        }
        Ok(())
    }

    /// Notes that a step has run, or many together.
    pub fn has_run(&mut self, many: bool) {
        self.unread.get_mut().unwrap_or_else(PoisonError::into_inner).last = Last { has_run: true, many, read: false };
    }

    /// What is read, with everything that was found and not told.
    pub fn guard(&self, program: &Program, read: PendingRead) -> Result<PendingRead> {
        if self.checks.is_empty() {
            return Ok(read);
        }
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = std::mem::take(&mut unread.earlier);
        for check in &self.checks {
            all.push(Finding::begin(program, check, unread.last.many)?);
        }
        unread.last.read = true;
        Ok(all.into_iter().fold(read, |read, Finding { any, position, check }| read.guarded(any, position, check)))
    }
}

impl Finding {
    fn begin(program: &Program, check: &IndexCheck, many: bool) -> Result<Self> {
        let begin = |tensor| if many { program.begin_history(tensor) } else { program.begin_read(tensor) };
        Ok(Self { any: begin(check.any)?, position: begin(check.position)?, check: check.clone() })
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Unread {
    /// Keeps the first that found something, if any did.
    fn settle(&mut self) -> Result<()> {
        let mut kept = None;
        for Finding { any, position, check } in self.earlier.drain(..) {
            let (any, position) = (any.wait()?, position.wait()?);
            if kept.is_none() && any.to_vec().iter().any(|&any| any != 0.0) {
                kept = Some(Finding { any: PendingRead::ready(any), position: PendingRead::ready(position), check });
            }
        }
        self.earlier.extend(kept);
        Ok(())
    }
}
