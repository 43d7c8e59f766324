//! Work on a device that may panic, or lose the device, without ending the program.

use retrograd::{Device, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// Whether panics are caught at the moment, and not to be printed.
static IS_GUARDING: AtomicBool = AtomicBool::new(false);
/// The first panic since the work began. Kernels are compiled on several threads, so it may be that of another one.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs some work. A panic becomes a text that tells where it was.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if IS_GUARDING.load(Ordering::SeqCst) {
                PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| panic.to_string());
            } else {
                usual(panic);
            }
        }));
    });
    IS_GUARDING.store(true, Ordering::SeqCst);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDING.store(false, Ordering::SeqCst);
    let told = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    result.map_err(|_| told.unwrap_or_else(|| "it panicked".into()).replace('\n', " "))
}

/// A device that is opened anew whenever it is lost.
pub struct Guarded {
    device: Option<Device>,
    /// How many times it was opened anew.
    pub reopened: usize,
}

impl Guarded {
    pub const fn new(device: Device) -> Self {
        Self { device: Some(device), reopened: 0 }
    }

    /// Runs some work on the device. Whatever it fails by is a text: an error, a panic, the loss of the device, which then
    /// is opened anew for what comes next.
    pub fn run<R>(&mut self, work: impl FnOnce(&Device) -> Result<R>) -> Result<R, String> {
        let Some(device) = &self.device else {
            return Err("it was not run: the device was lost before, and could not be opened again".into());
        };
        let (failure, is_doubtful) = match guarded(|| work(device)) {
            Ok(Ok(result)) => return Ok(result),
            Ok(Err(error)) => match guarded(|| device.wait()) {
                Ok(Ok(())) => (error.to_string(), matches!(error.kind(), ErrorKind::DeviceLost | ErrorKind::Driver)),
                // The error may only be what a loss looks like from where it was noticed.
                Ok(Err(later)) if later.kind() != error.kind() => (format!("{error}; then: {later}"), true),
                _ => (error.to_string(), true),
            },
            Err(panic) => (format!("panic: {panic}"), true),
        };
        if is_doubtful {
            self.reopen();
        }
        Err(failure)
    }

    fn reopen(&mut self) {
        let Some(old) = self.device.take() else { return };
        self.reopened += 1;
        self.device = guarded(|| old.reopen()).ok().and_then(Result::ok);
        // What is left of a lost device may not even go quietly.
        let _ = guarded(|| drop(old));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use retrograd::record::Case;
    use retrograd::{Generator, ops::OPS};

    fn case() -> Case {
        let add = OPS.iter().find(|op| op.name == "add").expect("it is an op");
        (add.cases)().remove(0)
    }

    /// One test, as panics are told by the whole program.
    #[test]
    fn panics_and_losses_are_told_and_the_rest_goes_on() {
        for name in ["cpu", "vulkan", "gl"] {
            let Ok(device) = Device::named(name) else { continue };
            let mut guarded = Guarded::new(device);
            let panicked = guarded.run(|_| -> Result<()> { panic!("it is {}", "broken") }).unwrap_err();
            assert!(panicked.starts_with("panic: ") && panicked.contains("it is broken"), "{panicked}");
            assert!(panicked.contains("guard.rs"), "{panicked}");
            let measure = |device: &Device| case().measure_on(device, &mut Generator::new(1));
            assert!(guarded.run(measure).unwrap().complaint().is_none(), "{name}");
            assert_eq!(guarded.reopened, 1);
            if name == "cpu" {
                continue;
            }
            let lost = guarded.run(|device| {
                device.destroy();
                measure(device)
            });
            let lost = lost.unwrap_err();
            assert!(lost.contains("lost"), "{lost}");
            assert_eq!(guarded.reopened, 2);
            assert!(guarded.run(measure).unwrap().complaint().is_none(), "{name}");
        }
    }
}
