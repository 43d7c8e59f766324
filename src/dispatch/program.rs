use super::cpu::CpuProgram;
use super::device::Inner;
use super::gpu::GpuProgram;
use super::{PendingRead, State, StepTimes};
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result};
use crate::plan::{BufferKind, Native, Plan, StepScalars, Update};
use crate::record::{Leaf, NodeId, NodeKind, Recording, TensorId};
use std::sync::Arc;

/// What a program is made of.
#[derive(Debug)]
pub struct ProgramRequest<'a> {
    /// The simplified recording.
    pub recording: Arc<Recording>,
    /// The plan of it.
    pub plan: Arc<Plan>,
    /// Parameters and optimizer states.
    pub state: &'a State,
    /// For plans of the host: the work of its dispatches.
    pub natives: Vec<Native>,
    /// How parameters change, if they do.
    pub update: Option<Update>,
}

/// A plan made ready on the device of a state.
#[derive(Debug)]
pub struct Program {
    plan: Arc<Plan>,
    state: State,
    executor: Executor,
    has_run: bool,
}

#[derive(Debug)]
enum Executor {
    Cpu(CpuProgram),
    Gpu(GpuProgram),
}

impl Program {
    /// Allocates, uploads and compiles everything that the steps need.
    ///
    /// # Errors
    /// When the device has no room, rejects a kernel, or is lost.
    pub async fn new(request: ProgramRequest<'_>) -> Result<Self> {
        let ProgramRequest { recording, plan, natives, state, update } = request;
        log::debug!(
            "{} dispatches, {} kernels, {} bytes",
            plan.dispatches.len(),
            plan.kernels.len(),
            plan.total_bytes()
        );
        let executor = match &state.device().inner {
            Inner::Cpu => Executor::Cpu(CpuProgram::new(Arc::clone(&plan), natives, &recording, update)),
            Inner::Gpu(gpu) => {
                let constant = |node: NodeId| match &recording.nodes[node.index()].kind {
                    NodeKind::Leaf(Leaf::Constant(tensor)) => Some(tensor.data().clone()),
                    _ => None,
                };
                let shared = |kind: &BufferKind| state.segment(kind);
                Executor::Gpu(GpuProgram::new(Arc::clone(gpu), Arc::clone(&plan), shared, constant).await?)
            }
        };
        Ok(Self { plan, state: state.clone(), executor, has_run: false })
    }

    /// Runs one step. Returns as soon as the work is submitted.
    ///
    /// # Errors
    /// When the device is lost or reports an error.
    pub fn run(&mut self, feeds: &[(NodeId, &HostData)], scalars: &StepScalars) -> Result<()> {
        self.feed(feeds);
        match &mut self.executor {
            Executor::Cpu(program) => program.run(scalars, &self.state)?,
            Executor::Gpu(program) => program.run(scalars)?,
        }
        self.has_run = true;
        Ok(())
    }

    /// Runs one step, and measures every dispatch.
    ///
    /// # Errors
    /// When the device has no timestamps, is lost or reports an error.
    pub async fn time(&mut self, feeds: &[(NodeId, &HostData)], scalars: &StepScalars) -> Result<StepTimes> {
        self.feed(feeds);
        let times = match &mut self.executor {
            Executor::Cpu(program) => program.time(scalars, &self.state)?,
            Executor::Gpu(program) => program.time(scalars).await?,
        };
        self.has_run = true;
        Ok(StepTimes::new(self.state.device().name(), &self.plan, &times))
    }

    /// Runs many steps on the same fed data, and collects what kept tensors of one element are after each.
    ///
    /// # Errors
    /// When the device is lost or reports an error.
    pub fn run_many(&mut self, feeds: &[(NodeId, &HostData)], scalars: &[StepScalars]) -> Result<()> {
        self.feed(feeds);
        match &mut self.executor {
            Executor::Cpu(program) => program.run_many(scalars, &self.state)?,
            Executor::Gpu(program) => program.run_many(scalars)?,
        }
        self.has_run |= !scalars.is_empty();
        Ok(())
    }

    fn feed(&mut self, feeds: &[(NodeId, &HostData)]) {
        let place = |node: NodeId| self.plan.buffers.iter().position(|buffer| buffer.kind == BufferKind::Input(node));
        let feeds: Vec<(usize, &HostData)> =
            feeds.iter().filter_map(|&(node, data)| Some((place(node)?, data))).collect();
        match &mut self.executor {
            Executor::Cpu(program) => program.feed(&feeds),
            Executor::Gpu(program) => program.feed(&feeds),
        }
    }

    /// Starts to read the values that a kept tensor of one element had after every step of the last
    /// [`run_many`](Self::run_many).
    ///
    /// # Errors
    /// When there are none, or the device fails.
    pub fn begin_history(&self, tensor: TensorId) -> Result<PendingRead> {
        let none = || {
            let message =
                "there is no history of the tensor: it must be kept, have one element, and `run_many` must have run";
            Error::new(ErrorKind::NotKept, message)
        };
        let dtype = self.plan.stored(tensor).ok_or_else(none)?.dtype;
        match &self.executor {
            Executor::Cpu(program) => {
                let words = program.history(tensor).ok_or_else(none)?;
                let data = HostData::from_bytes(dtype, bytemuck::cast_slice(words));
                Ok(PendingRead::ready(HostTensor::new([words.len()], data)?))
            }
            Executor::Gpu(program) => {
                let (read, bytes) = program.begin_history(tensor)?.ok_or_else(none)?;
                Ok(PendingRead::from_gpu(read, [bytes as usize / DType::BYTES].into(), dtype))
            }
        }
    }

    /// Starts to read a kept tensor.
    ///
    /// # Errors
    /// When nothing has run yet, the tensor is not kept, or the device fails.
    pub fn begin_read(&self, tensor: TensorId) -> Result<PendingRead> {
        if !self.has_run {
            return Err(Error::new(ErrorKind::NotKept, "nothing has been computed yet: run a step before reading"));
        }
        let not_kept = || Error::new(ErrorKind::NotKept, "the tensor is not kept by this plan");
        match &self.executor {
            Executor::Cpu(program) => Ok(PendingRead::ready(program.read(tensor).ok_or_else(not_kept)?)),
            Executor::Gpu(program) => {
                let stored = self.plan.stored(tensor).ok_or_else(not_kept)?;
                let read = program.begin_read(&stored.binding)?;
                Ok(PendingRead::from_gpu(read, stored.shape.clone(), stored.dtype))
            }
        }
    }

    /// Blocks until everything submitted is done.
    ///
    /// # Errors
    /// When the device is lost or reports an error.
    pub fn wait(&self) -> Result<()> {
        match &self.executor {
            Executor::Cpu(_) => Ok(()),
            Executor::Gpu(program) => program.wait(),
        }
    }
}
