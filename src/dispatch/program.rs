use super::cpu::CpuProgram;
use super::device::Inner;
use super::gpu::{GpuProgram, GpuTimes};
use super::numbers::{Asked, NumbersRead, Words};
use super::{PendingRead, RowOrder, State, StepTimes};
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result, Shape};
use crate::fuse::Gather;
use crate::plan::{Binding, Buffer, BufferKind, Native, NumberCheck, Plan, StepScalars, Updates};
use crate::record::{Leaf, NodeId, NodeKind, Recording, TensorId};
use std::collections::BTreeMap;
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
    /// For plans of the host: what the dispatches that gather a batch copy.
    pub gathers: Vec<Gather>,
    /// How parameters change, if they do.
    pub updates: Option<Updates>,
    /// The data of inputs that are gathered on the device.
    pub datasets: &'a BTreeMap<NodeId, &'a HostData>,
    /// In which order they are taken.
    pub order: Option<RowOrder>,
    /// Which numbers are looked at, if any are.
    pub numbers: Option<Arc<NumberCheck>>,
}

/// A plan made ready on the device of a state.
#[derive(Debug)]
pub struct Program {
    pub(super) plan: Arc<Plan>,
    pub(super) state: State,
    pub(super) executor: Executor,
    order: Option<RowOrder>,
    numbers: Option<Arc<NumberCheck>>,
    has_run: bool,
    /// Whether a run has done more than add up gradients.
    has_updated: bool,
}

#[derive(Debug)]
pub(super) enum Executor {
    Cpu(CpuProgram),
    Gpu(GpuProgram),
}

impl Program {
    /// Allocates, uploads and compiles everything that the steps need.
    ///
    /// # Errors
    /// When the device has no room, rejects a kernel, or is lost.
    pub async fn new(request: ProgramRequest<'_>) -> Result<Self> {
        let ProgramRequest { recording, plan, natives, state, gathers, updates, datasets, order, numbers } = request;
        log::debug!(
            "{} dispatches, {} kernels, {} bytes",
            plan.dispatches.len(),
            plan.kernels.len(),
            plan.total_bytes()
        );
        let contents = |buffer: &Buffer| match &buffer.kind {
            BufferKind::Constant(node) => match &recording.nodes[node.index()].kind {
                NodeKind::Leaf(Leaf::Constant(tensor)) => Some(tensor.data().bytes()),
                _ => None,
            },
            BufferKind::Dataset { input, part } => {
                // All parts but the last are of the same size, which is that of the first.
                let of_first = |other: &&Buffer| other.kind == BufferKind::Dataset { input: *input, part: 0 };
                let first = plan.buffers.iter().find(of_first)?.bytes as usize;
                let bytes = datasets.get(input)?.bytes();
                bytes.get(part * first..(part * first + buffer.bytes as usize))
            }
            BufferKind::Table(number) => plan.tables.get(*number).map(|table| bytemuck::cast_slice(table)),
            _ => None,
        };
        let executor = match &state.device().inner {
            Inner::Cpu => {
                let plan = Arc::clone(&plan);
                Executor::Cpu(CpuProgram::new(plan, natives, gathers, updates, contents, numbers.clone())?)
            }
            Inner::Gpu(gpu) => {
                let shared = |kind: &BufferKind| state.segment(kind);
                Executor::Gpu(
                    GpuProgram::new(Arc::clone(gpu), Arc::clone(&plan), shared, contents, numbers.clone()).await?,
                )
            }
        };
        Ok(Self { plan, state: state.clone(), executor, order, numbers, has_run: false, has_updated: false })
    }

    /// Runs one step, given by the numbers of every group. Returns as soon as the work is submitted.
    ///
    /// # Errors
    /// When the device is lost or reports an error.
    pub fn run(&mut self, feeds: &[(NodeId, &HostData)], scalars: &[StepScalars]) -> Result<()> {
        self.put(feeds, scalars)?;
        match &mut self.executor {
            Executor::Cpu(program) => program.run(scalars, &self.state)?,
            Executor::Gpu(program) => program.run(scalars)?,
        }
        self.has_run(scalars);
        Ok(())
    }

    /// Puts in place what a step reads, without running it.
    ///
    /// # Errors
    /// When the device is lost, or has no room.
    pub fn prepare(&mut self, feeds: &[(NodeId, &HostData)], scalars: &[StepScalars]) -> Result<()> {
        self.feed(feeds)?;
        self.take_order(scalars[0].epoch)
    }

    /// The same for a step that runs then.
    fn put(&mut self, feeds: &[(NodeId, &HostData)], scalars: &[StepScalars]) -> Result<()> {
        self.prepare(feeds, scalars).map_err(|error| error.during(running(scalars)))
    }

    /// Runs one step, and begins to read how long every dispatch took.
    ///
    /// # Errors
    /// When the device has no timestamps, is lost or reports an error.
    pub fn begin_time(&mut self, feeds: &[(NodeId, &HostData)], scalars: &[StepScalars]) -> Result<PendingTimes> {
        self.put(feeds, scalars)?;
        let times = match &mut self.executor {
            Executor::Cpu(program) => Times::Cpu(program.time(scalars, &self.state)?),
            Executor::Gpu(program) => Times::Gpu(program.begin_time(scalars)?),
        };
        self.has_run(scalars);
        Ok(PendingTimes { device: self.state.device().name(), plan: Arc::clone(&self.plan), times })
    }

    /// Runs many steps, each given by the numbers of every group, on the same fed data, and collects what kept tensors of one element are after each.
    ///
    /// # Errors
    /// When the device is lost or reports an error, with how many steps were run all the same.
    pub fn run_many(
        &mut self,
        feeds: &[(NodeId, &HostData)],
        scalars: &[StepScalars],
    ) -> Result<(), (u32, crate::base::Error)> {
        let begun = self.feed(feeds).and_then(|()| match &mut self.executor {
            Executor::Cpu(program) => {
                program.begin_many();
                Ok(())
            }
            Executor::Gpu(program) => program.begin_many(scalars.len() / self.plan.groups),
        });
        begun.map_err(|error| (0, error.during(running(scalars))))?;
        let ran = self.run_parts(scalars);
        let done = match &self.executor {
            Executor::Gpu(program) => program.recorded(),
            Executor::Cpu(program) => program.recorded(),
        };
        self.has_run(&scalars[..done * self.plan.groups]);
        ran.map_err(|error| (done as u32, error))
    }

    /// Runs steps, pass by pass over a dataset.
    fn run_parts(&mut self, scalars: &[StepScalars]) -> Result<()> {
        for part in scalars.chunk_by(|one, next| one.epoch == next.epoch) {
            self.take_order(part[0].epoch).map_err(|error| error.during(running(part)))?;
            match &mut self.executor {
                Executor::Cpu(program) => program.run_many(part, &self.state)?,
                Executor::Gpu(program) => program.run_many(part)?,
            }
        }
        Ok(())
    }

    /// Notes what there is to read now.
    fn has_run(&mut self, scalars: &[StepScalars]) {
        self.has_run |= !scalars.is_empty();
        self.has_updated |= scalars.iter().any(|scalars| !scalars.gathers_only);
    }

    /// An error where runs have only added up gradients, so that there are no norms.
    fn updated(&self) -> Result<()> {
        if self.has_run && !self.has_updated {
            let message = "there are no norms yet: so far the runs of this step have only added up gradients, and norms come \
                           with the update, in the last of the runs that `Training::accumulate` asks for";
            return Err(Error::new(ErrorKind::NotKept, message));
        }
        Ok(())
    }

    /// Sees to it that the rows of the dataset are taken in the order of this pass.
    fn take_order(&mut self, epoch: u32) -> Result<()> {
        let Some(order) = self.order.as_mut().and_then(|order| order.change(epoch)) else { return Ok(()) };
        let Some(buffer) = self.plan.buffers.iter().position(|buffer| buffer.kind == BufferKind::Order) else {
            return Ok(());
        };
        let data = HostData::I32(order);
        let fed = self.feed_buffers(&[(buffer, &data)]);
        if let (Err(_), Some(order)) = (&fed, &mut self.order) {
            order.forget();
        }
        fed
    }

    fn feed(&mut self, feeds: &[(NodeId, &HostData)]) -> Result<()> {
        let place = |node: NodeId| self.plan.buffers.iter().position(|buffer| buffer.kind == BufferKind::Input(node));
        let feeds: Vec<(usize, &HostData)> =
            feeds.iter().filter_map(|&(node, data)| Some((place(node)?, data))).collect();
        self.feed_buffers(&feeds)
    }

    fn feed_buffers(&mut self, feeds: &[(usize, &HostData)]) -> Result<()> {
        match &mut self.executor {
            Executor::Cpu(program) => {
                program.feed(feeds);
                Ok(())
            }
            Executor::Gpu(program) => program.feed(feeds),
        }
    }

    /// Starts to read the values that a kept tensor of one element had after every step of the last
    /// [`run_many`](Self::run_many).
    ///
    /// # Errors
    /// When there are none, or the device fails.
    pub fn begin_history(&self, tensor: TensorId) -> Result<PendingRead> {
        let none = || {
            let message = "there is no history of the tensor: it must be kept and have one element, and the last call must have been \
                 `run_many` or `run_epoch`, as `run` forgets it";
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

    /// Starts to read the global norm of the gradients of the last update.
    ///
    /// # Errors
    /// When no update has run yet, the norm is not computed, or the device fails.
    pub fn begin_gradient_norm(&self) -> Result<PendingRead> {
        let missing = |message: &str| Error::new(ErrorKind::NotKept, message);
        let binding = self.plan.gradient_norm.as_ref().ok_or_else(|| {
            missing("this step does not compute the norm of its gradients: ask for it with `Training::gradient_norm`")
        })?;
        self.updated()?;
        self.begin_binding(binding, [1].into())
    }

    /// Starts to read how many updates were left out.
    ///
    /// # Errors
    /// When nothing has run yet, none can be left out, or the device fails.
    pub fn begin_left_out(&self) -> Result<PendingRead> {
        let binding = self.plan.left_out.as_ref().ok_or_else(|| {
            let message = "this step leaves out no updates: only those of `Training::clip_norm` may be";
            Error::new(ErrorKind::NotKept, message)
        })?;
        self.begin_binding(binding, [1].into())
    }

    /// Starts to read the norms of every gradient and parameter, and says whose they are.
    ///
    /// # Errors
    /// When no update has run yet, they are not computed, or the device fails.
    pub fn begin_layer_norms(&self) -> Result<(PendingRead, &[String])> {
        let (binding, names) = self.plan.layer_norms.as_ref().ok_or_else(|| {
            let message = "this step does not compute norms of layers: ask for them with `Training::layer_norms`";
            Error::new(ErrorKind::NotKept, message)
        })?;
        self.updated()?;
        if names.is_empty() {
            let none = HostTensor::new([0, 2], HostData::F32(Vec::new()))?;
            return Ok((PendingRead::ready(none), names));
        }
        Ok((self.begin_binding(binding, [names.len(), 2].into())?, names))
    }

    /// Starts to read floats that lie in a range.
    fn begin_binding(&self, binding: &Binding, shape: Shape) -> Result<PendingRead> {
        if !self.has_run {
            return Err(Error::new(ErrorKind::NotKept, "nothing has been computed yet: run a step before reading"));
        }
        match &self.executor {
            Executor::Cpu(program) => {
                let data = HostData::from_bytes(DType::F32, bytemuck::cast_slice(program.words(binding)));
                Ok(PendingRead::ready(HostTensor::new(shape, data)?))
            }
            Executor::Gpu(program) => Ok(PendingRead::from_gpu(program.begin_read(binding)?, shape, DType::F32)),
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

    /// Starts to read what the checks of numbers have found, if there are any.
    ///
    /// # Errors
    /// When the device fails.
    pub fn begin_numbers(&self, asked: Asked) -> Result<Option<NumbersRead>> {
        let Some(check) = self.numbers.clone() else { return Ok(None) };
        let words = match &self.executor {
            Executor::Cpu(program) => program.numbers().map(|words| Words::Ready(words.to_vec())),
            Executor::Gpu(program) => program.begin_numbers().transpose()?.map(Words::Gpu),
        };
        let plan = Arc::clone(&self.plan);
        Ok(words.map(|words| NumbersRead { words, check, plan, asked }))
    }

    /// Forgets what checks of numbers have found, before the next run.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn forget_numbers(&mut self) -> Result<()> {
        match &mut self.executor {
            Executor::Cpu(program) => {
                program.forget_numbers();
                Ok(())
            }
            Executor::Gpu(program) => program.forget_numbers(),
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

/// How long every dispatch of a step took, on the way to the host.
pub struct PendingTimes {
    device: String,
    plan: Arc<Plan>,
    times: Times,
}

enum Times {
    Cpu(Vec<(f64, f64)>),
    Gpu(GpuTimes),
}

impl PendingTimes {
    /// The times, once they are there.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn finish(self) -> Result<StepTimes> {
        let times = match self.times {
            Times::Cpu(times) => times,
            Times::Gpu(times) => times.finish().await?,
        };
        Ok(StepTimes::new(self.device, &self.plan, &times))
    }
}

/// What is done with the numbers of these steps, for errors. A device computes behind the host: what it could not do may have been
/// asked of it in a step before.
pub(super) fn running(scalars: &[StepScalars]) -> String {
    match scalars {
        [] => "running no step".to_owned(),
        [first, .., last] if first.number != last.number => {
            format!("running steps {} to {}", first.number, last.number)
        }
        [first, ..] => format!("running step {}", first.number),
    }
}
