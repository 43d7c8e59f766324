//! What goes wrong on a device, and how it becomes an error.

use super::Gpu;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::Failure;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// Errors that wgpu reports outside of any call.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Why the device is gone. It stays so: after a loss every call seems to succeed.
    lost: Mutex<Option<String>>,
    /// Errors that no scope caught, oldest first, with the thread whose call they are of.
    uncaptured: Mutex<Vec<(ThreadId, ErrorKind, String)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data is valid at every moment: a panic while it was held changes nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind(error: &wgpu::Error) -> ErrorKind {
    match error {
        wgpu::Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
        _ => ErrorKind::Driver,
    }
}

/// What to do about what a driver rejects.
pub(super) const REPORT: &str = "This is a defect of the library or of the driver: report it with the file that \
                                 `retrograd verify --save FILE` writes, and compute on `Device::cpu()` meanwhile";

/// As wgpu words it.
const NO_MEMORY: &str = "Not enough memory left.";

impl Troubles {
    /// Notes why the device is gone, if that is not known.
    pub fn note_lost(&self, reason: String) {
        locked(&self.lost).get_or_insert(reason);
    }

    /// Notes an error that no scope caught: of a call that this thread makes.
    pub fn note(&self, error: &wgpu::Error) {
        locked(&self.uncaptured).push((std::thread::current().id(), kind(error), error.to_string()));
    }
}

impl Gpu {
    /// Whether the device is gone.
    pub fn check_lost(&self) -> Result<()> {
        if let Some(reason) = locked(&self.troubles.lost).as_ref() {
            let message = format!(
                "{} was lost ({reason}): everything on it is gone. Open it again with `Device::reopen`, or another, and go on \
                 from a snapshot with `Step::recover`, or from a saved state",
                self.found.describe()
            );
            return Err(Error::new(ErrorKind::DeviceLost, message));
        }
        Ok(())
    }

    /// What has gone wrong in calls of this thread since the last look, if anything.
    pub fn check(&self) -> Result<()> {
        let own = std::thread::current().id();
        self.check_errors(|thread| thread == own)
    }

    /// What has gone wrong in calls of any thread.
    pub fn check_all(&self) -> Result<()> {
        self.check_errors(|_| true)
    }

    fn check_errors(&self, wanted: impl Fn(ThreadId) -> bool) -> Result<()> {
        self.check_lost()?;
        let mut first = None;
        locked(&self.troubles.uncaptured).retain(|(thread, kind, text)| {
            if wanted(*thread) && first.is_none() {
                first = Some((*kind, text.clone()));
            }
            !wanted(*thread)
        });
        match first {
            None => Ok(()),
            Some((kind, text)) => Err(Error::new(kind, format!("{} reported: {text}", self.found.describe()))),
        }
    }

    /// Ends the device, and notes why at once: wgpu would tell when it is polled the next time.
    pub fn lose(&self, reason: &str) {
        let _turn = self.turn();
        self.device.destroy();
        self.troubles.note_lost(reason.to_owned());
    }

    /// Gives up on a device that does not answer. Nothing waits for it any more: what is left of it is never freed, as
    /// freeing it would wait as well.
    pub fn give_up(&self, reason: String) {
        self.troubles.note_lost(reason);
        std::mem::forget((self.device.clone(), self.queue.clone()));
    }

    /// Runs `make` and turns what wgpu reports of it into an error that begins with `what`.
    pub async fn scoped<R>(&self, what: impl Fn() -> String, make: impl FnOnce() -> R) -> Result<R> {
        self.scoped_with(what, make, None).await
    }

    /// As [`scoped`](Self::scoped), with an error that counts as reported by wgpu.
    async fn scoped_with<R>(
        &self,
        what: impl Fn() -> String,
        make: impl FnOnce() -> R,
        pretended: Option<wgpu::Error>,
    ) -> Result<R> {
        let turn = self.turn();
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let made = make();
        // All three are popped here, in order, before anything can suspend.
        let outcomes = (internal.pop(), validation.pop(), memory.pop());
        drop(turn);
        // Without memory much else fails: it is the cause.
        let (internal, validation, memory) = (outcomes.0.await, outcomes.1.await, outcomes.2.await);
        let outcome = memory.or(pretended).or(internal).or(validation);
        let failed = match (self.check(), outcome) {
            (Ok(()), None) => return Ok(made),
            (Err(error), _) => error.during(what()),
            (Ok(()), Some(error)) => self.failed(&what(), &error),
        };
        // Freeing what was made is work of the driver, too.
        let turn = self.turn();
        drop(made);
        drop(turn);
        Err(failed)
    }

    /// What wgpu reported of a call.
    pub(super) fn failed(&self, what: &str, error: &wgpu::Error) -> Error {
        let hint = match kind(error) {
            ErrorKind::OutOfMemory => {
                ": use a smaller batch, keep fewer tensors, or another device. This one goes on, and what it held is there"
            }
            _ => &format!("\n{REPORT}"),
        };
        // What wgpu quotes has lines of nothing in it.
        let told = error.to_string();
        let told = told.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        Error::new(kind(error), format!("{what} failed on {}: {told}{hint}", self.found.describe()))
    }

    /// As [`scoped`](Self::scoped), at once. In a browser, which answers later, the error shows in the next check.
    pub fn attempt<R>(&self, what: impl Fn() -> String, make: impl FnOnce() -> R) -> Result<R> {
        self.attempt_with(what, make, None)
    }

    /// As [`attempt`](Self::attempt), for what takes memory.
    pub fn allocate<R>(&self, what: impl Fn() -> String, make: impl FnOnce() -> R) -> Result<R> {
        let strikes = self.failures.strikes(Failure::OutOfMemory);
        self.attempt_with(what, make, strikes.then(|| wgpu::Error::OutOfMemory { source: NO_MEMORY.into() }))
    }

    fn attempt_with<R>(
        &self,
        what: impl Fn() -> String,
        make: impl FnOnce() -> R,
        pretended: Option<wgpu::Error>,
    ) -> Result<R> {
        if cfg!(target_arch = "wasm32") {
            let _turn = self.turn();
            let made = make();
            return self.check().map(|()| made).map_err(|error| error.during(what()));
        }
        // Native scopes answer at once.
        pollster::block_on(self.scoped_with(what, make, pretended))
    }

    /// Tells of memory that wgpu itself takes and does not find: it loses the device then.
    pub fn strike_unscoped(&self) {
        if self.failures.strikes(Failure::OutOfMemory) {
            self.lose(NO_MEMORY);
        }
    }
}
