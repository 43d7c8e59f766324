use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// What one submission should take, in nanoseconds: long enough that submitting costs nothing beside it, and far
/// below the seconds after which drivers end it.
const WANTED: u64 = 100_000_000;
/// Most steps of one submission; the ring of scalars holds as many.
const MOST: usize = 64;

/// How long steps take on a device, measured when submissions end.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Measured>);

#[derive(Debug, Default)]
struct Measured {
    /// Nanoseconds of one step; zero while not known.
    step: AtomicU64,
    /// Submissions that have not ended.
    open: AtomicUsize,
}

impl Pace {
    /// How many steps the next submission should have. Before the first has been measured: one.
    pub fn steps(&self) -> usize {
        // A browser has no such clock, and watches over its submissions itself.
        if cfg!(target_arch = "wasm32") {
            return MOST / 8;
        }
        match self.0.step.load(Ordering::Relaxed) {
            0 => 1,
            nanoseconds => ((WANTED / nanoseconds) as usize).clamp(1, MOST),
        }
    }

    /// Notes that steps were submitted, and measures when they end, where nothing was under way before them.
    pub fn submitted(&self, queue: &wgpu::Queue, steps: usize) {
        if cfg!(target_arch = "wasm32") {
            return;
        }
        let (measured, start) = (Arc::clone(&self.0), Instant::now());
        let alone = measured.open.fetch_add(1, Ordering::Relaxed) == 0;
        queue.on_submitted_work_done(move || {
            measured.open.fetch_sub(1, Ordering::Relaxed);
            if alone {
                let nanoseconds = start.elapsed().as_nanos() as u64 / steps as u64;
                measured.step.store(nanoseconds.max(1), Ordering::Relaxed);
            }
        });
    }
}
