//! Failures that tests ask for.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a device can be told to fail at, so that what a program does then can be tested: see
/// [`Device::fail_at`](super::Device::fail_at).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An allocation finds no memory: of a buffer, an image, or what data wait in until they are copied to the device.
    OutOfMemory,
    /// The driver loses the device when work is submitted.
    Lost,
    /// What was copied for the host cannot be mapped.
    Map,
    /// The driver rejects a kernel.
    Kernel,
    /// The driver loses the device when it is asked what is done, in the midst of a wait.
    Poll,
    /// Submitted work never ends, and the device answers nothing from then on.
    Hang,
}

/// What a device was told to fail at. Where nothing was asked for, a look costs one load of a flag.
#[derive(Debug, Default)]
pub(super) struct Failures {
    is_armed: AtomicBool,
    armed: Mutex<Option<Armed>>,
    hangs: AtomicBool,
    /// Points that were passed since a failure was last asked for.
    passed: AtomicU32,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    failure: Failure,
    number: u32,
}

impl Failures {
    /// Asks for a failure at the point of this number, from 0, among those that it can strike.
    pub fn arm(&self, failure: Failure, number: u32) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Armed { failure, number });
        self.passed.store(0, Ordering::Relaxed);
        self.is_armed.store(true, Ordering::Release);
    }

    /// Takes back what was asked for. Returns whether it had not struck yet, and how many points it passed.
    pub fn disarm(&self) -> (bool, u32) {
        self.is_armed.store(false, Ordering::Release);
        let left = self.armed.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        (left, self.passed.load(Ordering::Relaxed))
    }

    /// Whether this failure strikes here.
    pub fn strikes(&self, failure: Failure) -> bool {
        if !self.is_armed.load(Ordering::Acquire) {
            return false;
        }
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if armed.as_ref().is_none_or(|armed| armed.failure != failure) {
            return false;
        }
        let number = self.passed.fetch_add(1, Ordering::Relaxed);
        let strikes = armed.is_some_and(|armed| armed.number == number);
        if strikes {
            *armed = None;
            self.is_armed.store(false, Ordering::Release);
        }
        strikes
    }

    /// From now on the device answers nothing.
    pub fn hang(&self) {
        self.hangs.store(true, Ordering::Release);
    }

    /// Whether the device answers nothing.
    pub fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_strikes_once_at_its_own_points() {
        let failures = Failures::default();
        assert!(!failures.strikes(Failure::Map));
        failures.arm(Failure::Map, 2);
        let struck: Vec<bool> = (0..5)
            .map(|_| {
                assert!(!failures.strikes(Failure::Lost));
                failures.strikes(Failure::Map)
            })
            .collect();
        assert_eq!(struck, [false, false, true, false, false]);
        assert_eq!(failures.disarm(), (false, 3));
        failures.arm(Failure::Lost, 0);
        assert_eq!(failures.disarm(), (true, 0));
        assert!(!failures.strikes(Failure::Lost));
    }
}
