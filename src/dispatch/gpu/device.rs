use super::Found;
use super::kept::KeptPipelines;
use super::turns::{InTurn, Turn, Turns};
use crate::base::{Error, ErrorKind, Result};
use crate::plan::{BufferKind, Image};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Device memory, under a name that the state may use.
pub(in crate::dispatch) type GpuBuffer = wgpu::Buffer;

/// Segments of a state by what they hold, under a name that the state may use.
pub(in crate::dispatch) type GpuSegments = InTurn<BTreeMap<BufferKind, GpuBuffer>>;

/// An open device with its queue, and what has gone wrong on it.
#[derive(Debug)]
pub(in crate::dispatch) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub found: Found,
    troubles: Arc<Troubles>,
    turns: Turns,
    kept: OnceLock<Option<KeptPipelines>>,
}

/// Errors that wgpu reports outside of any call.
#[derive(Debug, Default)]
struct Troubles {
    /// Why the device is gone. It stays so: after a loss every call seems to succeed.
    lost: Mutex<Option<String>>,
    /// Errors that no scope caught, oldest first.
    uncaptured: Mutex<Vec<(ErrorKind, String)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // The data is valid at every moment: a panic while it was held changes nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind(error: &wgpu::Error) -> ErrorKind {
    match error {
        wgpu::Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
        _ => ErrorKind::Driver,
    }
}

impl Gpu {
    /// Opens an adapter with all its limits.
    pub async fn open(found: Found) -> Result<Self> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("retrograd"),
            required_features: found.adapter.features()
                & (wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE),
            required_limits: found.adapter.limits(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = found.adapter.request_device(&descriptor).await.map_err(|error| {
            Error::new(ErrorKind::Device, format!("{} could not be opened: {error}", found.describe())).caused_by(error)
        })?;
        let troubles = Arc::new(Troubles::default());
        let sink = Arc::clone(&troubles);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            locked(&sink.uncaptured).push((kind(&error), error.to_string()));
        }));
        let sink = Arc::clone(&troubles);
        device.set_device_lost_callback(move |reason, message| {
            locked(&sink.lost).get_or_insert(format!("{reason:?}: {message}"));
        });
        log::info!("opened {}", found.describe());
        let turns = Turns::new(found.backend());
        Ok(Self { device, queue, found, troubles, turns, kept: OnceLock::new() })
    }

    /// Waits until this thread may use the device. Take it for as long as work belongs together; a thread that has
    /// it may take it again.
    pub fn turn(&self) -> Turn<'_> {
        self.turns.take()
    }

    /// Keeps compiled kernels in a folder, where the driver lets it, and takes them from there. Returns whether it does.
    pub fn keep_pipelines(&self, folder: &Path) -> Result<bool> {
        if let Some(kept) = self.kept.get() {
            return kept.as_ref().map_or(Ok(false), |kept| kept.is_in(folder).map(|()| true));
        }
        let opened = KeptPipelines::open(self, folder)?;
        Ok(self.kept.get_or_init(|| opened).is_some())
    }

    /// The compiled kernels that are kept, if they are.
    pub(super) fn kept_pipelines(&self) -> Option<&KeptPipelines> {
        self.kept.get()?.as_ref()
    }

    /// Whether the device is gone.
    pub fn check_lost(&self) -> Result<()> {
        if let Some(reason) = locked(&self.troubles.lost).as_ref() {
            let message = format!(
                "{} was lost ({reason}): everything on it is gone. Open the device again and go on from a saved state",
                self.found.describe()
            );
            return Err(Error::new(ErrorKind::DeviceLost, message));
        }
        Ok(())
    }

    /// What has gone wrong since the last call, if anything.
    pub fn check(&self) -> Result<()> {
        self.check_lost()?;
        let mut errors = std::mem::take(&mut *locked(&self.troubles.uncaptured));
        if errors.is_empty() {
            return Ok(());
        }
        let (kind, text) = errors.swap_remove(0);
        Err(Error::new(kind, format!("{} reported: {text}", self.found.describe())))
    }

    /// Blocks until everything submitted is done.
    pub fn wait(&self) -> Result<()> {
        self.wait_for(None)
    }

    /// Blocks until one submission is done, or all are.
    pub fn wait_for(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let _turn = self.turn();
        let wait = wgpu::PollType::Wait { submission_index, timeout: Some(Duration::from_secs(600)) };
        let polled = self.device.poll(wait);
        self.check()?;
        polled.map(|_| ()).map_err(|error| {
            Error::new(ErrorKind::Driver, format!("waiting for {} failed: {error}", self.found.describe()))
                .caused_by(error)
        })
    }

    /// Runs `make` and turns what wgpu reports of it into an error that begins with `what`.
    pub async fn scoped<R>(&self, what: &str, make: impl FnOnce() -> R) -> Result<R> {
        let turn = self.turn();
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let made = make();
        // All three are popped here, in order, before anything can suspend.
        let outcomes = (internal.pop(), validation.pop(), memory.pop());
        drop(turn);
        let outcome = outcomes.0.await.or(outcomes.1.await).or(outcomes.2.await);
        self.check()?;
        match outcome {
            None => Ok(made),
            Some(error) => {
                let turn = self.turn();
                drop(made);
                drop(turn);
                let hint = match kind(&error) {
                    ErrorKind::OutOfMemory => ": use a smaller batch, keep fewer tensors, or another device",
                    _ => "",
                };
                Err(Error::new(kind(&error), format!("{what} failed on {}: {error}{hint}", self.found.describe())))
            }
        }
    }

    /// A storage buffer, zero at first. It ends with a whole texel, should it be copied to an image.
    pub fn storage(&self, label: &str, bytes: u64) -> wgpu::Buffer {
        let _turn = self.turn();
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.next_multiple_of(Image::TEXEL),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }
}
