//! Threads that make pieces of work ahead of who takes them, in order.

use crate::base::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What makes piece number so and so.
pub(super) type Make<T> = dyn Fn(usize) -> Result<T> + Send + Sync;

/// Threads at work; dropping it ends them.
pub(super) struct Workers<T> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<T> {
    make: Box<Make<T>>,
    /// How many pieces may be made or under way beyond those that were taken.
    ahead: usize,
    /// The number after the last piece.
    end: usize,
    progress: Mutex<Progress<T>>,
    /// A piece was made.
    made: Condvar,
    /// A piece was taken, or work is to end.
    taken: Condvar,
}

struct Progress<T> {
    /// The next piece that a thread will make.
    next: usize,
    /// The next piece that will be taken.
    wanted: usize,
    ready: BTreeMap<usize, Result<T>>,
    stopped: bool,
}

impl<T: Send + 'static> Workers<T> {
    /// Begins to make the pieces `start..end` on this many threads.
    pub fn start(make: Box<Make<T>>, start: usize, end: usize, threads: usize, ahead: usize) -> Result<Self> {
        let progress = Progress { next: start, wanted: start, ready: BTreeMap::new(), stopped: false };
        let shared = Arc::new(Shared {
            make,
            ahead: ahead.max(1),
            end,
            progress: Mutex::new(progress),
            made: Condvar::new(),
            taken: Condvar::new(),
        });
        // From here on dropping it ends the threads that were started.
        let mut workers = Self { shared, threads: Vec::new() };
        for number in 0..threads.min(end.saturating_sub(start)) {
            let shared = workers.shared.clone();
            let thread = std::thread::Builder::new()
                .name(format!("data {number}"))
                .spawn(move || shared.work())
                .map_err(|error| {
                    let text = format!(
                        "thread {number} of {threads} for loading data could not be started: {error}; use fewer by `DataLoader::threads`"
                    );
                    Error::new(ErrorKind::System, text).caused_by(error)
                })?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// The next piece, waiting for it where it is not ready. Call it no more often than there are pieces.
    pub fn take(&mut self) -> Result<T> {
        let mut progress = self.shared.progress.lock();
        loop {
            let wanted = progress.wanted;
            if let Some(piece) = progress.ready.remove(&wanted) {
                progress.wanted += 1;
                self.shared.taken.notify_all();
                return piece;
            }
            self.shared.made.wait(&mut progress);
        }
    }
}

impl<T> Shared<T> {
    fn work(&self) {
        let mut progress = self.progress.lock();
        loop {
            while !progress.stopped && progress.next < self.end && progress.next >= progress.wanted + self.ahead {
                self.taken.wait(&mut progress);
            }
            if progress.stopped || progress.next >= self.end {
                return;
            }
            let number = progress.next;
            progress.next += 1;
            drop(progress);
            let piece = caught(|| (self.make)(number));
            progress = self.progress.lock();
            progress.ready.insert(number, piece);
            self.made.notify_one();
        }
    }
}

impl<T> Drop for Workers<T> {
    fn drop(&mut self) {
        self.shared.progress.lock().stopped = true;
        self.shared.taken.notify_all();
        for thread in self.threads.drain(..) {
            // Panics of what they make are caught, so that there is nothing to hear of here.
            let _ = thread.join();
        }
    }
}

/// The result of some work, a panic as an error.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        Err(Error::new(ErrorKind::Argument, format!("reading data panicked: {}", text(payload.as_ref()))))
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}
