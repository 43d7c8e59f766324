//! The loop over epochs: what it does.

use super::Trainer;
use super::callback::{Beginning, EpochReport, Flow, StepReport};
use super::history::{Epoch, History};
use super::inputs::{WEIGHT, matched};
use super::metrics::Values;
use super::running::Saved;
use super::trainer::{BestWeights, weights};
use crate::base::{Error, ErrorKind, HostTensor, Result};
use crate::dispatch::PendingRead;
use crate::record::Tensor;
use crate::train::{Best, LayerHealth};
use std::collections::VecDeque;
use std::time::Instant;

/// What [`Trainer::fit`] knows while it goes on.
struct Fit<'g> {
    epochs: u32,
    inputs: Vec<Tensor<'g>>,
    /// Whether the loss is weighted.
    weighted: bool,
    watched: (String, Best),
}

/// A step that runs, or has run, and whose loss is on its way.
struct Begun {
    report: StepReport,
    weight: f64,
    loss: PendingRead,
    metrics: Option<PendingRead>,
}

impl<'g> Trainer<'g> {
    /// Trains until so many epochs are over, those of earlier calls and of before [`resume`](Self::resume) among them, or something ends
    /// it before; returns what has been trained since the first.
    ///
    /// # Errors
    /// Where columns do not fit the inputs, listing both sides; where there is no batch, or one cannot be made; where what is watched is not
    /// measured. [`ErrorKind::NonFinite`] with the step and the epoch where a loss is NaN or infinite. Where the device fails, a file
    /// cannot be written, or a callback fails. After an error within an epoch the trainer goes on only by [`resume`](Self::resume).
    pub fn fit(&mut self, epochs: u32) -> Result<History> {
        if self.failed {
            let message = "an earlier call of `fit` failed within an epoch: go on from a checkpoint with `Trainer::resume`, or make a \
                           new trainer";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        if self.rate.is_none() {
            return Err(Error::new(
                ErrorKind::Argument,
                "the step of a trainer must train: compile it from `Graph::train`",
            ));
        }
        if self.checkpoint_every == Some(0) {
            return Err(Error::new(
                ErrorKind::Argument,
                "`Trainer::checkpoint_every` is 0 steps and must be at least 1",
            ));
        }
        let inputs = matched(self.loss.graph(), &self.loader, "the training step")?;
        if let Some((evaluation, loader)) = &self.validation {
            evaluation.check(loader).map_err(|error| error.during("validation"))?;
        }
        let names = self.names();
        let watched = self.watched(&names)?;
        let higher = watched.1 == Best::Highest;
        if let Some(kept) = self.checkpoints.as_ref().and_then(crate::train::Checkpoints::kept_best)
            && kept != watched.1
        {
            let message = format!(
                "the best of `{}` is the {:?}, and the checkpoints keep the {kept:?}: say the same to `Checkpoints::keep_best` and to \
                 `Trainer::watch`",
                watched.0, watched.1
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        if let Some(stopping) = &mut self.early_stopping {
            stopping.set_direction(higher);
        }
        if let Some(plateau) = &mut self.plateau {
            plateau.set_direction(higher);
        }
        let weighted = inputs.iter().any(|input| input.input_name().as_deref() == Some(WEIGHT));
        let fit = Fit { epochs, inputs, weighted, watched };
        let beginning = Beginning {
            epochs,
            history: &self.running.history,
            batches: self.loader.batches(),
            batches_done: self.loader.position().batch as usize,
            names: &names,
            resumes: !self.running.history.epochs.is_empty() || !self.running.history.losses.is_empty(),
        };
        self.callbacks.iter_mut().try_for_each(|callback| callback.begin(&beginning))?;
        self.running.history.stopped = None;
        self.failed = true;
        while self.running.epochs() < epochs {
            let flow = match self.why_over() {
                Some(why) => Flow::Break(why),
                None => self.epoch(&fit)?,
            };
            if let Flow::Break(why) = flow {
                self.running.history.stopped = Some(why);
                break;
            }
        }
        self.failed = false;
        self.put_back_best()?;
        self.callbacks.iter_mut().try_for_each(|callback| callback.end(&self.running.history))?;
        Ok(self.running.history.clone())
    }

    /// Why no more epochs come, where early stopping has seen enough.
    fn why_over(&self) -> Option<String> {
        let stopping = self.early_stopping.as_ref().filter(|stopping| stopping.has_stopped())?;
        let best = self.running.history.best_epoch.map_or_else(String::new, |epoch| format!(" since epoch {epoch}"));
        Some(format!("early stopping: no better than {:?}{best}", stopping.best().unwrap_or(f64::NAN)))
    }

    /// The rest of an epoch, or all of it.
    fn epoch(&mut self, fit: &Fit<'g>) -> Result<Flow> {
        let began = Instant::now();
        let before = self.running.sums.seconds;
        let number = self.running.epochs() + 1;
        let batches = self.loader.batches();
        let during =
            |batch: usize| move |error: Error| error.during(format!("epoch {number}, batch {batch} of {batches}"));
        let mut begun: VecDeque<Begun> = VecDeque::new();
        let mut flow = Flow::Continue(());
        for batch in self.loader.epoch() {
            let batch = batch?;
            // The loader stands at the next one, which after the last is in the next epoch.
            let place = match self.loader.position().batch as usize {
                0 => batches,
                next => next,
            };
            self.step.run(batch.feeds(&fit.inputs[..])?).map_err(during(place))?;
            let weights = batch.get(WEIGHT).ok().filter(|_| fit.weighted).map(HostTensor::to_vec);
            let weight =
                weights.map_or(batch.samples() as f64, |all| all.iter().map(|&weight| f64::from(weight)).sum());
            let metrics = self.metrics.as_ref().map(|(metrics, _)| self.step.read_async(metrics.sums())).transpose()?;
            let step = self.step.state().steps();
            let report = StepReport { step, epoch: number, batch: place, batches, samples: batch.samples(), loss: 0.0 };
            begun.push_back(Begun { report, weight, loss: self.step.read_async(self.loss)?, metrics });
            let saves = self.checkpoint_every.is_some_and(|every| step.is_multiple_of(every)) && place < batches;
            let waits = if saves { 0 } else { self.ahead };
            while begun.len() > waits && flow.is_continue() {
                flow = self.arrived(begun.pop_front())?;
            }
            if flow.is_break() {
                break;
            }
            if saves {
                self.running.sums.seconds = before + began.elapsed().as_secs_f64();
                self.save(None)?;
            }
        }
        // What has run counts, also where something ends training at an earlier step.
        while let Some(next) = begun.pop_front() {
            let further = self.arrived(Some(next))?;
            flow = if flow.is_break() { flow } else { further };
        }
        self.running.sums.seconds = before + began.elapsed().as_secs_f64();
        if self.loader.position().batch > 0 {
            // Ended within the epoch.
            self.save(None)?;
            return Ok(flow);
        }
        let over = self.finish(fit, number, began, before)?;
        Ok(if flow.is_break() { flow } else { over })
    }

    /// Counts a step whose loss has arrived, and tells it.
    fn arrived(&mut self, begun: Option<Begun>) -> Result<Flow> {
        let Some(Begun { mut report, weight, loss, metrics }) = begun else { return Ok(Flow::Continue(())) };
        let StepReport { step, epoch, batch, batches, .. } = report;
        let during = |error: Error| error.during(format!("epoch {epoch}, step {step}, batch {batch} of {batches}"));
        report.loss = loss.wait().map_err(during)?.item();
        if let (Some(sums), Some((_, meter))) = (metrics, &mut self.metrics) {
            meter.add(&sums.wait().map_err(during)?)?;
        }
        if !report.loss.is_finite() && !self.allows_non_finite {
            let saved = match &self.checkpoints {
                Some(checkpoints) => format!("; checkpoints in {} are from before it", checkpoints.folder().display()),
                None => String::new(),
            };
            let message = format!(
                "the loss is {} in epoch {epoch}, step {step}, batch {batch} of {batches}: lower the learning rate, clip gradients with \
                 `Training::clip_norm`, or let `Training::check_numbers` say where it comes from{saved}",
                report.loss
            );
            return Err(Error::new(ErrorKind::NonFinite, message));
        }
        let sums = &mut self.running.sums;
        sums.samples += report.samples as u64;
        // A batch of no weight has no loss.
        if weight > 0.0 {
            sums.loss += weight * f64::from(report.loss);
            sums.weight += weight;
        }
        self.running.history.losses.push((step, report.loss));
        let mut flow = Flow::Continue(());
        for callback in &mut self.callbacks {
            let next = callback.step(&report)?;
            flow = if flow.is_break() { flow } else { next };
        }
        Ok(flow)
    }

    /// What comes after the last batch of an epoch.
    fn finish(&mut self, fit: &Fit<'g>, number: u32, began: Instant, before: f64) -> Result<Flow> {
        let mut values = Values::default();
        values.set("train/loss", self.running.sums.loss / self.running.sums.weight);
        let mut confusion = None;
        if let Some((_, meter)) = &mut self.metrics {
            let measured = meter.measured();
            measured.values.iter().for_each(|(name, value)| values.set(format!("train/{name}"), value));
            confusion = measured.confusion;
            meter.reset();
        }
        if self.reads_norms {
            values.set("train/gradient_norm", self.gradient_norm(number)?);
        }
        if let Some((evaluation, loader)) = &mut self.validation {
            let measured =
                evaluation.run(loader).map_err(|error| error.during(format!("validation after epoch {number}")))?;
            measured.values.iter().for_each(|(name, value)| values.set(format!("validation/{name}"), value));
            confusion = measured.confusion.or(confusion);
        }
        let sums = std::mem::take(&mut self.running.sums);
        let epoch = Epoch {
            epoch: number,
            steps: self.step.state().steps(),
            samples: sums.samples,
            seconds: before + began.elapsed().as_secs_f64(),
            learning_rate: self.step.learning_rate().unwrap_or(f64::NAN),
            values,
            confusion,
        };
        let value = epoch.values.get(&fit.watched.0).unwrap_or(f64::NAN);
        let is_best = match (self.running.best, fit.watched.1) {
            (None, _) => !value.is_nan(),
            (Some(best), Best::Lowest) => value < best,
            (Some(best), Best::Highest) => value > best,
        };
        if is_best {
            self.running.best = Some(value);
            self.running.history.best_epoch = Some(number);
            if self.best_weights.are_wanted() {
                self.best_weights = BestWeights::Known(weights(&self.step)?);
            }
        }
        if let Some(stopping) = &mut self.early_stopping {
            stopping.observe(value);
        }
        if let (Some(plateau), Some(rate)) = (&mut self.plateau, self.rate) {
            let before = plateau.factor();
            let factor = plateau.observe(value);
            if factor != before {
                log::info!(
                    "epoch {number}: `{}` is {value}, no better for a while: the learning rate becomes {factor} of {rate}",
                    fit.watched.0
                );
                self.step.set_learning_rate(rate * factor)?;
            }
        }
        let report = EpochReport { epoch: &epoch, epochs: fit.epochs, is_best };
        let mut flow = Flow::Continue(());
        for callback in &mut self.callbacks {
            let next = callback.epoch(&report, &mut self.step)?;
            flow = if flow.is_break() { flow } else { next };
        }
        self.running.history.epochs.push(epoch);
        // Last: what a log lacks is trained again, and what it has too much is removed.
        self.save(Some(value).filter(|value| !value.is_nan()))?;
        Ok(flow)
    }

    /// The norm of all gradients of the last step.
    fn gradient_norm(&self, epoch: u32) -> Result<f64> {
        let norms = self.step.read_layer_norms()?;
        if let Some(broken) = norms.iter().find(|norms| norms.health() == LayerHealth::NotFinite) {
            let message = format!(
                "after epoch {epoch} the norm of the gradient of `{}` is {} and that of its weights {}: lower the learning rate, or \
                 let `Training::check_numbers` say where it comes from",
                broken.name, broken.gradient, broken.weight
            );
            return Err(Error::new(ErrorKind::NonFinite, message));
        }
        Ok(norms.iter().map(|norms| f64::from(norms.gradient).powi(2)).sum::<f64>().sqrt())
    }

    /// Saves a checkpoint, if they are asked for.
    fn save(&mut self, metric: Option<f64>) -> Result<()> {
        if self.checkpoints.is_none() {
            return Ok(());
        }
        let setup = self.setup()?;
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
        if let Some((_, meter)) = &self.metrics {
            self.running.sums.metrics = meter.totals();
        }
        let saved = Saved {
            position: self.loader.position(),
            setup,
            running: self.running.for_checkpoint(),
            early_stopping: self.early_stopping.as_ref().map(crate::train::EarlyStopping::seen),
            plateau: self.plateau.as_ref().map(crate::train::ReduceOnPlateau::seen),
        };
        checkpoints.save_with(&self.step, metric, &saved)?;
        Ok(())
    }

    /// Puts back the weights of the best epoch, where that is asked for.
    fn put_back_best(&mut self) -> Result<()> {
        let best = match &self.best_weights {
            BestWeights::Unwanted => return Ok(()),
            BestWeights::Known(best) => best,
            BestWeights::Unknown => {
                if let Some(epoch) = self.running.history.best_epoch {
                    log::warn!(
                        "the weights of epoch {epoch}, the best, are not known any more, as training was resumed since: checkpoints \
                         keep them with `Checkpoints::keep_best`. The weights are those of the last epoch"
                    );
                }
                return Ok(());
            }
        };
        for (name, value) in best {
            self.step.state().set_parameter(name, value.clone())?;
        }
        Ok(())
    }
}
