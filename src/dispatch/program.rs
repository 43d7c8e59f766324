use super::cpu::CpuProgram;
use super::device::Inner;
use super::gpu::GpuProgram;
use super::{PendingRead, State};
use crate::base::{Error, ErrorKind, HostData, Result};
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
        let executor = match &state.device().0 {
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
        match &mut self.executor {
            Executor::Cpu(program) => {
                let feeds: Vec<(usize, &HostData)> =
                    feeds.iter().filter_map(|&(node, data)| Some((program.input(node)?, data))).collect();
                program.run(&feeds, scalars, &self.state)?;
            }
            Executor::Gpu(program) => {
                let place =
                    |node: NodeId| self.plan.buffers.iter().position(|buffer| buffer.kind == BufferKind::Input(node));
                let feeds: Vec<(usize, &HostData)> =
                    feeds.iter().filter_map(|&(node, data)| Some((place(node)?, data))).collect();
                program.run(&feeds, scalars)?;
            }
        }
        self.has_run = true;
        Ok(())
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
