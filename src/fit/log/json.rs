use super::super::callback::{Beginning, Callback, EpochReport, Flow, StepReport};
use super::super::history::Epoch;
use super::lines::Lines;
use crate::base::{Error, ErrorKind, Result};
use crate::train::Step;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Writes JSON lines: `{"kind": "step", "step": 7, "epoch": 1, "loss": 0.3}` for every step, and `{"kind": "epoch", ..}` with what
/// [`Epoch`](super::super::Epoch) has for every epoch. Lines are written at the end of an epoch, all at once.
///
/// A training that [goes on](super::super::Trainer::resume) goes on in the file as well, from which what is trained again is removed; one
/// that begins anew begins the file anew.
#[derive(Debug)]
pub struct JsonLog {
    path: PathBuf,
    lines: Option<Lines>,
    /// Lines of the epoch that is not over.
    waiting: String,
}

/// A line.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Record<'a> {
    Step { step: u32, epoch: u32, loss: Option<f32> },
    Epoch(&'a Epoch),
}

/// What every line has.
#[derive(Deserialize)]
struct Place {
    epoch: u32,
}

impl Record<'_> {
    fn line(&self) -> Result<String> {
        let text = serde_json::to_string(self);
        let refuse = |error| Error::new(ErrorKind::Argument, format!("a log line cannot be made: {error}"));
        Ok(text.map_err(refuse)? + "\n")
    }
}

impl JsonLog {
    /// To this file; folders that are missing are made.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), lines: None, waiting: String::new() }
    }

    fn wait(&mut self, step: u32, epoch: u32, loss: f32) -> Result<()> {
        let record = Record::Step { step, epoch, loss: Some(loss).filter(|loss| loss.is_finite()) };
        self.waiting += &record.line()?;
        Ok(())
    }
}

impl Callback for JsonLog {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<()> {
        self.waiting.clear();
        if !beginning.resumes {
            self.lines = Some(Lines::new(&self.path)?);
            return Ok(());
        }
        let done = beginning.epochs_done();
        let keep =
            |_: usize, line: &str| Ok(serde_json::from_str::<Place>(line).is_ok_and(|place| place.epoch <= done));
        self.lines = Some(Lines::keeping(&self.path, keep)?);
        beginning.losses_since().try_for_each(|(step, loss)| self.wait(step, done + 1, loss))
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.wait(report.step, report.epoch, report.loss)?;
        Ok(Flow::Continue(()))
    }

    fn epoch(&mut self, report: &EpochReport<'_>, _step: &mut Step) -> Result<Flow> {
        let mut text = std::mem::take(&mut self.waiting);
        text += &Record::Epoch(report.epoch).line()?;
        if let Some(lines) = &mut self.lines {
            lines.add(&text)?;
        }
        Ok(Flow::Continue(()))
    }
}
