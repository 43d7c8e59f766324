//! What is found in a folder of checkpoints.

use super::file::{Checkpoint, read_position};
use crate::base::Result;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::PathBuf;

/// A checkpoint that was looked for, and the files that were passed over because they are damaged.
#[derive(Debug)]
pub struct Found {
    /// It, if there is one.
    pub checkpoint: Option<Checkpoint>,
    /// Files that would have come before it.
    pub skipped: Vec<Skipped>,
}

/// A damaged file that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// What a training goes on from.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The file.
    pub path: PathBuf,
    /// The number of steps that had been run.
    pub steps: u32,
    /// What was given with it to compare it by.
    pub metric: Option<f64>,
    /// Later files, which are damaged.
    pub skipped: Vec<Skipped>,
    pub(super) position: Option<String>,
    /// Whether a learning rate that was set by hand stood in it.
    pub(super) had_rate: bool,
}

impl Resumed {
    pub(crate) const fn had_rate(&self) -> bool {
        self.had_rate
    }

    /// What was saved with it by [`Checkpoints::save_with`](super::Checkpoints::save_with).
    ///
    /// # Errors
    /// When it was of another type.
    pub fn position<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        read_position(self.position.as_deref(), &self.path)
    }
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resumed from step {} of {}", self.steps, self.path.display())?;
        self.skipped.iter().try_for_each(|skipped| write!(f, "\n  passed over {skipped}"))
    }
}
