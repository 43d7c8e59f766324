//! Waiting for a device, and for how long.

use super::Gpu;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::Failure;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
#[cfg(not(target_arch = "wasm32"))]
use std::time::Instant;

/// So long a device may take for what was submitted, unless told otherwise.
const LIMIT: Duration = Duration::from_secs(600);
/// After so long a wait a warning tells of it.
const WARNING: Duration = Duration::from_secs(10);
/// Waits are cut into parts of this length: wgpu's GL backend ends longer ones after two seconds.
const PART: Duration = Duration::from_secs(1);

/// How long a device may take.
#[derive(Debug)]
pub(super) struct Watchdog(AtomicU64);

impl Default for Watchdog {
    fn default() -> Self {
        Self(AtomicU64::new(LIMIT.as_millis() as u64))
    }
}

impl Watchdog {
    pub fn set(&self, limit: Duration) {
        self.0.store(limit.as_millis().min(u128::from(u64::MAX)) as u64, Ordering::Relaxed);
    }

    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A wait that has begun. A browser watches over its device itself, and has no such clock.
pub(super) struct Patience {
    #[cfg(not(target_arch = "wasm32"))]
    since: Instant,
    #[cfg(not(target_arch = "wasm32"))]
    has_warned: bool,
}

impl Patience {
    pub fn new() -> Self {
        #[cfg(target_arch = "wasm32")]
        return Self {};
        #[cfg(not(target_arch = "wasm32"))]
        Self { since: Instant::now(), has_warned: false }
    }

    /// The rest of the wait, at most one part of it; none where it is over.
    #[cfg(not(target_arch = "wasm32"))]
    fn part(&self, gpu: &Gpu) -> Option<Duration> {
        gpu.watchdog.limit().checked_sub(self.since.elapsed()).filter(|rest| !rest.is_zero()).map(|rest| rest.min(PART))
    }

    #[cfg(target_arch = "wasm32")]
    #[allow(clippy::unused_self, reason = "there is no clock to look at")]
    fn part(&self, _gpu: &Gpu) -> Option<Duration> {
        Some(PART)
    }

    /// Gives the device up where it has taken too long; warns where it takes long.
    pub fn check(&mut self, gpu: &Gpu, what: &str) -> Result<()> {
        let limit = gpu.watchdog.limit();
        if self.part(gpu).is_none() {
            gpu.give_up(format!(
                "it has not answered for {} s while {what}, and may take no longer: a driver that hangs, or more work than \
                 `Device::set_watchdog` gives time for",
                limit.as_secs_f64()
            ));
            return gpu.check_lost();
        }
        #[cfg(not(target_arch = "wasm32"))]
        if !self.has_warned && self.since.elapsed() >= WARNING {
            self.has_warned = true;
            log::warn!(
                "{} has not answered for {} s while {what}; it is given up after {} s",
                gpu.found.describe(),
                WARNING.as_secs(),
                limit.as_secs_f64()
            );
        }
        Ok(())
    }
}

impl Gpu {
    /// Blocks until everything submitted is done.
    pub fn wait(&self) -> Result<()> {
        self.wait_for("waiting for what was submitted", None)
    }

    /// Blocks until one submission is done, or all are.
    pub fn wait_for(&self, what: &str, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let mut patience = Patience::new();
        loop {
            let timeout = Some(patience.part(self).unwrap_or_default());
            let wait = wgpu::PollType::Wait { submission_index: submission_index.clone(), timeout };
            if self.poll(wait).map_err(|error| error.during(what))? {
                return Ok(());
            }
            patience.check(self, what)?;
        }
    }

    /// Lets wgpu see what the device has done. Returns whether everything is, that was waited for.
    pub fn poll(&self, poll: wgpu::PollType) -> Result<bool> {
        if self.failures.hangs() {
            self.check_lost()?;
            if !cfg!(target_arch = "wasm32") {
                std::thread::sleep(Duration::from_millis(1));
            }
            return Ok(false);
        }
        let turn = self.turn();
        // Where the driver loses the device in here, wgpu notes it and then panics.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if self.failures.strikes(Failure::Poll) {
                self.device.destroy();
                std::panic::panic_any("a test wanted the device lost in a poll");
            }
            self.device.poll(poll)
        }));
        drop(turn);
        if polled.is_err() {
            self.troubles.note_lost("the driver failed while it was asked what is done".into());
        }
        self.check()?;
        match polled {
            Ok(Ok(status)) => Ok(status.wait_finished()),
            // What panicked is lost, of which the check has told.
            Ok(Err(wgpu::PollError::Timeout)) | Err(_) => Ok(false),
            Ok(Err(error)) => {
                let message = format!("{} could not be waited for: {error}", self.found.describe());
                Err(Error::new(ErrorKind::Driver, message).caused_by(error))
            }
        }
    }
}
