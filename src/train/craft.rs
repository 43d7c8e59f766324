//! What a training does with its gradients and weights besides the optimizer's rule.

use super::layer_norms::LayerNorms;
use super::optim::Grouped;
use super::schedule::Schedule;
use super::{Step, Training};
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::PendingRead;
use crate::plan::{Arena, Updates};

/// Settings of a training beside the optimizer's.
#[derive(Debug, Default)]
pub(super) struct Craft {
    pub gradient_norm: bool,
    pub layer_norms: bool,
    pub clip_norm: Option<f64>,
    pub clip_value: Option<f64>,
    pub accumulate: Option<u32>,
    pub average: Option<f64>,
    pub schedule: Option<Box<dyn Schedule>>,
}

impl Craft {
    /// Everything that happens to the gradients of the parameters with these numbers.
    pub fn updates(&self, optimizer: &Grouped, arena: &Arena, trained: &[usize]) -> Result<Updates> {
        let refuse = |setting: &str, value: String, allowed: &str| {
            Err(Error::new(ErrorKind::Argument, format!("`Training::{setting}` is {value} and must be {allowed}")))
        };
        if let Some(limit) = self.clip_norm.filter(|&limit| limit.is_nan() || limit as f32 <= 0.0) {
            return refuse("clip_norm", limit.to_string(), "above 0; infinity clips nothing");
        }
        let is_number = |limit: f64| limit as f32 > 0.0 && (limit as f32).is_finite();
        if let Some(limit) = self.clip_value.filter(|&limit| !is_number(limit)) {
            return refuse("clip_value", limit.to_string(), "above 0 and finite");
        }
        if self.accumulate == Some(0) {
            return refuse("accumulate", "0".into(), "at least 1");
        }
        if let Some(decay) = self.average.filter(|decay| !(0.0..1.0).contains(decay)) {
            return refuse("average", decay.to_string(), "at least 0 and below 1");
        }
        if let Some(schedule) = &self.schedule {
            schedule.check()?;
        }
        // What lies beyond single precision is beyond any norm.
        let limit = |limit: f64| if (limit as f32).is_finite() { limit } else { f64::INFINITY };
        Ok(Updates {
            groups: optimizer.updates()?,
            group_of: optimizer.assign(arena, trained)?,
            accumulate: self.accumulate.unwrap_or(1),
            clip_norm: self.clip_norm.map(limit),
            clip_value: self.clip_value,
            averages: self.average.is_some(),
            gradient_norm: self.gradient_norm,
            layer_norms: self.layer_norms,
        })
    }
}

impl Training<'_> {
    /// Computes in every step the global norm of the gradients as well, the square root of the sum of the squares of all
    /// their elements, straight from where they lie one after another: one dispatch, or two where they are many. On
    /// GPUs in single precision, so it is infinite where an element is beyond 1e19.
    /// [`Step::read_gradient_norm`](super::Step::read_gradient_norm) reads it.
    #[must_use]
    pub fn gradient_norm(mut self) -> Self {
        self.craft.gradient_norm = true;
        self
    }

    /// Multiplies all gradients of a step by min(1, limit / (norm + 1e-6)), where norm is their global norm, as it is
    /// before that: [`Step::read_gradient_norm`](super::Step::read_gradient_norm) reads it. The factor is computed and
    /// used on the device; nothing is read back. Source: Pascanu, Mikolov, Bengio 2013, in the form of `PyTorch`.
    ///
    /// Where the norm is NaN or infinite, no factor helps, and the update is left out: parameters, optimizer states,
    /// averages and cells, such as the running statistics of batch normalization, stay as they were, and the step counts as any
    /// other. With [`accumulate`](Self::accumulate), a run that only adds up leaves cells as they are where the mean of
    /// what was added up so far, itself included, has such a norm.
    /// [`Step::read_updates_left_out`](super::Step::read_updates_left_out) tells how often that happened. With a limit of
    /// infinity nothing is clipped, and such updates are left out all the same.
    #[must_use]
    pub fn clip_norm(mut self, limit: f64) -> Self {
        self.craft.clip_norm = Some(limit);
        self
    }

    /// Brings every element of the gradients between -limit and limit; after [`clip_norm`](Self::clip_norm), where both
    /// are asked for. NaN stays NaN, so that it can be seen.
    #[must_use]
    pub fn clip_value(mut self, limit: f64) -> Self {
        self.craft.clip_value = Some(limit);
        self
    }

    /// Lets `runs` runs make one update, by the mean of their gradients: the same as one run on a batch that is as many
    /// times as large, where the loss is a mean over the batch, in memory for a small one and one more arena
    /// of gradients. Each run has random streams of its own; optimizers and schedules count updates.
    ///
    /// Runs before the last only add up: norms, clipping and averages come with the update. Checkpoints hold what was added up.
    /// Another step on the state may finish an update that was begun: its gradients count alike, however many it adds.
    #[must_use]
    pub fn accumulate(mut self, runs: u32) -> Self {
        self.craft.accumulate = Some(runs);
        self
    }

    /// Changes the learning rate from update to update, by the factors of a [schedule](super::schedule). Nothing is compiled anew;
    /// steps that are replayed together have each its own. Updates are counted on the state, for every parameter by itself, and
    /// stand in checkpoints: where one is loaded, the schedule goes on from there. It follows the trained parameter that has had
    /// most updates, by this step or others, so steps that train different parameters in turn have each their schedule. To
    /// begin anew: [`State::restart_schedules`](crate::State::restart_schedules).
    #[must_use]
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.craft.schedule = Some(Box::new(schedule));
        self
    }

    /// Keeps a running average of every trained parameter, on the device and in the same dispatch that changes it: after
    /// t updates, the mean of the weights w(1), .. w(t) with shares in proportion to decay^(t - i). 0.999 is usual.
    /// Before the first update it is the weight itself. A parameter that is averaged later than others of the step counts as
    /// one that has stood still meanwhile; running a step fails where averages of its parameters have gone on apart.
    ///
    /// [`Inference::with_average`](super::Inference::with_average) evaluates with the averages;
    /// [`State::average`](crate::State::average) reads one. Checkpoints hold them. Source: Polyak, Juditsky 1992; corrected for its start as in
    /// Adam.
    #[must_use]
    pub fn average(mut self, decay: f64) -> Self {
        self.craft.average = Some(decay);
        self
    }

    /// Computes in every step the norms of the gradient and of the weights of every trained parameter, as they are before
    /// clipping and before the update. On GPUs that is one dispatch for each segment of memory, of which there usually is one,
    /// and one more. Sums of squares are scaled where they would leave the range of single precision, so norms have all of it.
    /// [`Step::read_layer_norms`](super::Step::read_layer_norms) reads them, and says where gradients vanish or explode.
    #[must_use]
    pub fn layer_norms(mut self) -> Self {
        self.craft.layer_norms = true;
        self
    }
}

impl Step {
    /// Starts to read how many updates were left out because the norm of their gradients was NaN or infinite, for steps with
    /// [`Training::clip_norm`](super::Training::clip_norm). What arrives has one element.
    ///
    /// # Errors
    /// When the step has no such limit, nothing has run, or the device is lost.
    pub fn read_updates_left_out_async(&self) -> Result<PendingRead> {
        self.with_numbers(self.program.begin_left_out()?)
    }

    /// As [`read_updates_left_out_async`](Self::read_updates_left_out_async), blocking; warns (through the `log` crate)
    /// where there are any.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_updates_left_out(&self) -> Result<u32> {
        let count = self.read_updates_left_out_async()?.wait()?.item() as u32;
        if count > 0 {
            log::warn!("{count} updates were left out, as the norm of their gradients was NaN or infinite");
        }
        Ok(count)
    }

    /// The norms of the gradient and the weights of every trained parameter in the last update, for steps with
    /// [`Training::layer_norms`](super::Training::layer_norms), in the order in which the parameters were added. Warns (through
    /// the `log` crate) of gradients that vanish or explode; [`LayerNorms::health`] tells the same.
    ///
    /// # Errors
    /// When the step does not compute them, nothing has run, runs have only added up gradients
    /// ([`Training::accumulate`](super::Training::accumulate)), or the device is lost.
    pub async fn read_layer_norms_async(&self) -> Result<Vec<LayerNorms>> {
        let (read, names) = self.program.begin_layer_norms()?;
        Ok(LayerNorms::all(names, &self.with_numbers(read)?.finish().await?))
    }

    /// As [`read_layer_norms_async`](Self::read_layer_norms_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_layer_norms(&self) -> Result<Vec<LayerNorms>> {
        pollster::block_on(self.read_layer_norms_async())
    }
}
