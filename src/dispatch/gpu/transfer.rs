use super::{Gpu, InTurn};
use crate::base::{Error, ErrorKind, Result};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// A copy from the device that is under way.
pub(in crate::dispatch) struct GpuRead {
    gpu: Arc<Gpu>,
    staging: InTurn<wgpu::Buffer>,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
}

/// Bytes that are copied to the device at a time: what is copied waits in memory of its own until then.
const UPLOAD: usize = 16 << 20;

impl Gpu {
    /// Copies bytes to a buffer.
    pub fn upload(&self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        self.upload_at(buffer, 0, bytes);
    }

    /// Copies bytes to a part of a buffer.
    pub fn upload_at(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        let _turn = self.turn();
        for (number, part) in bytes.chunks(UPLOAD).enumerate() {
            self.queue.write_buffer(buffer, offset + (number * UPLOAD) as u64, part);
            if part.len() == UPLOAD {
                self.queue.submit([]);
            }
        }
    }

    /// Starts to copy a range of a buffer to the host. What was submitted before is seen.
    pub fn begin_read(self: &Arc<Self>, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<GpuRead> {
        let _turn = self.turn();
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read") });
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        self.queue.submit([encoder.finish()]);
        let (sender, mapped) = oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, .., move |outcome| {
            // The receiver may have been dropped: then nobody waits for the answer.
            let _ = sender.send(outcome);
        });
        self.check()?;
        Ok(GpuRead { gpu: Arc::clone(self), staging: InTurn::new(Arc::clone(self), staging), mapped })
    }
}

impl GpuRead {
    /// The bytes, once they are there. Polls the device without blocking.
    pub async fn finish(self) -> Result<Vec<u8>> {
        let mut receive = pin!(self.mapped.receive());
        let outcome = std::future::poll_fn(|context| {
            // Native devices only make progress when polled; an error shows in `check` below.
            let turn = self.gpu.turn();
            let _ = self.gpu.device.poll(wgpu::PollType::Poll);
            drop(turn);
            match receive.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(outcome),
                // A lost device may never answer.
                Poll::Pending if self.gpu.check_lost().is_err() => Poll::Ready(None),
                Poll::Pending => {
                    if cfg!(not(target_arch = "wasm32")) {
                        context.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        })
        .await;
        self.gpu.check()?;
        let failed = |reason: String| {
            Error::new(ErrorKind::DeviceLost, format!("reading from {} failed: {reason}", self.gpu.found.describe()))
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
        self.gpu.wait()?;
        pollster::block_on(self.finish())
    }
}
