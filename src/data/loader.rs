//! Going through a dataset in batches.

use super::order::Order;
use super::sample::{Change, Sample, change_all};
use super::workers::{Workers, caught};
use super::{Batch, Column, Dataset, Position};
use crate::base::{DType, Error, ErrorKind, Generator, HostData, HostTensor, Result};
use parking_lot::Mutex;
use std::sync::Arc;

/// The column that [`DataLoader::pad`] adds.
const WEIGHT: &str = "weight";

/// What becomes of the samples that fill no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remainder {
    Keep,
    Drop,
    Pad,
}

/// Goes through a dataset in batches, epoch after epoch.
///
/// The batches of an epoch are a function of the dataset, the settings, the seed and the number of the epoch: threads, prefetching and
/// interruptions change nothing. Clones share the dataset, and each stands at a place of its own.
///
/// ```
/// use retrograd::data::{DataLoader, Tensors};
///
/// let data = Tensors::new().column("x", [5], vec![0.0f32, 1.0, 2.0, 3.0, 4.0])?;
/// let loader = DataLoader::new(data, 2).shuffle(1).pad();
/// assert_eq!(loader.batches(), 3);
/// let mut sum = 0.0;
/// for batch in loader.epoch() {
///     let batch = batch?;
///     let pairs = batch.get("x")?.to_vec().into_iter().zip(batch.get("weight")?.to_vec());
///     sum += pairs.map(|(x, weight)| x * weight).sum::<f32>();
/// }
/// assert_eq!(sum, 10.0);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone)]
pub struct DataLoader {
    settings: Settings,
    threads: usize,
    ahead: usize,
    at: Mark,
}

/// A place that an iterator moves and its loader sees.
struct Mark(Arc<Mutex<Position>>);

impl Clone for Mark {
    fn clone(&self) -> Self {
        Self(Arc::new(Mutex::new(*self.0.lock())))
    }
}

/// What makes batches, shared with threads.
#[derive(Clone)]
struct Settings {
    dataset: Arc<dyn Dataset>,
    size: usize,
    seed: Option<u64>,
    remainder: Remainder,
    changes: Vec<(u64, Arc<Change>)>,
}

impl std::fmt::Debug for DataLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Settings { dataset, size, seed, remainder, changes } = &self.settings;
        f.debug_struct("DataLoader")
            .field("samples", &dataset.len())
            .field("columns", &dataset.columns())
            .field("batch", size)
            .field("shuffle", seed)
            .field("remainder", remainder)
            .field("augmentations", &changes.len())
            .field("threads", &self.threads)
            .field("prefetch", &self.ahead)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl DataLoader {
    /// Batches of so many samples, in the order of the dataset, the last one of an epoch shorter where samples are left over; made on
    /// the thread that takes them.
    #[must_use]
    pub fn new(dataset: impl Dataset + 'static, batch: usize) -> Self {
        Self::shared(Arc::new(dataset), batch)
    }

    /// The same with a dataset that others hold too.
    #[must_use]
    pub fn shared(dataset: Arc<dyn Dataset>, batch: usize) -> Self {
        let settings = Settings { dataset, size: batch, seed: None, remainder: Remainder::Keep, changes: Vec::new() };
        Self { settings, threads: 0, ahead: 2, at: Mark(Arc::default()) }
    }

    /// Takes the samples in another random order every epoch, which follows from the seed and the number of the epoch alone.
    #[must_use]
    pub const fn shuffle(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Leaves out the samples that fill no batch, others every epoch where the order is random.
    #[must_use]
    pub const fn drop_last(mut self) -> Self {
        self.settings.remainder = Remainder::Drop;
        self
    }

    /// Fills up the last batch by repeating its samples from the first on, and gives every batch a column `weight`, `f32[batch]`: 1 for a
    /// sample, 0 for a repetition. [`Tensor::cross_entropy_weighted`](crate::Tensor::cross_entropy_weighted) takes it. In a dataset
    /// that has a column `weight` of one float per sample, those of repetitions become 0 instead.
    #[must_use]
    pub const fn pad(mut self) -> Self {
        self.settings.remainder = Remainder::Pad;
        self
    }

    /// Makes batches on so many threads, while others are used; with 0 on the thread that takes them.
    #[must_use]
    pub const fn threads(mut self, count: usize) -> Self {
        self.threads = count;
        self
    }

    /// With threads: makes at most so many batches ahead of the one that is taken, at least 1. Memory for as many is needed. 2 where it is
    /// not said; more than that helps where batches take unequally long, and less than the number of threads lets some wait.
    #[must_use]
    pub const fn prefetch(mut self, batches: usize) -> Self {
        self.ahead = batches;
        self
    }

    /// Changes every sample in place when it is taken, after what was given by earlier calls. The random numbers are those of the seed, the
    /// epoch and the sample, whatever the batches and threads are. What can be done on the device is faster there: see
    /// [`Tensor::random_flip`](crate::Tensor::random_flip), [`Tensor::random_shift`](crate::Tensor::random_shift) and
    /// [`Tensor::random_rotate`](crate::Tensor::random_rotate).
    ///
    /// ```
    /// use retrograd::data::{DataLoader, Tensors};
    ///
    /// let data = Tensors::new().column("x", [4], vec![0.0f32; 4])?;
    /// let loader = DataLoader::new(data, 4).augment(7, |sample, random| {
    ///     sample.floats("x")?.iter_mut().for_each(|x| *x += random.normal(0.0, 0.1) as f32);
    ///     Ok(())
    /// });
    /// # assert_ne!(loader.epoch().next().unwrap()?.get("x")?.to_vec(), [0.0; 4]);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[must_use]
    pub fn augment(
        mut self,
        seed: u64,
        change: impl Fn(&mut Sample<'_>, &mut Generator) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.settings.changes.push((seed, Arc::new(change)));
        self
    }

    /// The dataset.
    #[must_use]
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.settings.dataset
    }

    /// What batches have: the columns of the dataset, and `weight` with [`pad`](Self::pad).
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        let mut columns = self.settings.dataset.columns().to_vec();
        if self.settings.remainder == Remainder::Pad && !columns.iter().any(|column| column.name == WEIGHT) {
            columns.push(Column::new(WEIGHT, DType::F32, []));
        }
        columns
    }

    /// Samples of a batch.
    #[must_use]
    pub const fn batch_size(&self) -> usize {
        self.settings.size
    }

    /// Batches of an epoch.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.settings.batches()
    }

    /// The seed of the order, if samples are shuffled.
    pub(crate) fn shuffle_seed(&self) -> Option<u64> {
        self.settings.seed
    }

    /// What becomes of samples that fill no batch.
    pub(crate) fn remainder(&self) -> &'static str {
        match self.settings.remainder {
            Remainder::Drop => "dropped",
            Remainder::Pad => "padded",
            Remainder::Keep => "kept",
        }
    }

    /// The batch that comes next. While an epoch is gone through, that is the one after the last that was taken, however many were made
    /// ahead: saved then, it is where [`seek`](Self::seek) goes on.
    #[must_use]
    pub fn position(&self) -> Position {
        *self.at.0.lock()
    }

    /// Goes to a place, so that [`epoch`](Self::epoch) gives the batches from there on.
    ///
    /// # Errors
    /// When an epoch has no such batch: a batch of another size, or another dataset.
    pub fn seek(&self, position: Position) -> Result<()> {
        let batches = self.batches() as u64;
        if position.batch > 0 && position.batch >= batches {
            return Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "batch {} of epoch {} was sought, and an epoch has {batches} batches of {} here, of {} samples: was the \
                     position saved with another dataset or size of batches?",
                    position.batch,
                    position.epoch,
                    self.settings.size,
                    self.settings.dataset.len()
                ),
            ));
        }
        *self.at.0.lock() = position;
        Ok(())
    }

    /// The batches of the epoch that the loader stands in, from where it stands: all of them, unless an earlier iteration was left early or
    /// [`seek`](Self::seek) was called. After the last one the loader stands at the beginning of the next epoch.
    ///
    /// A batch that cannot be made is an `Err` in its place, and ends the iteration, with the loader still before it. Dropping the iterator
    /// ends its threads.
    #[must_use = "an iterator does nothing unless it is used"]
    pub fn epoch(&self) -> Batches {
        let (position, batches) = (self.position(), self.batches());
        let (end, fault) = match self.settings.check(batches) {
            Ok(()) => (batches, None),
            Err(fault) => (position.batch as usize + 1, Some(fault)),
        };
        let mut batches = Batches {
            at: self.at.0.clone(),
            epoch: position.epoch,
            next: position.batch as usize,
            end,
            source: Source::Fault(fault),
        };
        if matches!(batches.source, Source::Fault(Some(_))) {
            return batches;
        }
        let settings = self.settings.clone();
        let order = Order::of_epoch(settings.dataset.len(), settings.seed, position.epoch);
        let make = Box::new(move |number: usize| settings.make(&order, position.epoch, number));
        batches.source = if self.threads == 0 {
            Source::Here(make)
        } else {
            match Workers::start(make, batches.next, end, self.threads, self.ahead) {
                Ok(workers) => Source::Threads(workers),
                Err(fault) => Source::Fault(Some(fault)),
            }
        };
        batches
    }
}

impl Settings {
    fn batches(&self) -> usize {
        let (len, size) = (self.dataset.len(), self.size.max(1));
        if self.remainder == Remainder::Drop { len / size } else { len.div_ceil(size) }
    }

    /// What would make every epoch fail or be empty.
    fn check(&self, batches: usize) -> Result<()> {
        let refuse = |text: String| Err(Error::new(ErrorKind::Argument, text));
        if self.size == 0 {
            return refuse("a batch of 0 samples was asked for: a loader needs at least 1".into());
        }
        if batches == 0 {
            let len = self.dataset.len();
            return refuse(match len {
                0 => "the dataset has no samples: there is nothing to load".into(),
                _ => format!(
                    "the dataset has {len} samples, which fill no batch of {}, and what fills none is dropped: take smaller \
                     batches, or `DataLoader::pad`",
                    self.size
                ),
            });
        }
        let weight = self.dataset.columns().iter().find(|column| column.name == WEIGHT);
        match weight
            .filter(|weight| self.remainder == Remainder::Pad && **weight != Column::new(WEIGHT, DType::F32, []))
        {
            Some(weight) => refuse(format!(
                "padding needs the column `{WEIGHT}` to be one float per sample, and the dataset has {weight}: rename it"
            )),
            None => Ok(()),
        }
    }

    fn make(&self, order: &Order, epoch: u64, number: usize) -> Result<Batch> {
        let during = |error: Error| error.during(format!("batch {number} of epoch {epoch}"));
        caught(|| {
            let mut rows = order.batch(number, self.size);
            let samples = rows.len();
            if self.remainder == Remainder::Pad {
                // Whole batches have nothing to repeat.
                let repeated: Vec<usize> = rows.iter().copied().cycle().take(self.size).skip(samples).collect();
                rows.extend(repeated);
            }
            let mut batch = self.dataset.batch(&rows)?;
            for (seed, change) in &self.changes {
                change_all(&mut batch, &rows, epoch, *seed, change.as_ref())?;
            }
            if self.remainder == Remainder::Pad {
                let mut weight = batch.get(WEIGHT).map_or_else(|_| vec![1.0; rows.len()], HostTensor::to_vec);
                weight[samples..].fill(0.0);
                batch = batch.with(WEIGHT, HostTensor::new([rows.len()], HostData::F32(weight))?)?;
            }
            batch.set_samples(samples);
            Ok(batch)
        })
        .map_err(during)
    }
}

/// Where batches come from.
enum Source {
    /// There is none: why, until it was said.
    Fault(Option<Error>),
    /// Made when they are taken.
    Here(Box<dyn Fn(usize) -> Result<Batch> + Send + Sync>),
    /// Made ahead.
    Threads(Workers<Batch>),
}

/// The batches of an epoch: see [`DataLoader::epoch`].
pub struct Batches {
    at: Arc<Mutex<Position>>,
    epoch: u64,
    next: usize,
    end: usize,
    source: Source,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.next >= self.end {
            return None;
        }
        let made = match &mut self.source {
            Source::Fault(fault) => Err(fault.take()?),
            Source::Here(make) => make(self.next),
            Source::Threads(workers) => workers.take(),
        };
        if made.is_ok() {
            self.next += 1;
            let over = self.next == self.end;
            *self.at.lock() = if over {
                Position::epoch(self.epoch + 1)
            } else {
                Position { epoch: self.epoch, batch: self.next as u64 }
            };
        } else {
            self.end = self.next;
            // Threads are of no use any more.
            self.source = Source::Fault(None);
        }
        Some(made)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error ends it early.
        (usize::from(self.next < self.end), Some(self.end - self.next))
    }
}
