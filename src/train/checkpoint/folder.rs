//! Folders of checkpoints: the last ones and the best.

use super::super::Step;
use super::file::{Checkpoint, position_text};
use super::file_error;
use super::format::metadata_of;
use super::found::{Found, Resumed, Skipped};
use super::head::Head;
use super::mapped::Mapped;
use crate::base::{Error, ErrorKind, Result, remove_left_over};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How many checkpoints are kept unless it is said.
const LAST: usize = 3;
const BEGINNING: &str = "step-";
const ENDING: &str = ".safetensors";

/// Which metric is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// The lowest, as for a loss.
    Lowest,
    /// The highest, as for an accuracy.
    Highest,
}

impl Best {
    /// Whether this metric is better than that. NaN never is.
    fn prefers(self, one: f64, other: f64) -> bool {
        match self {
            Self::Lowest => one < other,
            Self::Highest => one > other,
        }
    }
}

/// A folder of checkpoints of one training: the last few, and the best. Whenever the process is killed, or the disk is full, the
/// last good one remains, and [`resume`](Self::resume) goes on from it.
///
/// Files are called by their step, such as `step-0000001200.safetensors`, and each is written as [`Step::save`] writes it, with a
/// checksum. A folder belongs to one training, which one process runs at a time.
///
/// ```
/// use retrograd::{nn, optim::Adam, train::{Best, Checkpoints}, Device, Graph, Params};
///
/// # fn main() -> retrograd::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let (mut params, g) = (Params::seeded(1), Graph::new());
/// let layer = nn::Linear::new(&mut params, "layer", 3, 2);
/// let x = g.input("x", [4, 3]);
/// let loss = layer.forward(x).square().mean(..);
/// let mut step = g.train(loss, Adam::new(1e-2)).compile(&Device::cpu(), &params)?;
///
/// let mut checkpoints = Checkpoints::new(folder)?.keep_last(2).keep_best(Best::Lowest);
/// if let Some(resumed) = checkpoints.resume(&mut step)? {
///     println!("{resumed}");
/// }
/// while step.state().steps() < 300 {
///     step.run_many(100, [x.feed(&[0.5f32; 12])])?;
///     let loss = step.read(loss)?.item();
///     checkpoints.save(&step, f64::from(loss))?;
/// }
/// assert_eq!(checkpoints.latest()?.checkpoint.map(|latest| latest.steps()), Some(300));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    last: usize,
    best: Option<Best>,
    /// The steps of files that this training knows to be its own.
    own: BTreeSet<u32>,
}

impl Checkpoints {
    /// In this folder, which is made if there is none. What a killed process has left half written there is removed. The last
    /// three checkpoints are kept, and no best one, unless it is said.
    ///
    /// # Errors
    /// When the folder can neither be made nor read.
    pub fn new(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        let made = std::fs::create_dir_all(&folder);
        made.and_then(|()| remove_left_over(&folder, |name| step_of(name).is_some())).map_err(|error| {
            file_error(format!("the folder {} for checkpoints cannot be used: {error}", folder.display()))
                .caused_by(error)
        })?;
        Ok(Self { folder, last: LAST, best: None, own: BTreeSet::new() })
    }

    /// Keeps the last so many; at least 1, which [`save`](Self::save) checks.
    #[must_use]
    pub const fn keep_last(mut self, last: usize) -> Self {
        self.last = last;
        self
    }

    /// Keeps the one with the best metric as well: of equal ones the first.
    #[must_use]
    pub const fn keep_best(mut self, best: Best) -> Self {
        self.best = Some(best);
        self
    }

    /// Which metric is the best, where the best is kept.
    pub(crate) const fn kept_best(&self) -> Option<Best> {
        self.best
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Saves a step, with what it is compared by, if anything, such as the loss on held-out data; then removes what is neither
    /// among the last nor the best. Returns the path of the new file.
    ///
    /// # Errors
    /// As those of [`Step::save`]: all files that were there remain then. [`ErrorKind::Argument`] where none of the last shall be
    /// kept, or the folder holds a later checkpoint that this training has not come from.
    pub fn save(&mut self, step: &Step, metric: impl Into<Option<f64>>) -> Result<PathBuf> {
        self.save_as(step, Head { metric: metric.into(), ..Head::default() })
    }

    /// As [`save`](Self::save), with what the caller goes on from besides, such as the place of a data loader: anything that
    /// serde can write as JSON, which [`Resumed::position`] gives back.
    ///
    /// # Errors
    /// As those of [`save`](Self::save); when the position cannot be written as JSON.
    pub fn save_with(
        &mut self,
        step: &Step,
        metric: impl Into<Option<f64>>,
        position: &impl Serialize,
    ) -> Result<PathBuf> {
        let position = Some(position_text(position)?);
        self.save_as(step, Head { metric: metric.into(), position, ..Head::default() })
    }

    fn save_as(&mut self, step: &Step, head: Head) -> Result<PathBuf> {
        if self.last == 0 {
            let message =
                "`Checkpoints::keep_last` is 0 and must be at least 1: the last checkpoint is what is gone on from";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let steps = step.state().steps();
        self.refuse_later(steps)?;
        let path = self.folder.join(name_of(steps));
        step.save_as(&path, head)?;
        self.own.insert(steps);
        self.put_abandoned_aside(steps)?;
        self.remove_old()?;
        Ok(path)
    }

    /// A later file would be taken for the last one: it is of another training, or this one has gone back without
    /// `resume`. Damaged ones are put aside instead.
    fn refuse_later(&self, steps: u32) -> Result<()> {
        for later in self.list()?.into_iter().filter(|later| *later > steps && !self.own.contains(later)) {
            let path = self.folder.join(name_of(later));
            match open(&path)? {
                Ok(_) => {
                    let message = format!(
                        "the folder {} holds a checkpoint of step {later}, and this training has come to step {steps} without \
                         having been there: go on from it with `Checkpoints::resume` or `Trainer::resume`, use another folder, or remove it",
                        self.folder.display()
                    );
                    return Err(Error::new(ErrorKind::Argument, message));
                }
                Err(skipped) => {
                    let mut aside = path.clone().into_os_string();
                    aside.push(".damaged");
                    log::warn!("{skipped}. It is called {} from now on", aside.to_string_lossy());
                    std::fs::rename(&path, &aside).map_err(|error| {
                        let message = format!("{} is damaged, and cannot be put aside: {error}", path.display());
                        file_error(message).caused_by(error)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Checkpoints of later steps are of a way that this training does not go any more, where it went back to an earlier one: they would
    /// be taken for the last.
    fn put_abandoned_aside(&mut self, steps: u32) -> Result<()> {
        for later in self.list()?.into_iter().filter(|later| *later > steps) {
            let path = self.folder.join(name_of(later));
            let mut aside = path.clone().into_os_string();
            aside.push(".abandoned");
            log::warn!(
                "training went back from step {later} to {steps}: {} is called {} from now on",
                path.display(),
                aside.to_string_lossy()
            );
            std::fs::rename(&path, &aside).map_err(|error| {
                let message = format!(
                    "{} is of a step later than {steps}, which training went back to, and cannot be put aside: {error}",
                    path.display()
                );
                file_error(message).caused_by(error)
            })?;
            self.own.remove(&later);
        }
        Ok(())
    }

    /// Removes what is neither among the last nor the best. What cannot be removed takes room and does no harm.
    fn remove_old(&self) -> Result<()> {
        let all = self.list()?;
        let old = &all[..all.len().saturating_sub(self.last)];
        // The best may be one that cannot be read just now.
        if self.best.is_some()
            && let Some(error) = old.iter().find_map(|steps| Mapped::open(&self.folder.join(name_of(*steps))).err())
        {
            log::warn!("no old checkpoint is removed, as which is the best cannot be told: {error}");
            return Ok(());
        }
        let best = if old.is_empty() { None } else { self.ranked(&all).first().copied() };
        for steps in old.iter().filter(|steps| Some(**steps) != best) {
            let path = self.folder.join(name_of(*steps));
            if let Err(error) = std::fs::remove_file(&path) {
                log::warn!("the old checkpoint {} could not be removed: {error}", path.display());
            }
        }
        Ok(())
    }

    /// Those that have a metric, the best first. Without [`keep_best`](Self::keep_best) there is no best.
    fn ranked(&self, all: &[u32]) -> Vec<u32> {
        let Some(best) = self.best else { return Vec::new() };
        let mut ranked: Vec<(u32, f64)> = Vec::new();
        for &steps in all {
            let Some(metric) = self.metric(steps).filter(|metric| !metric.is_nan()) else { continue };
            let place = ranked.iter().position(|(_, other)| best.prefers(metric, *other)).unwrap_or(ranked.len());
            ranked.insert(place, (steps, metric));
        }
        ranked.into_iter().map(|(steps, _)| steps).collect()
    }

    /// The metric of a file, as its header tells.
    fn metric(&self, steps: u32) -> Option<f64> {
        let bytes = Mapped::open(&self.folder.join(name_of(steps))).ok()?;
        Head::read(&metadata_of(&bytes)?, &mut Vec::new()).metric
    }

    /// The steps of the files that are there, in order.
    fn list(&self) -> Result<Vec<u32>> {
        let read = || -> std::io::Result<Vec<u32>> {
            let mut steps = Vec::new();
            for entry in std::fs::read_dir(&self.folder)? {
                steps.extend(entry?.file_name().to_str().and_then(step_of));
            }
            steps.sort_unstable();
            Ok(steps)
        };
        read().map_err(|error| {
            file_error(format!("the folder {} of checkpoints cannot be read: {error}", self.folder.display()))
                .caused_by(error)
        })
    }

    /// The first of these that is whole.
    fn first_whole(&self, candidates: impl IntoIterator<Item = u32>) -> Result<Found> {
        let mut skipped = Vec::new();
        for steps in candidates {
            match open(&self.folder.join(name_of(steps)))? {
                Ok(checkpoint) => return Ok(Found { checkpoint: Some(checkpoint), skipped }),
                Err(damaged) => {
                    log::warn!("passed over {damaged}");
                    skipped.push(damaged);
                }
            }
        }
        Ok(Found { checkpoint: None, skipped })
    }

    /// The last checkpoint that is whole. What was passed over because it is damaged is told, and logged as a warning.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn latest(&self) -> Result<Found> {
        self.first_whole(self.list()?.into_iter().rev())
    }

    /// The checkpoint with the best metric of those that are whole.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read; [`ErrorKind::Argument`] without [`keep_best`](Self::keep_best), which
    /// says what is best.
    pub fn best(&self) -> Result<Found> {
        if self.best.is_none() {
            let message =
                "which checkpoint is the best depends on what its metric is: say so with `Checkpoints::keep_best`";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        self.first_whole(self.ranked(&self.list()?))
    }

    /// Lets a step go on from the last checkpoint that is whole: what follows is what would have followed without an
    /// interruption, to the bit, on the same device. `None` where there is none yet.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read; where there are checkpoints and all are damaged; when the last does not
    /// fit the step, listing all differences, or is of a training with another seed, whose random numbers and order of rows are
    /// others. Nothing has changed then.
    pub fn resume(&mut self, step: &mut Step) -> Result<Option<Resumed>> {
        let Found { checkpoint, skipped } = self.latest()?;
        let Some(checkpoint) = checkpoint else {
            if skipped.is_empty() {
                return Ok(None);
            }
            let list: Vec<String> = skipped.iter().map(ToString::to_string).collect();
            return Err(file_error(format!(
                "no checkpoint in {} is whole; to begin anew, remove them:\n  {}",
                self.folder.display(),
                list.join("\n  ")
            )));
        };
        let own = step.state().seed();
        if let Some(seed) = checkpoint.seed().filter(|&seed| seed != own) {
            return Err(file_error(format!(
                "{} is of a training with the seed {seed}, and the parameters of this one were made with {own}: random numbers \
                 and the order of rows would be others. Make them with `Params::seeded({seed})` to go on to the bit, or take the \
                 state with `Checkpoint::load` to go on with another seed",
                checkpoint.path().display()
            )));
        }
        checkpoint.load(step)?;
        self.own.extend(self.list()?.into_iter().filter(|&steps| steps <= checkpoint.steps()));
        let path = checkpoint.path().to_owned();
        let Head { steps, metric, position, rate, .. } = checkpoint.into_head();
        Ok(Some(Resumed { path, steps, metric, skipped, position, had_rate: rate.is_some() }))
    }
}

/// Opens a file; a damaged one is no error.
fn open(path: &Path) -> Result<Result<Checkpoint, Skipped>> {
    let bytes = Mapped::open(path)?;
    let skip = |error: Error| Skipped { path: path.to_owned(), reason: error.to_string() };
    Ok(Checkpoint::of(path, bytes).map_err(skip))
}

/// Names sort as steps do.
fn name_of(steps: u32) -> String {
    format!("{BEGINNING}{steps:010}{ENDING}")
}

/// The step of a file of this name, if it is one of these.
fn step_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(BEGINNING)?.strip_suffix(ENDING)?;
    (digits.len() == 10 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
}
