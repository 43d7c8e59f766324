use super::Found;
use super::kept::KeptPipelines;
use super::transfer::LARGE;
use super::troubles::Troubles;
use super::turns::{InTurn, Turn, Turns};
use super::waiting::Watchdog;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::failure::{Failure, Failures};
use crate::plan::{BufferKind, Image};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

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
    pub(super) troubles: Arc<Troubles>,
    pub failures: Failures,
    pub(super) watchdog: Watchdog,
    turns: Turns,
    kept: OnceLock<Option<KeptPipelines>>,
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
            sink.note(&error);
        }));
        let sink = Arc::clone(&troubles);
        device.set_device_lost_callback(move |reason, message| {
            sink.note_lost(format!("{reason:?}: {message}"));
        });
        log::info!("opened {}", found.describe());
        let (turns, failures, watchdog) = (Turns::new(found.backend()), Failures::default(), Watchdog::default());
        Ok(Self { device, queue, found, troubles, failures, watchdog, turns, kept: OnceLock::new() })
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

    /// How long the device may take for what was submitted.
    pub fn set_watchdog(&self, limit: std::time::Duration) {
        self.watchdog.set(limit);
    }

    /// The same adapter, opened again: with the same limit of time, and the same folder of compiled kernels.
    pub async fn reopen(&self) -> Result<Self> {
        let gpu = Self::open(self.found.again().await?).await?;
        gpu.watchdog.set(self.watchdog.limit());
        if let Some(kept) = self.kept_pipelines() {
            gpu.keep_pipelines(kept.folder())?;
        }
        Ok(gpu)
    }

    /// Submits commands, which see everything that was copied to the device before.
    pub fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex> {
        let _turn = self.turn();
        if self.failures.strikes(Failure::Lost) {
            self.lose("a test wanted it");
        }
        let index = self.queue.submit([encoder.finish()]);
        if self.failures.strikes(Failure::Hang) {
            self.failures.hang();
        }
        self.check()?;
        Ok(index)
    }

    /// A buffer. Errors name it, and its bytes.
    pub fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false };
        let what = || format!("allocating {bytes} bytes for {label}");
        self.allocate(what, || self.device.create_buffer(&descriptor))
    }

    /// A storage buffer, zero at first. It ends with a whole texel, should it be copied to an image.
    pub fn storage(&self, label: &str, bytes: u64) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer = self.buffer(label, bytes.next_multiple_of(Image::TEXEL), usage)?;
        if self.found.backend() == "gl" && bytes >= LARGE as u64 {
            self.confirm(label, &buffer)?;
        }
        Ok(buffer)
    }
}
