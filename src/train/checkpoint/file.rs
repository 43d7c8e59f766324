//! Checkpoints as single files.

use super::super::Step;
use super::file_error;
use super::format::Decoded;
use super::head::{Head, is_checkpoint};
use super::mapped::Mapped;
use crate::base::{Error, ErrorKind, Result, write_durably};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A checkpoint that was opened: its file is whole, and mapped into memory rather than read.
///
/// ```
/// # use retrograd::{nn, optim::Adam, train::Checkpoint, Device, Graph, Params};
/// # fn main() -> retrograd::Result<()> {
/// # let (mut params, g) = (Params::seeded(1), Graph::new());
/// # let layer = nn::Linear::new(&mut params, "layer", 3, 2);
/// # let x = g.input("x", [4, 3]);
/// # let mut step = g.train(layer.forward(x).square().mean(..), Adam::new(1e-2)).compile(&Device::cpu(), &params)?;
/// # step.run([x.feed(&[0.5f32; 12])])?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("layer.safetensors");
/// step.save_with(&path, &("fold", 3))?;
/// let checkpoint = Checkpoint::open(&path)?;
/// assert_eq!((checkpoint.steps(), checkpoint.seed()), (1, Some(1)));
/// assert_eq!(checkpoint.position::<(String, u32)>()?, Some(("fold".into(), 3)));
/// checkpoint.load(&mut step)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    bytes: Mapped,
    head: Head,
}

impl Checkpoint {
    /// Opens a file that [`Step::save`] or [`Checkpoints`](super::Checkpoints) wrote, and checks that it is whole. It stays mapped into memory:
    /// until the checkpoint is dropped nothing may write into the file or cut it short. That saving takes its place does no harm.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or is no checkpoint.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::of(path, Mapped::open(path)?).map_err(|error| error.during(path.display()))
    }

    /// What is in a file; the error does not name it.
    pub(super) fn of(path: &Path, bytes: Mapped) -> Result<Self> {
        let metadata = Decoded::new(&bytes)?.metadata;
        if !is_checkpoint(&metadata) {
            return Err(file_error(
                "this safetensors file is no checkpoint, as it says nothing of steps: `Step::load_weights` takes weights from \
                 files of other programs",
            ));
        }
        let mut differences = Vec::new();
        let head = Head::read(&metadata, &mut differences);
        if !differences.is_empty() {
            return Err(file_error(format!("the file cannot be used:\n  {}", differences.join("\n  "))));
        }
        Ok(Self { path: path.to_owned(), bytes, head })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of training steps that had been run.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.head.steps
    }

    /// The seed of the [`Params`](crate::Params) that were trained; files from before it was written down have none.
    #[must_use]
    pub const fn seed(&self) -> Option<u64> {
        self.head.seed
    }

    /// What the checkpoint is compared by, if anything, such as the loss on held-out data.
    #[must_use]
    pub const fn metric(&self) -> Option<f64> {
        self.head.metric
    }

    /// The version of this library that wrote it, if the file says so.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.head.version.as_deref()
    }

    /// What the caller had saved beside the state, such as the place of a data loader.
    ///
    /// # Errors
    /// When it was of another type.
    pub fn position<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        read_position(self.head.position.as_deref(), &self.path)
    }

    /// Lets a step go on from here: as [`Step::load`].
    ///
    /// # Errors
    /// As those of [`Step::load`].
    pub fn load(&self, step: &mut Step) -> Result<()> {
        let decoded = Decoded::trusted(&self.bytes);
        let head = decoded.and_then(|decoded| step.state().load_decoded(&decoded));
        take_rate(step, &head.map_err(|error| error.during(self.path.display()))?)
    }

    pub(super) fn into_head(self) -> Head {
        self.head
    }
}

/// What a caller saved beside the state.
pub(super) fn read_position<T: DeserializeOwned>(text: Option<&str>, path: &Path) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| {
        let wanted = std::any::type_name::<T>();
        let mut shown: String = text.chars().take(80).collect();
        if shown.len() < text.len() {
            shown += "..";
        }
        let message =
            format!("{}: the position that was saved is `{shown}`, which is no {wanted}: {error}", path.display());
        Error::new(ErrorKind::Argument, message).caused_by(error)
    })
}

/// As JSON, what a caller saves beside the state.
pub(super) fn position_text(position: &impl Serialize) -> Result<String> {
    serde_json::to_string(position).map_err(|error| {
        let message = format!("the position cannot be written down as JSON: {error}");
        Error::new(ErrorKind::Argument, message).caused_by(error)
    })
}

/// A rate that was set by hand is gone on with.
fn take_rate(step: &mut Step, head: &Head) -> Result<()> {
    match head.rate {
        Some(rate) if step.trainer.is_some() => step.set_learning_rate(rate),
        _ => Ok(()),
    }
}

impl Step {
    /// Writes everything that training goes on from to a safetensors file: parameters and cells, optimizer states, running
    /// averages, and in the metadata the counts of steps and updates, the seed, and the learning rate where
    /// [`set_learning_rate`](Self::set_learning_rate) has set one.
    ///
    /// It goes to a temporary file beside it first, which is brought to the disk and then takes its place: whatever happens, a
    /// full disk or an end of the process or of the power, a good file is there at every moment, the former or the new one.
    ///
    /// # Errors
    /// When the file cannot be written: the former one is as it was then. When the device fails; where
    /// [`check_numbers`](crate::Training::check_numbers) has found what no error has told yet, so that a good file is not
    /// replaced unseen.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_as(path.as_ref(), Head::default())
    }

    /// As [`save`](Self::save), with what the caller goes on from besides, such as the place of a data loader or the best loss so
    /// far: anything that serde can write as JSON, which [`Checkpoint::position`] gives back.
    ///
    /// # Errors
    /// As those of [`save`](Self::save); when the position cannot be written as JSON.
    pub fn save_with(&self, path: impl AsRef<Path>, position: &impl Serialize) -> Result<()> {
        self.save_as(path.as_ref(), Head { position: Some(position_text(position)?), ..Head::default() })
    }

    pub(super) fn save_as(&self, path: &Path, head: Head) -> Result<()> {
        pollster::block_on(self.tell_non_finite())?;
        let rate = self.trainer.as_ref().filter(|trainer| trainer.rate_is_set).map(|trainer| trainer.rate);
        let encoded = pollster::block_on(self.state().encode(Head { rate, ..head }))?;
        write_file(path, |out| encoded.write(out))
    }

    /// Goes on from a file that [`save`](Self::save) wrote, which is mapped into memory rather than read: the steps that follow
    /// are those that would have followed then, to the bit, where the step and its [`Params`](crate::Params) were made by the
    /// same program with the same seed. With another seed, random streams and the order of rows are those of that seed, which is
    /// a warning in the log. A learning rate that had been [set by hand](Self::set_learning_rate) is set again.
    ///
    /// Weights alone, also under other names, are taken by [`load_weights`](Self::load_weights).
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or does not fit, listing all differences: nothing has changed then.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = Mapped::open(path)?;
        let head = Decoded::new(&bytes).and_then(|decoded| self.state().load_decoded(&decoded));
        let head = head.map_err(|error| error.during(path.display()))?;
        if let Some(seed) = head.seed.filter(|&seed| seed != self.state().seed()) {
            log::warn!(
                "{} is of a training with the seed {seed}, and this one has {}: what is random goes on as with the latter",
                path.display(),
                self.state().seed()
            );
        }
        take_rate(self, &head)
    }
}

/// Writes a file in one piece, or says what is there instead.
pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
) -> Result<()> {
    write_durably(path, write).map_err(|error| {
        let remains = if path.exists() {
            "the file that was there before is as it was"
        } else {
            "there is no file of this name, and nothing is left of the attempt"
        };
        file_error(format!("{} could not be written: {error}; {remains}", path.display())).caused_by(error)
    })
}
