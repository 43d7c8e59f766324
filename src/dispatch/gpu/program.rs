use super::numbers::GpuNumbers;
use super::{Gpu, GpuRange, GpuRead, InTurn, Pace, images, pipelines};
use crate::base::{Error, ErrorKind, HostData, Result};
use crate::dispatch::program::running;
use crate::plan::{Binding, BufferKind, NumberCheck, Plan, StepScalars};
use crate::record::TensorId;
use std::collections::VecDeque;
use std::sync::Arc;

/// The uniform ring holds this many steps, with an entry for every group of parameters, so that steps in flight do not share an entry.
const RING: u64 = 64;
/// Dynamic offsets are multiples of this on every device.
const RING_STRIDE: u64 = 256;
/// Most submissions under way before the host waits.
const MOST_OPEN: usize = 4;

/// A plan on a GPU: buffers, pipelines and bind groups, all made once.
#[derive(Debug)]
pub(in crate::dispatch) struct GpuProgram {
    gpu: Arc<Gpu>,
    plan: Arc<Plan>,
    objects: InTurn<Objects>,
    /// The entry of the ring that the next step takes.
    entry: u64,
    pace: Pace,
    /// How many steps of the last run of many are over.
    recorded: usize,
    /// Submissions that may still be under way, oldest first.
    open: VecDeque<wgpu::SubmissionIndex>,
}

/// What a program has on its device.
#[derive(Debug)]
struct Objects {
    buffers: Vec<wgpu::Buffer>,
    images: Vec<wgpu::Texture>,
    pipelines: Vec<wgpu::ComputePipeline>,
    bind_groups: Vec<wgpu::BindGroup>,
    /// The ring of the steps' scalars.
    steps: wgpu::Buffer,
    step_group: wgpu::BindGroup,
    /// For every kept tensor of one element: its values after the steps of the last run of many.
    history: Vec<(usize, wgpu::Buffer)>,
    /// The check of numbers, if there is one.
    numbers: Option<GpuNumbers>,
}

impl GpuProgram {
    /// Allocates what the state does not own, uploads constants, and compiles all kernels.
    ///
    /// `shared` gives the buffers of the state; `contents` the data of constants and datasets.
    pub async fn new<'c>(
        gpu: Arc<Gpu>,
        plan: Arc<Plan>,
        shared: impl Fn(&BufferKind) -> Result<Option<wgpu::Buffer>>,
        contents: impl for<'d> Fn(&'d crate::plan::Buffer) -> Option<&'c [u8]>,
        numbers: Option<Arc<NumberCheck>>,
    ) -> Result<Self> {
        let all = || format!("allocating the {} bytes of the step", plan.total_bytes());
        let allocate = |buffer: &crate::plan::Buffer| match shared(&buffer.kind)? {
            Some(buffer) => Ok(buffer),
            None => gpu.storage(&buffer.kind.to_string(), buffer.bytes),
        };
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let (buffers, images, steps) = gpu
            .scoped(all, || {
                let buffers = plan.buffers.iter().map(allocate).collect::<Result<Vec<_>>>()?;
                let images =
                    plan.images.iter().map(|image| images::allocate(&gpu, image)).collect::<Result<Vec<_>>>()?;
                let steps = gpu.buffer("the numbers of steps", RING * plan.groups as u64 * RING_STRIDE, usage)?;
                Ok((buffers, images, steps))
            })
            .await?
            .map_err(|error: crate::base::Error| error.during(all()))?;
        for (buffer, place) in plan.buffers.iter().zip(&buffers) {
            if let Some(bytes) = contents(buffer) {
                gpu.upload_at(&buffer.kind, place, 0, bytes)?;
            }
        }
        let (step_layout, step_group, views) = gpu
            .scoped(
                || "binding the numbers of steps".into(),
                || {
                    let (layout, group) = step_group(&gpu, &steps);
                    let view = |image: &wgpu::Texture| image.create_view(&wgpu::TextureViewDescriptor::default());
                    (layout, group, images.iter().map(view).collect::<Vec<_>>())
                },
            )
            .await?;
        // From here on a failure drops them in turn.
        let (pipelines, bind_groups, history) = (Vec::new(), Vec::new(), Vec::new());
        let objects = Objects { buffers, images, pipelines, bind_groups, steps, step_group, history, numbers: None };
        let mut objects = InTurn::new(Arc::clone(&gpu), objects);
        let (pipelines, layouts) = pipelines::compile(&gpu, &plan, &step_layout)?;
        objects.pipelines = pipelines;
        objects.bind_groups = gpu
            .scoped(
                || "binding buffers".into(),
                || {
                    let group = |dispatch: &crate::plan::Dispatch| {
                        pipelines::bind(&gpu, &layouts[dispatch.kernel], dispatch, &objects.buffers, &views)
                    };
                    plan.dispatches.iter().map(group).collect::<Vec<_>>()
                },
            )
            .await?;
        if let Some(check) = numbers {
            let made = GpuNumbers::new(&gpu, &plan, check, &objects.buffers, &objects.steps).await?;
            objects.numbers = Some(made);
        }
        let pace = Pace::default();
        Ok(Self { objects, gpu, plan, entry: 0, pace, recorded: 0, open: VecDeque::new() })
    }

    /// Uploads what is fed.
    pub fn feed(&self, feeds: &[(usize, &HostData)]) -> Result<()> {
        let _turn = self.gpu.turn();
        self.gpu.check_lost().map_err(|error| error.during("feeding inputs"))?;
        for &(buffer, data) in feeds {
            self.gpu.write(&self.plan.buffers[buffer].kind, &self.objects.buffers[buffer], 0, data.bytes())?;
        }
        Ok(())
    }

    /// Runs one step, given by the numbers of every group: all dispatches as one compute pass.
    pub fn run(&mut self, scalars: &[StepScalars]) -> Result<()> {
        self.submit_one(scalars).map_err(|error| error.during(running(scalars)))
    }

    fn submit_one(&mut self, scalars: &[StepScalars]) -> Result<()> {
        self.make_room()?;
        let gpu = Arc::clone(&self.gpu);
        let _turn = gpu.turn();
        self.objects.history.clear();
        let mut encoder =
            self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        let first = self.write_scalars(scalars)?;
        self.encode(&mut encoder, first, &scalars[0]);
        let index = self.gpu.submit(encoder)?;
        self.open.push_back(index);
        Ok(())
    }

    /// Lets a few submissions be under way, so that the host prepares the next batch meanwhile; a host that is faster
    /// than the device waits, as otherwise what it feeds would fill its memory. This is before a step is submitted, so that an
    /// error of an earlier one comes where the step has not run, and before this thread takes its turn, so that others use
    /// the device meanwhile.
    fn make_room(&mut self) -> Result<()> {
        // A browser does not let its one thread wait, and keeps order itself.
        if cfg!(target_arch = "wasm32") {
            self.open.clear();
        }
        if self.open.len() >= MOST_OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            return self.gpu.wait_for("waiting for an earlier step", Some(oldest));
        }
        Ok(())
    }

    /// Runs many steps, as many per submission as take about a tenth of a second: drivers end work that takes
    /// seconds. The values of kept tensors of one element are collected after every step.
    pub fn run_many(&mut self, all: &[StepScalars]) -> Result<()> {
        let groups = self.plan.groups;
        let mut left = all;
        while !left.is_empty() {
            let count = self.pace.steps().min(left.len() / groups);
            let (part, rest) = left.split_at(count * groups);
            self.submit_many(part).map_err(|error| error.during(running(part)))?;
            left = rest;
        }
        Ok(())
    }

    /// Runs many steps in one submission.
    fn submit_many(&mut self, part: &[StepScalars]) -> Result<()> {
        self.make_room()?;
        let gpu = Arc::clone(&self.gpu);
        let _turn = gpu.turn();
        let groups = self.plan.groups;
        let mut encoder =
            self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("steps") });
        let first = self.write_scalars(part)?;
        for (place, step) in part.chunks(groups).enumerate() {
            self.encode(&mut encoder, first + (place * groups) as u64, &step[0]);
            let number = self.recorded + place;
            for (readable, history) in &self.objects.history {
                let binding = &self.plan.readable[*readable].1.binding;
                let to = number as u64 * binding.bytes;
                let from = &self.objects.buffers[binding.buffer];
                encoder.copy_buffer_to_buffer(from, binding.offset, history, to, binding.bytes);
            }
        }
        let index = self.gpu.submit(encoder)?;
        let count = part.len() / groups;
        self.pace.submitted(&self.gpu.queue, count);
        self.recorded += count;
        self.open.push_back(index);
        Ok(())
    }

    /// Runs one step with a pass for every dispatch, and begins to read when each began and ended.
    pub fn begin_time(&mut self, scalars: &[StepScalars]) -> Result<GpuTimes> {
        if !self.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let message = format!("{} has no timestamps", self.gpu.found.describe());
            return Err(Error::new(ErrorKind::Device, message));
        }
        let bytes = 2 * 8 * self.plan.dispatches.len() as u64;
        let resolved = self.encode_timed(scalars).map_err(|error| error.during(running(scalars)))?;
        let resolved = InTurn::new(Arc::clone(&self.gpu), resolved);
        let read = self.gpu.begin_read(&"the times of dispatches", GpuRange { buffer: &resolved, offset: 0, bytes });
        Ok(GpuTimes { read, period: f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9 })
    }

    /// Submits one step with a pass for every dispatch. Returns where the ticks at which each began and ended will be.
    fn encode_timed(&mut self, scalars: &[StepScalars]) -> Result<wgpu::Buffer> {
        let gpu = Arc::clone(&self.gpu);
        let _turn = gpu.turn();
        let count = 2 * self.plan.dispatches.len() as u32;
        let descriptor = wgpu::QuerySetDescriptor { label: Some("times"), ty: wgpu::QueryType::Timestamp, count };
        let what = || format!("allocating {count} timestamps");
        let queries = self.gpu.allocate(what, || self.gpu.device.create_query_set(&descriptor))?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.gpu.buffer("the times of dispatches", u64::from(count) * 8, usage)?;
        let mut encoder =
            self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("timed step") });
        let entry = self.write_scalars(scalars)?;
        for (number, (dispatch, group)) in self.plan.dispatches.iter().zip(&self.objects.bind_groups).enumerate() {
            let (begin, end) = (Some(2 * number as u32), Some(2 * number as u32 + 1));
            let writes = |beginning_of_pass_write_index, end_of_pass_write_index| wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index,
                    end_of_pass_write_index,
                }),
            };
            // Copies to images count as a part of the dispatch: they lie between an empty pass and its own.
            let own_begin = if dispatch.images.is_empty() {
                begin
            } else {
                drop(encoder.begin_compute_pass(&writes(begin, None)));
                images::copy(&mut encoder, dispatch, &self.objects.buffers, &self.objects.images);
                None
            };
            let mut pass = encoder.begin_compute_pass(&writes(own_begin, end));
            if scalars[0].gathers_only && !dispatch.gathers() {
                continue;
            }
            pass.set_pipeline(&self.objects.pipelines[dispatch.kernel]);
            pass.set_bind_group(0, group, &[]);
            if self.plan.kernels[dispatch.kernel].uses_step {
                let entry = entry + dispatch.group() as u64;
                pass.set_bind_group(1, &self.objects.step_group, &[(entry * RING_STRIDE) as u32]);
            }
            let [x, y, z] = dispatch.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        self.gpu.submit(encoder)?;
        Ok(resolved)
    }

    /// Writes the scalars of steps next to one another into the ring, and returns the first entry.
    fn write_scalars(&mut self, all: &[StepScalars]) -> Result<u64> {
        if self.entry + all.len() as u64 > RING * self.plan.groups as u64 {
            self.entry = 0;
        }
        let mut bytes = vec![0u8; all.len() * RING_STRIDE as usize];
        for (scalars, entry) in all.iter().zip(bytes.chunks_mut(RING_STRIDE as usize)) {
            entry[..StepScalars::BYTES].copy_from_slice(&scalars.bytes());
            // Behind what the kernels of plans read: for the check of numbers.
            let checked: [u8; 8] = bytemuck::cast([scalars.number, scalars.checked]);
            entry[StepScalars::BYTES..StepScalars::BYTES + checked.len()].copy_from_slice(&checked);
        }
        self.gpu.write(&"the numbers of steps", &self.objects.steps, self.entry * RING_STRIDE, &bytes)?;
        let first = self.entry;
        self.entry += all.len() as u64;
        Ok(first)
    }

    /// Writes down the dispatches of a step whose scalars stand at an entry of the ring, those of further groups after it;
    /// and between them, for a step that is checked, what looks at the numbers that they write.
    fn encode(&self, encoder: &mut wgpu::CommandEncoder, entry: u64, scalars: &StepScalars) {
        let wanted =
            |(_, (dispatch, _)): &(usize, (&crate::plan::Dispatch, _))| !scalars.gathers_only || dispatch.gathers();
        let numbers = self.objects.numbers.as_ref().filter(|_| scalars.checked > 0);
        let look = |pass: &mut wgpu::ComputePass<'_>, dispatch: Option<usize>| {
            let scans = numbers.map(|numbers| (numbers, numbers.looks_after(dispatch)));
            let scans = scans.filter(|(_, scans)| !scans.is_empty());
            scans.map(|(numbers, scans)| numbers.scan(pass, scans, entry * RING_STRIDE, scalars)).is_some()
        };
        let begin = |encoder: &mut wgpu::CommandEncoder| {
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
        };
        if numbers.is_some() {
            look(&mut begin(encoder), None);
        }
        let mut rest = self.plan.dispatches.iter().zip(&self.objects.bind_groups).enumerate().filter(wanted).peekable();
        // A pass for all dispatches up to one that reads images: they are copied between passes.
        while let Some((_, (dispatch, _))) = rest.peek() {
            images::copy(encoder, dispatch, &self.objects.buffers, &self.objects.images);
            let mut pass = begin(encoder);
            let mut current = None;
            let mut bound = None;
            let mut is_first = true;
            while let Some((number, (dispatch, group))) =
                rest.next_if(|(_, (next, _))| is_first || next.images.is_empty())
            {
                is_first = false;
                if current != Some(dispatch.kernel) {
                    pass.set_pipeline(&self.objects.pipelines[dispatch.kernel]);
                    current = Some(dispatch.kernel);
                }
                pass.set_bind_group(0, group, &[]);
                let own = entry + dispatch.group() as u64;
                if self.plan.kernels[dispatch.kernel].uses_step && bound != Some(own) {
                    pass.set_bind_group(1, &self.objects.step_group, &[(own * RING_STRIDE) as u32]);
                    bound = Some(own);
                }
                let [x, y, z] = dispatch.workgroups;
                pass.dispatch_workgroups(x, y, z);
                if look(&mut pass, Some(number)) {
                    (current, bound) = (None, None);
                }
            }
        }
    }

    /// Prepares for so many steps, which are run in one part or several.
    pub fn begin_many(&mut self, steps: usize) -> Result<()> {
        let gpu = Arc::clone(&self.gpu);
        let _turn = gpu.turn();
        self.recorded = 0;
        self.objects.history.clear();
        let plan = Arc::clone(&self.plan);
        for (number, (_, stored)) in plan.readable.iter().enumerate() {
            if stored.shape.elements() == 1 {
                let buffer = self.gpu.storage("the history of a tensor", steps as u64 * stored.binding.bytes)?;
                self.objects.history.push((number, buffer));
            }
        }
        Ok(())
    }

    /// How many steps were submitted since [`begin_many`](Self::begin_many).
    pub const fn recorded(&self) -> usize {
        self.recorded
    }

    /// Starts to read the values that a tensor had after every step of the last run of many.
    pub fn begin_history(&self, tensor: TensorId) -> Result<Option<(GpuRead, u64)>> {
        let of = |(readable, _): &&(usize, wgpu::Buffer)| self.plan.readable[*readable].0 == tensor;
        let Some((readable, buffer)) = self.objects.history.iter().find(of) else { return Ok(None) };
        let bytes = self.recorded as u64 * self.plan.readable[*readable].1.binding.bytes;
        let read = self.gpu.begin_read(&"the history of a tensor", GpuRange { buffer, offset: 0, bytes })?;
        Ok(Some((read, bytes)))
    }

    /// Starts to read what the check of numbers has found, if there is one.
    pub fn begin_numbers(&self) -> Option<Result<GpuRead>> {
        self.objects.numbers.as_ref().map(|numbers| numbers.begin_read(&self.gpu))
    }

    /// Forgets what it has found.
    pub fn forget_numbers(&self) -> Result<()> {
        self.objects.numbers.as_ref().map_or(Ok(()), |numbers| numbers.forget(&self.gpu))
    }

    pub fn begin_read(&self, binding: &Binding) -> Result<GpuRead> {
        let (buffer, kind) = (&self.objects.buffers[binding.buffer], &self.plan.buffers[binding.buffer].kind);
        self.gpu.begin_read(kind, GpuRange { buffer, offset: binding.offset, bytes: binding.bytes })
    }

    pub fn wait(&self) -> Result<()> {
        self.gpu.wait()
    }
}

/// How the numbers of a step are bound.
fn step_group(gpu: &Gpu, steps: &wgpu::Buffer) -> (wgpu::BindGroupLayout, wgpu::BindGroup) {
    let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("step"),
        entries: &[pipelines::layout_entry(0, wgpu::BufferBindingType::Uniform, true)],
    });
    let size = wgpu::BufferSize::new(StepScalars::BYTES as u64);
    let uniform = wgpu::BufferBinding { buffer: steps, offset: 0, size };
    let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("step"),
        layout: &layout,
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(uniform) }],
    });
    (layout, group)
}

/// When the dispatches of a step began and ended, on the way to the host.
pub(in crate::dispatch) struct GpuTimes {
    /// An error is told when the times are asked for: the step itself has run.
    read: Result<GpuRead>,
    /// Seconds of a tick.
    period: f64,
}

impl GpuTimes {
    /// The times, in seconds.
    pub async fn finish(self) -> Result<Vec<(f64, f64)>> {
        let bytes = self.read?.finish().await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        let first = ticks.first().copied().unwrap_or(0);
        let seconds = |tick: u64| tick.saturating_sub(first) as f64 * self.period;
        Ok(ticks.chunks(2).map(|pair| (seconds(pair[0]), seconds(pair[1]))).collect())
    }
}
