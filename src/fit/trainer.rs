//! The loop over epochs: what it is made of.

use super::callback::{Callback, EpochReport, Flow, OnEpoch, OnStep, StepReport};
use super::evaluation::{AHEAD, Evaluation};
use super::history::History;
use super::log::{CsvLog, JsonLog, TensorBoardLog};
use super::metrics::{KeptMetrics, Meter};
use super::running::Running;
use crate::base::{Error, ErrorKind, HostTensor, Result};
use crate::data::DataLoader;
use crate::record::Tensor;
use crate::train::{Best, Checkpoints, EarlyStopping, ReduceOnPlateau, Step};
use std::fmt;
use std::path::Path;

/// Trains a compiled step with the batches of a loader, epoch after epoch.
///
/// Inputs of the graph are fed from the columns of their names; columns without an input are left out. What it takes away from the
/// caller is the loop alone: [`step`](Self::step) is there between two calls of [`fit`](Self::fit), and after them.
///
/// ```
/// use retrograd::data::{DataLoader, Dataset, Tensors};
/// use retrograd::fit::{Metrics, Trainer};
/// use retrograd::train::EarlyStopping;
/// use retrograd::{Device, Graph, Params, nn, optim::Adam};
///
/// # fn main() -> retrograd::Result<()> {
/// let data = Tensors::new()
///     .column("x", [60, 2], (0..120).map(|i| (i * 37 % 100) as f32 / 100.0).collect::<Vec<_>>())?
///     .column("y", [60], (0..60).map(|i| i32::from(i * 74 % 100 > 50)).collect::<Vec<_>>())?;
/// let [training, validation] = data.split([0.8, 0.2], 1)?;
///
/// let mut params = Params::seeded(1);
/// let layer = nn::Linear::new(&mut params, "layer", 2, 2);
/// let g = Graph::new();
/// let loss = layer.forward(g.input("x", [16, 2])).cross_entropy(g.labels("y", [16]));
/// let step = g.train(loss, Adam::new(0.1)).compile(&Device::cpu(), &params)?;
///
/// let h = Graph::evaluation();
/// let (x, y) = (h.input("x", [12, 2]), h.labels("y", [12]));
/// let scores = layer.forward(x);
/// let evaluation = Metrics::new(&h).loss(scores.cross_entropy(y)).accuracy(scores, y).compile_on(step.state())?;
///
/// let mut trainer = Trainer::new(step, loss, DataLoader::new(training, 16).shuffle(1))
///     .validate(evaluation, DataLoader::new(validation, 12))
///     .early_stopping(EarlyStopping::new(5))
///     .restore_best();
/// let history = trainer.fit(30)?;
/// println!("{}", history.best().map(|epoch| epoch.values.to_string()).unwrap_or_default());
/// # assert!(history.last().unwrap().values.get("validation/accuracy").unwrap() > 0.7);
/// # Ok(())
/// # }
/// ```
#[allow(clippy::struct_excessive_bools)] // settings, each by its own
pub struct Trainer<'g> {
    pub(super) step: Step,
    pub(super) loss: Tensor<'g>,
    pub(super) loader: DataLoader,
    pub(super) metrics: Option<(KeptMetrics<'g>, Meter)>,
    pub(super) validation: Option<(Evaluation<'g>, DataLoader)>,
    watch: Option<(String, Best)>,
    pub(super) early_stopping: Option<EarlyStopping>,
    pub(super) plateau: Option<ReduceOnPlateau>,
    /// The learning rate that the plateau's factor is of.
    pub(super) rate: Option<f64>,
    pub(super) checkpoints: Option<Checkpoints>,
    pub(super) checkpoint_every: Option<u32>,
    pub(super) callbacks: Vec<Box<dyn Callback>>,
    pub(super) best_weights: BestWeights,
    pub(super) ahead: usize,
    pub(super) allows_non_finite: bool,
    pub(super) reads_norms: bool,
    pub(super) running: Running,
    /// Whether something failed in the middle of an epoch.
    pub(super) failed: bool,
}

/// Parameters and cells as they were after the best epoch.
pub(super) enum BestWeights {
    /// Nobody asks for them.
    Unwanted,
    /// There are none yet, or not any more.
    Unknown,
    Known(Vec<(String, HostTensor)>),
}

impl BestWeights {
    pub const fn are_wanted(&self) -> bool {
        !matches!(self, Self::Unwanted)
    }
}

impl fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("loader", &self.loader)
            .field("watch", &self.watch)
            .field("callbacks", &self.callbacks.len())
            .field("epochs", &self.running.epochs())
            .finish_non_exhaustive()
    }
}

impl<'g> Trainer<'g> {
    /// Of a step that was compiled to train against `loss`, with these batches.
    #[must_use]
    pub fn new(step: Step, loss: Tensor<'g>, loader: DataLoader) -> Self {
        let rate = step.rate_without_schedule();
        Self {
            step,
            loss,
            loader,
            metrics: None,
            validation: None,
            watch: None,
            early_stopping: None,
            plateau: None,
            rate,
            checkpoints: None,
            checkpoint_every: None,
            callbacks: Vec::new(),
            best_weights: BestWeights::Unwanted,
            ahead: AHEAD,
            allows_non_finite: false,
            reads_norms: false,
            running: Running::default(),
            failed: false,
        }
    }

    /// Measures this over the batches of training, with the weights as they are at each: metrics that were recorded in the graph of training,
    /// and [kept](super::Metrics::keep) before it was compiled. Their names become `train/<name>`.
    #[must_use]
    pub fn metrics(mut self, metrics: KeptMetrics<'g>) -> Self {
        self.metrics = Some((metrics.clone(), metrics.meter()));
        self
    }

    /// Measures this after every epoch over the batches of a loader. Names become `validation/<name>`.
    #[must_use]
    pub fn validate(mut self, evaluation: Evaluation<'g>, loader: DataLoader) -> Self {
        self.validation = Some((evaluation, loader));
        self
    }

    /// Which value tells how good an epoch was: for [`early_stopping`](Self::early_stopping),
    /// [`reduce_on_plateau`](Self::reduce_on_plateau), [`restore_best`](Self::restore_best) and [`checkpoints`](Self::checkpoints). Unless it
    /// is said, the lowest `validation/loss` where there is one, and else the lowest `train/loss`.
    #[must_use]
    pub fn watch(mut self, name: &str, best: Best) -> Self {
        self.watch = Some((name.to_owned(), best));
        self
    }

    /// Ends training when what is [watched](Self::watch) has not become better for a while. Which way is better is what `watch` says.
    #[must_use]
    pub fn early_stopping(mut self, stopping: EarlyStopping) -> Self {
        self.early_stopping = Some(stopping);
        self
    }

    /// Lowers the learning rate when what is [watched](Self::watch) has not become better for a while. Which way is better is what `watch`
    /// says. The factor multiplies that of a schedule.
    #[must_use]
    pub fn reduce_on_plateau(mut self, plateau: ReduceOnPlateau) -> Self {
        self.plateau = Some(plateau);
        self
    }

    /// Puts back the parameters and cells of the epoch that was best by what is [watched](Self::watch), when training ends. They are kept on
    /// the host. [Running averages](crate::Training::average) stay those of the last epoch: checkpoints that
    /// [keep the best](Checkpoints::keep_best) have both. After [`resume`](Self::resume) those of an epoch before it are known where checkpoints
    /// [keep the best](Checkpoints::keep_best).
    #[must_use]
    pub fn restore_best(mut self) -> Self {
        self.best_weights = BestWeights::Unknown;
        self
    }

    /// Saves the step after every epoch, with what is [watched](Self::watch) to compare it by, and where training stands.
    /// [`resume`](Self::resume) goes on from there.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// Saves [checkpoints](Self::checkpoints) also within epochs, every so many steps.
    #[must_use]
    pub const fn checkpoint_every(mut self, steps: u32) -> Self {
        self.checkpoint_every = Some(steps);
        self
    }

    /// With something that looks on. Callbacks are called in the order in which they were added.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Calls a function after every step, as [`Callback::step`] is.
    #[must_use]
    pub fn on_step(self, call: impl FnMut(&StepReport) -> Result<Flow> + 'static) -> Self {
        self.callback(OnStep(call))
    }

    /// Calls a function after every epoch, as [`Callback::epoch`] is.
    #[must_use]
    pub fn on_epoch(self, call: impl FnMut(&EpochReport<'_>, &mut Step) -> Result<Flow> + 'static) -> Self {
        self.callback(OnEpoch(call))
    }

    /// Shows a progress bar on standard error, with loss, metrics, samples per second and the time left, and a line for every epoch. Where
    /// standard error is no terminal, nothing is shown. Without this call, nothing ever is.
    #[cfg(feature = "progress")]
    #[must_use]
    pub fn progress(self) -> Self {
        self.callback(super::progress::Progress::new(indicatif::ProgressDrawTarget::stderr()))
    }

    /// Writes a line for every epoch to a CSV file: see [`CsvLog`].
    #[must_use]
    pub fn log_csv(self, path: impl AsRef<Path>) -> Self {
        self.callback(CsvLog::new(path))
    }

    /// Writes JSON lines for steps and epochs to a file: see [`JsonLog`].
    #[must_use]
    pub fn log_json(self, path: impl AsRef<Path>) -> Self {
        self.callback(JsonLog::new(path))
    }

    /// Writes event files for `TensorBoard` into a folder: see [`TensorBoardLog`].
    #[must_use]
    pub fn log_tensorboard(self, folder: impl AsRef<Path>) -> Self {
        self.callback(TensorBoardLog::new(folder))
    }

    /// So many steps may be begun before the loss of the first is waited for: 16 unless it is said. With 0 every loss is waited for, and
    /// callbacks of a step come before the next.
    #[must_use]
    pub const fn read_ahead(mut self, steps: usize) -> Self {
        self.ahead = steps;
        self
    }

    /// Goes on where a loss is NaN or infinite, as steps with [`clip_norm`](crate::Training::clip_norm) can, which leave out such an update.
    /// Otherwise it is an error.
    #[must_use]
    pub const fn allow_non_finite(mut self) -> Self {
        self.allows_non_finite = true;
        self
    }

    /// Looks after every epoch at the norms of gradients and weights, of a step with [`layer_norms`](crate::Training::layer_norms): one that
    /// is NaN or infinite is an error, gradients that vanish or explode are warnings (through the `log` crate), and the norm of all
    /// gradients becomes `train/gradient_norm`.
    #[must_use]
    pub const fn gradient_health(mut self) -> Self {
        self.reads_norms = true;
        self
    }

    /// The step: to read, save or run it.
    #[must_use]
    pub const fn step(&self) -> &Step {
        &self.step
    }

    /// As [`step`](Self::step), to run or change it.
    pub const fn step_mut(&mut self) -> &mut Step {
        &mut self.step
    }

    /// The step alone.
    #[must_use]
    pub fn into_step(self) -> Step {
        self.step
    }

    /// What has been trained so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.running.history
    }

    /// The names of what every epoch measures.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = vec!["train/loss".to_owned()];
        if let Some((metrics, _)) = &self.metrics {
            names.extend(metrics.names().map(|name| format!("train/{name}")));
        }
        if self.reads_norms {
            names.push("train/gradient_norm".into());
        }
        if let Some((evaluation, _)) = &self.validation {
            names.extend(evaluation.names().map(|name| format!("validation/{name}")));
        }
        names
    }

    /// What is watched, of these names.
    pub(super) fn watched(&self, names: &[String]) -> Result<(String, Best)> {
        let twice = names.iter().enumerate().find(|(number, name)| names[..*number].contains(name));
        if let Some((_, name)) = twice {
            let message = format!("two values would be called `{name}`: call one otherwise with `Metrics::named`");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let Some((name, best)) = &self.watch else {
            let by_itself = "validation/loss";
            let name = if names.iter().any(|name| name == by_itself) { by_itself } else { "train/loss" };
            return Ok((name.to_owned(), Best::Lowest));
        };
        if !names.contains(name) {
            let message = format!("`{name}` is watched and is not measured. Measured are {}", names.join(", "));
            return Err(Error::new(ErrorKind::Argument, message));
        }
        Ok((name.clone(), *best))
    }
}

/// Parameters and cells by name, copied to the host.
pub(super) fn weights(step: &Step) -> Result<Vec<(String, HostTensor)>> {
    let state = step.state();
    state.parameters().map(|(name, _)| Ok((name.to_owned(), state.parameter(name)?))).collect()
}
