use super::waiting::Patience;
use super::{Gpu, InTurn};
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::Failure;
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

/// A copy from the device that is under way.
pub(in crate::dispatch) struct GpuRead {
    gpu: Arc<Gpu>,
    staging: InTurn<wgpu::Buffer>,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    is_ready: Arc<AtomicBool>,
    bytes: u64,
    submission: wgpu::SubmissionIndex,
}

/// A part of a buffer.
#[derive(Clone, Copy)]
pub(in crate::dispatch) struct GpuRange<'b> {
    pub buffer: &'b wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
}

/// Bytes that are copied to the device at a time: what is copied waits in memory of its own until then.
const UPLOAD: usize = 16 << 20;
/// From so many bytes on, it is looked whether there is room for them: before wgpu takes it for a copy, as it loses the device
/// where it finds none, and after it was taken on GL, where nobody else looks.
pub(super) const LARGE: usize = 1 << 20;

impl Gpu {
    /// Copies bytes to a part of a buffer. Errors name `what` it is for.
    pub fn upload_at(&self, what: &dyn Display, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let _turn = self.turn();
        for (number, part) in bytes.chunks(UPLOAD).enumerate() {
            self.write(what, buffer, offset + (number * UPLOAD) as u64, part)?;
            if part.len() == UPLOAD {
                self.queue.submit([]);
            }
        }
        self.check()
    }

    /// Copies bytes to a part of a buffer with the next submission.
    pub fn write(&self, what: &dyn Display, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let _turn = self.turn();
        let copying = || format!("copying {} bytes of {what} to the device", bytes.len());
        if bytes.len() >= LARGE && !cfg!(target_arch = "wasm32") {
            let descriptor = wgpu::BufferDescriptor {
                label: Some("room"),
                size: bytes.len() as u64,
                usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            };
            drop(self.allocate(copying, || self.device.create_buffer(&descriptor))?);
        } else {
            self.strike_unscoped();
        }
        self.queue.write_buffer(buffer, offset, bytes);
        self.check().map_err(|error| error.during(copying()))
    }

    /// Starts to copy a range of a buffer to the host. What was submitted before is seen.
    pub fn begin_read(self: &Arc<Self>, what: &dyn Display, range: GpuRange<'_>) -> Result<GpuRead> {
        let mut reads = self.begin_reads(what, &[range])?;
        reads.pop().ok_or_else(|| Error::new(ErrorKind::Driver, "a read of one range has no result"))
    }

    /// Starts to copy ranges of buffers to the host, all as they are at one moment.
    pub fn begin_reads(self: &Arc<Self>, what: &dyn Display, ranges: &[GpuRange<'_>]) -> Result<Vec<GpuRead>> {
        let turn = self.turn();
        self.check_lost().map_err(|error| error.during(format_args!("reading {what}")))?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read") });
        let mut copies = Vec::new();
        for &GpuRange { buffer, offset, bytes } in ranges {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            let staging = self.buffer(&format!("a copy of {what} for the host"), bytes, usage)?;
            encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
            copies.push((InTurn::new(Arc::clone(self), staging), bytes));
        }
        let reading = |error: Error| error.during(format_args!("reading {what}"));
        let submission = self.submit(encoder).map_err(reading)?;
        drop(turn);
        let read = |(staging, bytes): (InTurn<wgpu::Buffer>, u64)| {
            let mapped = self.map(&staging, bytes).map_err(reading)?;
            let (mapped, is_ready) = mapped;
            Ok(GpuRead { gpu: Arc::clone(self), staging, mapped, is_ready, bytes, submission: submission.clone() })
        };
        copies.into_iter().map(read).collect()
    }

    /// An error where the driver had no memory for a buffer. wgpu's GL backend does not ask, and what is then written there
    /// is nowhere: so write to its end, and read that back. The end is zero afterwards, as before.
    pub fn confirm(&self, label: &str, buffer: &wgpu::Buffer) -> Result<()> {
        const MARK: [u8; 4] = [0x5a, 0xc3, 0x96, 0x0f];
        let turn = self.turn();
        let (end, size) = (buffer.size() - 4, buffer.size());
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.buffer("the end of a buffer", 4, usage)?;
        self.queue.write_buffer(buffer, end, &MARK);
        let mut encoder =
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("confirm") });
        encoder.copy_buffer_to_buffer(buffer, end, &staging, 0, 4);
        encoder.clear_buffer(buffer, end, Some(4));
        let what = format!("allocating {size} bytes for {label}");
        let index = self.submit(encoder).map_err(|error| error.during(&what))?;
        self.attempt(|| what.clone(), || staging.map_async(wgpu::MapMode::Read, .., |_| ()))?;
        drop(turn);
        self.wait_for(&what, Some(index))?;
        let _turn = self.turn();
        // What could not be mapped was not written either.
        let is_there = staging.get_mapped_range(..).is_ok_and(|view| view[..] == MARK);
        drop(staging);
        if is_there && !self.failures.strikes(Failure::OutOfMemory) {
            return Ok(());
        }
        let source = "the driver gave no memory".into();
        Err(self.failed(&what, &wgpu::Error::OutOfMemory { source }))
    }

    /// Asks for a buffer to be mapped. A refusal is the answer that the receiver gets.
    fn map(&self, staging: &wgpu::Buffer, bytes: u64) -> Result<(Answer, Arc<AtomicBool>)> {
        let _turn = self.turn();
        if self.failures.strikes(Failure::Map) {
            staging.destroy();
        }
        let (sender, mapped) = oneshot_channel();
        let is_ready = Arc::new(AtomicBool::new(false));
        let answered = Arc::clone(&is_ready);
        let what = || format!("mapping {bytes} bytes that were read");
        self.attempt(what, || {
            staging.map_async(wgpu::MapMode::Read, .., move |outcome| {
                // The receiver may have been dropped: then nobody waits for the answer.
                let _ = sender.send(outcome);
                answered.store(true, Ordering::Release);
            });
        })?;
        Ok((mapped, is_ready))
    }
}

/// Whether a buffer could be mapped, once that is known.
type Answer = OneshotReceiver<Result<(), wgpu::BufferAsyncError>>;

impl GpuRead {
    /// Whether the bytes are there, as far as was seen when the device was last polled.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// The bytes, once they are there. Polls the device without blocking.
    pub async fn finish(self) -> Result<Vec<u8>> {
        let mut receive = pin!(self.mapped.receive());
        let mut patience = Patience::new();
        let what = format!("reading {} bytes", self.bytes);
        let outcome = std::future::poll_fn(|context| {
            // Native devices only make progress when polled.
            if let Err(error) = self.gpu.poll(wgpu::PollType::Poll) {
                return Poll::Ready(Err(error));
            }
            if let Poll::Ready(outcome) = receive.as_mut().poll(context) {
                return Poll::Ready(Ok(outcome));
            }
            // A lost device may never answer, nor one that hangs.
            if let Err(error) = patience.check(&self.gpu, &what).and_then(|()| self.gpu.check_lost()) {
                return Poll::Ready(Err(error));
            }
            if cfg!(not(target_arch = "wasm32")) {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
        let outcome = outcome.map_err(|error| error.during(&what))?;
        let failed = |reason: String| {
            let message =
                format!("{what} from {} failed: {reason}\n{}", self.gpu.found.describe(), super::troubles::REPORT);
            Error::new(ErrorKind::Driver, message)
        };
        match outcome {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(failed(error.to_string())),
            None => return Err(failed("the driver gave no answer".into())),
        }
        let _turn = self.gpu.turn();
        let view = self.staging.get_mapped_range(..).map_err(|error| failed(error.to_string()))?;
        Ok(view.to_vec())
    }

    /// The bytes; blocks until they are there.
    pub fn wait(self) -> Result<Vec<u8>> {
        self.gpu.wait_for(&format!("reading {} bytes", self.bytes), Some(self.submission.clone()))?;
        pollster::block_on(self.finish())
    }
}
