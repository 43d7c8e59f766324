//! What a step has computed, on its way to the host.

use super::Step;
#[cfg(not(target_arch = "wasm32"))]
use crate::base::HostTensor;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::PendingRead;
use crate::record::{Tensor, TensorId};

impl Step {
    /// Starts to read a kept tensor without waiting. Steps may run meanwhile: what arrives is the
    /// value after the last step before this call.
    ///
    /// # Errors
    /// When the tensor is not kept, nothing has run, or the device is lost.
    ///
    /// Where a [check of numbers](super::Training::check_numbers) found NaN or infinity, what arrives is an error that tells
    /// where. Where the last step, or one since something was read, computed indices that lie outside of what they select from, what
    /// arrives is an error that tells the first of them.
    pub fn read_async(&self, tensor: Tensor<'_>) -> Result<PendingRead> {
        self.guarded(self.program.begin_read(self.place(tensor)?)?)
    }

    /// What stands for a kept tensor in the simplified recording.
    fn place(&self, tensor: Tensor<'_>) -> Result<TensorId> {
        if tensor.graph().id() != self.source.draft.graph() {
            return Err(Error::new(
                ErrorKind::Argument,
                "the tensor belongs to another graph than this step: read one of the graph that it was compiled from",
            ));
        }
        let id = tensor.id();
        if !id.is_valid() {
            return Err(Error::new(ErrorKind::Argument, "the tensor is invalid: recording it failed"));
        }
        let not_kept = || {
            let what = tensor.graph().with_recording(|recording| recording.describe(id));
            Error::new(
                ErrorKind::NotKept,
                format!(
                    "{what} is not kept: its memory is used again within the step. Call `keep()` on it before compiling"
                ),
            )
        };
        self.simplified.get(id).filter(|&place| self.is_kept(place)).ok_or_else(not_kept)
    }

    /// Starts to read the values that a kept tensor of one element had after every step of the last
    /// [`run_many`](Self::run_many) or [`run_epoch`](Self::run_epoch), first to last, without waiting. Any other run
    /// forgets them.
    ///
    /// # Errors
    /// When the tensor is not kept or has several elements, neither has run last, or the device is lost; an index outside of
    /// what it selects from, as in [`read_async`](Self::read_async).
    pub fn read_history_async(&self, tensor: Tensor<'_>) -> Result<PendingRead> {
        self.guarded(self.program.begin_history(self.place(tensor)?)?)
    }

    /// As [`read_history_async`](Self::read_history_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_history(&self, tensor: Tensor<'_>) -> Result<HostTensor> {
        self.read_history_async(tensor)?.wait()
    }

    /// Starts to read the global norm of the gradients of the last update, for steps that compute it: see
    /// [`Training::gradient_norm`](super::Training::gradient_norm). What arrives has one element.
    ///
    /// # Errors
    /// When the step does not compute it, nothing has run, runs have only added up gradients (`Training::accumulate`), or the
    /// device is lost.
    pub fn read_gradient_norm_async(&self) -> Result<PendingRead> {
        self.with_numbers(self.program.begin_gradient_norm()?)
    }

    /// As [`read_gradient_norm_async`](Self::read_gradient_norm_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_gradient_norm(&self) -> Result<f32> {
        Ok(self.read_gradient_norm_async()?.wait()?.item())
    }

    fn is_kept(&self, tensor: TensorId) -> bool {
        self.simplified.recording.kept.contains(&tensor)
    }

    /// Reads a kept tensor after the last step; waits until it is there.
    ///
    /// # Errors
    /// When the tensor is not kept, nothing has run, or the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, tensor: Tensor<'_>) -> Result<HostTensor> {
        self.read_async(tensor)?.wait()
    }

    /// Starts to read what stands for a tensor of the original recording, which is known to be kept.
    pub(super) fn begin_read(&self, tensor: TensorId) -> Result<PendingRead> {
        let place = self.simplified.get(tensor).filter(|&place| self.is_kept(place));
        let not_kept = || Error::new(ErrorKind::NotKept, "a tensor that a step was compiled to keep is missing");
        self.findings.guard(&self.program, self.program.begin_read(place.ok_or_else(not_kept)?)?)
    }
}
