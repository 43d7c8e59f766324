//! Single dispatches, with what they read given and what they write handed back.

use super::Device;
use super::device::Inner;
use super::gpu::{GpuProgram, GpuRead};
use super::program::{Executor, Program};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::plan::{Binding, Buffer, BufferKind, Plan, StepScalars};
use crate::record::KernelClass;
use std::sync::Arc;

/// Memory as 32-bit words, whatever the element type.
type Words = Vec<u32>;

/// A [plan of one dispatch](Plan::alone), and what its buffers hold.
#[derive(Debug)]
pub struct Alone {
    /// The plan.
    pub plan: Plan,
    /// What every buffer holds: before it has run, and then after it.
    pub buffers: Vec<Words>,
}

impl Alone {
    /// Runs it on a device that is not the host, with memory and a pipeline of its own, and takes back what it has written.
    ///
    /// # Errors
    /// When the device has no room, rejects the kernel, or is lost; when it is the host, which has no kernels.
    pub async fn run(&mut self, device: &Device, scalars: &[StepScalars]) -> Result<()> {
        let Inner::Gpu(gpu) = &device.inner else {
            let message =
                "the text of a kernel says nothing to the host: only steps that were compiled for it can run there";
            return Err(Error::new(ErrorKind::Argument, message));
        };
        // Of plans for them, some kernels have none. Those of a user may use subgroups of any size: the device knows of these itself.
        let is_for_eight = self.plan.profile.class == KernelClass::Subgroup
            && self.plan.kernels.iter().any(|kernel| kernel.wgsl.contains("subgroup"));
        if is_for_eight && !device.profile().eight_lanes {
            let message = format!(
                "the kernel was made for subgroups of eight invocations, which {} has not: run it on a device that has them, such \
                 as the one that it was made for",
                device.name()
            );
            return Err(Error::new(ErrorKind::Device, message));
        }
        let contents = |buffer: &Buffer| match buffer.kind {
            BufferKind::Slot(number) => self.buffers.get(number).map(|words| bytemuck::cast_slice(words)),
            _ => None,
        };
        let plan = Arc::new(self.plan.clone());
        let mut program = GpuProgram::new(Arc::clone(gpu), plan, |_| Ok(None), contents, None).await?;
        program.run(scalars)?;
        let mut written = Vec::new();
        for (binding, usage) in self.plan.dispatches[0].bindings.iter().zip(&self.plan.kernels[0].usages) {
            if usage.writes() {
                let bytes = program.begin_read(binding)?.finish().await?;
                written.push((binding.buffer, bytemuck::pod_collect_to_vec(&bytes)));
            }
        }
        for (number, words) in written {
            self.buffers[number] = words;
        }
        Ok(())
    }
}

impl Program {
    /// Runs the dispatch of this number alone: on the host by what it does there, elsewhere by its kernel.
    ///
    /// # Errors
    /// As those of [`Alone::run`].
    pub async fn run_alone(
        &self,
        number: usize,
        alone: &mut Alone,
        device: &Device,
        scalars: &[StepScalars],
    ) -> Result<()> {
        match &self.executor {
            Executor::Cpu(program) if device.is_cpu() => {
                program.run_alone(number, &alone.plan, &mut alone.buffers, scalars)
            }
            Executor::Cpu(_) | Executor::Gpu(_) => alone.run(device, scalars).await,
        }
    }

    /// Starts to read what a buffer of the plan holds now.
    ///
    /// # Errors
    /// When the device is lost, or has no room for a copy.
    pub(crate) fn begin_contents(&self, number: usize) -> Result<PendingWords> {
        let buffer = &self.plan.buffers[number];
        let binding = Binding { buffer: number, offset: 0, bytes: buffer.bytes };
        match &self.executor {
            Executor::Cpu(program) => {
                let words = (buffer.bytes / DType::BYTES as u64) as usize;
                let of_state = self.state.host_words(&buffer.kind, words);
                Ok(PendingWords(Pending::Ready(of_state.unwrap_or_else(|| program.words(&binding).to_vec()))))
            }
            Executor::Gpu(program) => Ok(PendingWords(Pending::Gpu(program.begin_read(&binding)?))),
        }
    }
}

/// What a buffer holds, on its way.
pub(crate) struct PendingWords(Pending);

enum Pending {
    /// It is there.
    Ready(Words),
    /// It is copied.
    Gpu(GpuRead),
}

impl PendingWords {
    /// The words, once they are there.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn finish(self) -> Result<Words> {
        match self.0 {
            Pending::Ready(words) => Ok(words),
            Pending::Gpu(read) => Ok(bytemuck::pod_collect_to_vec(&read.finish().await?)),
        }
    }
}
