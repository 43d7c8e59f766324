//! The host as an executor of plans: the same groups of ops as on a GPU, natively.

mod borrowed;
mod contract;
mod loads;
mod memory;
mod numbers;
mod op;
mod pack;
mod pointwise;
mod reduce;
mod update;

use self::borrowed::Borrowed;
use self::memory::{Operands, Words};
use self::numbers::CpuNumbers;
use super::State;
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result};
use crate::fuse::{Gather, Usage};
use crate::plan::{
    Binding, Buffer, BufferKind, Dispatch, Native, NativeRoot, NumberCheck, Phase, Plan, StepScalars, Stored, Updates,
    Work,
};
use crate::record::TensorId;
use std::sync::Arc;
use std::time::Instant;

/// A plan on the host: its buffers and the work of its dispatches.
#[derive(Debug)]
pub(super) struct CpuProgram {
    plan: Arc<Plan>,
    natives: Vec<Native>,
    gathers: Vec<Gather>,
    updates: Option<Updates>,
    buffers: Vec<Words>,
    /// For every kept tensor of one element: its values after the steps of the last run of many.
    history: Vec<(TensorId, Words)>,
    /// How many steps of the last run of many are over.
    recorded: usize,
    /// While a step is measured: since when, and the times of its dispatches.
    times: Option<(Instant, Vec<(f64, f64)>)>,
    /// The check of numbers, if there is one.
    numbers: Option<CpuNumbers>,
}

impl CpuProgram {
    /// Allocates what the state does not own, and copies constants.
    ///
    /// # Errors
    /// When the reference of a pointwise op does not give what its shape rule promises.
    pub fn new<'c>(
        plan: Arc<Plan>,
        natives: Vec<Native>,
        gathers: Vec<Gather>,
        updates: Option<Updates>,
        contents: impl for<'d> Fn(&'d Buffer) -> Option<&'c [u8]>,
        numbers: Option<Arc<NumberCheck>>,
    ) -> Result<Self> {
        for program in natives.iter().flat_map(|native| &native.programs).map(|(_, program)| program) {
            for step in program.steps.iter().filter(|step| step.pointwise.host.is_none()) {
                let dtypes: Vec<DType> = step.operands.iter().map(|operand| program.dtype(*operand)).collect();
                op::try_step(step, &dtypes)?;
            }
        }
        let words = |bytes: u64| vec![0; (bytes / DType::BYTES as u64) as usize];
        let buffer = |buffer: &Buffer| match &buffer.kind {
            BufferKind::Parameters(_) | BufferKind::Gradients(_) | BufferKind::OptimizerState { .. } => Vec::new(),
            _ => contents(buffer).map_or_else(|| words(buffer.bytes), |bytes| bytemuck::cast_slice(bytes).to_vec()),
        };
        let buffers = plan.buffers.iter().map(buffer).collect();
        let numbers = numbers.map(CpuNumbers::new);
        Ok(Self { plan, natives, gathers, updates, buffers, history: Vec::new(), recorded: 0, times: None, numbers })
    }

    /// Takes over what is fed.
    pub fn feed(&mut self, feeds: &[(usize, &HostData)]) {
        for (buffer, data) in feeds {
            self.buffers[*buffer].copy_from_slice(bytemuck::cast_slice(data.bytes()));
        }
    }

    /// Runs one step, given by the numbers of every group.
    pub fn run(&mut self, scalars: &[StepScalars], state: &State) -> Result<()> {
        self.history.clear();
        self.steps(scalars, state)
    }

    /// Runs many steps, and collects the values of kept tensors of one element after each.
    pub fn run_many(&mut self, all: &[StepScalars], state: &State) -> Result<()> {
        self.steps(all, state)
    }

    /// Prepares for many steps, which are run in one part or several.
    pub fn begin_many(&mut self) {
        self.recorded = 0;
        let one = |(_, stored): &&(TensorId, Stored)| stored.shape.elements() == 1;
        self.history = self.plan.readable.iter().filter(one).map(|(tensor, _)| (*tensor, Vec::new())).collect();
    }

    /// How many steps were run to their end since [`begin_many`](Self::begin_many).
    pub const fn recorded(&self) -> usize {
        self.recorded
    }

    /// Runs one step, and returns when every dispatch began and ended, in seconds.
    pub fn time(&mut self, scalars: &[StepScalars], state: &State) -> Result<Vec<(f64, f64)>> {
        self.history.clear();
        self.times = Some((Instant::now(), Vec::new()));
        let run = self.steps(scalars, state);
        let times = self.times.take().map(|(_, times)| times).unwrap_or_default();
        run.map(|()| times)
    }

    fn steps(&mut self, all: &[StepScalars], state: &State) -> Result<()> {
        let missing = || Error::new(ErrorKind::Driver, "the state of this step does not live on the host");
        state
            .with_host(|memory| -> Result<()> {
                let borrowed = Borrowed::new(self, memory, state);
                let program = &mut *borrowed.program;
                for scalars in all.chunks(program.plan.groups) {
                    program.dispatches(scalars)?;
                    for (tensor, values) in &mut program.history {
                        if let Some(stored) = program.plan.stored(*tensor) {
                            let words = &program.buffers[stored.binding.buffer];
                            values.push(words[memory::range(&stored.binding).start]);
                        }
                    }
                    program.recorded += 1;
                }
                Ok(())
            })
            .ok_or_else(missing)?
    }

    fn dispatches(&mut self, groups: &[StepScalars]) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let (mut natives, mut gathers) = (self.natives.iter(), self.gathers.iter());
        if let Some(numbers) = &mut self.numbers {
            numbers.look(&self.buffers, None, &groups[0]);
        }
        for (number, dispatch) in plan.dispatches.iter().enumerate() {
            let start = self.times.as_ref().map(|(since, _)| since.elapsed().as_secs_f64());
            let job = match (dispatch.work, dispatch.phase) {
                (Some(work), _) => Some(Job::State(work)),
                (None, Phase::Batch) => gathers.next().copied().map(Job::Batch),
                (None, _) => natives.next().map(Job::Nodes),
            };
            let usages = &plan.kernels[dispatch.kernel].usages;
            if let Some(job) = job {
                job.run(dispatch, usages, &mut self.buffers, self.updates.as_ref(), groups)?;
            }
            if let (Some((since, times)), Some(start)) = (&mut self.times, start) {
                times.push((start, since.elapsed().as_secs_f64()));
            }
            let has_run = !groups[0].gathers_only || dispatch.gathers();
            if let Some(numbers) = self.numbers.as_mut().filter(|_| has_run) {
                numbers.look(&self.buffers, Some(number), &groups[0]);
            }
        }
        Ok(())
    }

    /// What the check of numbers has found, if there is one.
    pub fn numbers(&self) -> Option<&[u32]> {
        self.numbers.as_ref().map(CpuNumbers::found)
    }

    /// Forgets what it has found.
    pub fn forget_numbers(&mut self) {
        if let Some(numbers) = &mut self.numbers {
            numbers.forget();
        }
    }

    /// Runs the only dispatch of a plan that was made of the dispatch of this number, on buffers that are given and come back.
    pub fn run_alone(&self, number: usize, alone: &Plan, buffers: &mut [Words], groups: &[StepScalars]) -> Result<()> {
        let place = self.plan.number_among_its_kind(number);
        let dispatch = &alone.dispatches[0];
        let job = match (dispatch.work, dispatch.phase) {
            (Some(work), _) => Some(Job::State(work)),
            (None, Phase::Batch) => self.gathers.get(place).copied().map(Job::Batch),
            (None, _) => self.natives.get(place).map(Job::Nodes),
        };
        let usages = &alone.kernels[0].usages;
        job.map_or(Ok(()), |job| job.run(dispatch, usages, buffers, self.updates.as_ref(), groups))
    }

    /// The words of a range.
    pub fn words(&self, binding: &Binding) -> &[u32] {
        &self.buffers[binding.buffer][memory::range(binding)]
    }

    /// The value of a kept tensor after the last step.
    pub fn read(&self, tensor: TensorId) -> Option<HostTensor> {
        let stored = self.plan.stored(tensor)?;
        let words = &self.buffers[stored.binding.buffer][memory::range(&stored.binding)];
        HostTensor::new(stored.shape.clone(), HostData::from_bytes(stored.dtype, bytemuck::cast_slice(words))).ok()
    }

    /// The values of a tensor after the steps of the last run of many.
    pub fn history(&self, tensor: TensorId) -> Option<&[u32]> {
        let known = self.history.iter().find(|(known, _)| *known == tensor);
        known.map(|(_, values)| values.as_slice())
    }
}

/// What a dispatch does on the host.
#[derive(Clone, Copy)]
enum Job<'a> {
    /// Something to the state.
    State(Work),
    /// It gathers rows of a batch.
    Batch(Gather),
    /// It computes nodes of the recording.
    Nodes(&'a Native),
}

impl Job<'_> {
    fn run(
        self,
        dispatch: &Dispatch,
        usages: &[Usage],
        buffers: &mut [Words],
        updates: Option<&Updates>,
        groups: &[StepScalars],
    ) -> Result<()> {
        let scalars = &groups[0];
        let mut operands = Operands::take(buffers, &dispatch.bindings, usages);
        let (reads, mut writes) = operands.split();
        match (self, updates.filter(|_| !scalars.gathers_only || dispatch.gathers())) {
            (Job::Nodes(native), _) => return run(native, reads, writes, scalars.seed),
            (Job::Batch(gather), _) => {
                copy_rows(gather, reads[0], &reads[1][scalars.first_row as usize..], writes[0]);
            }
            (Job::State(Work::Assign), _) => update::assign(&reads, writes[0]),
            (Job::State(Work::Accumulate), Some(_)) => update::accumulate(scalars.gathered, reads[0], writes[0]),
            (Job::State(Work::Norm { .. }), Some(updates)) => {
                update::gradient_norm(&reads, updates.clip_norm, scalars.gathers_only, writes[0]);
            }
            (Job::State(Work::LayerNorms), Some(_)) => update::parameter_norms(&reads, writes[0]),
            (Job::State(Work::Change(group)), Some(updates)) => {
                update::change(updates, &updates.groups[group], &groups[group], &reads, writes);
            }
            (Job::State(_), None) => {}
        }
        Ok(())
    }
}

/// The work of one dispatch.
fn run(native: &Native, reads: Vec<&[u32]>, writes: Vec<&mut [u32]>, seed: [u32; 2]) -> Result<()> {
    let mut places = memory::Places::new(&native.bindings, reads, writes);
    match &native.root {
        NativeRoot::None => {}
        NativeRoot::Contract { a, b, sums } => contract::run(a, b, *sums, &native.programs[0].1, &mut places),
        NativeRoot::Reduce { .. } => reduce::run(native, &mut places, seed),
        NativeRoot::Op { op, inputs, outputs, host: None } => {
            op::run(op.as_ref(), inputs, outputs, &native.programs, &mut places, seed)?;
        }
        NativeRoot::Op { inputs, outputs, host: Some(kernel), .. } => {
            op::call(kernel, inputs, outputs, &native.programs, &mut places);
        }
    }
    for (_, program) in &native.programs {
        pointwise::run(program, &native.totals, native.has_root(), &mut places, seed);
    }
    Ok(())
}

/// Copies those rows of a batch that lie in a part of the data.
fn copy_rows(gather: Gather, data: &[u32], order: &[u32], batch: &mut [u32]) {
    for (&row, to) in order.iter().zip(batch.chunks_exact_mut(gather.words)) {
        if let Some(row) = (row as usize).checked_sub(gather.first).filter(|&row| row < gather.rows) {
            to.copy_from_slice(&data[row * gather.words..(row + 1) * gather.words]);
        }
    }
}
