use super::numbers::GpuNumbers;
use super::{Gpu, GpuRead, InTurn, Pace, images, pipelines};
use crate::base::{Error, ErrorKind, HostData, Result};
use crate::plan::{Binding, BufferKind, Image, NumberCheck, Plan, StepScalars};
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
        shared: impl Fn(&BufferKind) -> Option<wgpu::Buffer>,
        contents: impl for<'d> Fn(&'d crate::plan::Buffer) -> Option<&'c [u8]>,
        numbers: Option<Arc<NumberCheck>>,
    ) -> Result<Self> {
        let (buffers, images) = gpu
            .scoped(&format!("allocating the {} bytes of the step", plan.total_bytes()), || {
                let allocate = |buffer: &crate::plan::Buffer| {
                    shared(&buffer.kind).unwrap_or_else(|| gpu.storage(&buffer.kind.to_string(), buffer.bytes))
                };
                let image = |image: &Image| images::allocate(&gpu, image);
                (
                    plan.buffers.iter().map(allocate).collect::<Vec<_>>(),
                    plan.images.iter().map(image).collect::<Vec<_>>(),
                )
            })
            .await?;
        for (buffer, place) in plan.buffers.iter().zip(&buffers) {
            if let Some(bytes) = contents(buffer) {
                gpu.upload(place, bytes);
            }
        }
        let turn = gpu.turn();
        let steps = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("steps"),
            size: RING * plan.groups as u64 * RING_STRIDE,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let step_layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("step"),
            entries: &[pipelines::layout_entry(0, wgpu::BufferBindingType::Uniform, true)],
        });
        let uniform =
            wgpu::BufferBinding { buffer: &steps, offset: 0, size: wgpu::BufferSize::new(StepScalars::BYTES as u64) };
        let step_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step"),
            layout: &step_layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(uniform) }],
        });
        let view = |image: &wgpu::Texture| image.create_view(&wgpu::TextureViewDescriptor::default());
        let views: Vec<_> = images.iter().map(view).collect();
        drop(turn);
        // From here on a failure drops them in turn.
        let (pipelines, bind_groups, history) = (Vec::new(), Vec::new(), Vec::new());
        let objects = Objects { buffers, images, pipelines, bind_groups, steps, step_group, history, numbers: None };
        let mut objects = InTurn::new(Arc::clone(&gpu), objects);
        let (pipelines, layouts) = pipelines::compile(&gpu, &plan, &step_layout)?;
        objects.pipelines = pipelines;
        objects.bind_groups = gpu
            .scoped("binding buffers", || {
                let group = |dispatch: &crate::plan::Dispatch| {
                    pipelines::bind(&gpu, &layouts[dispatch.kernel], dispatch, &objects.buffers, &views)
                };
                plan.dispatches.iter().map(group).collect::<Vec<_>>()
            })
            .await?;
        if let Some(check) = numbers {
            let made = GpuNumbers::new(&gpu, &plan, check, &objects.buffers, &objects.steps).await?;
            objects.numbers = Some(made);
        }
        let pace = Pace::default();
        Ok(Self { objects, gpu, plan, entry: 0, pace, recorded: 0, open: VecDeque::new() })
    }

    /// Uploads what is fed.
    pub fn feed(&self, feeds: &[(usize, &HostData)]) {
        let _turn = self.gpu.turn();
        for (buffer, data) in feeds {
            self.gpu.queue.write_buffer(&self.objects.buffers[*buffer], 0, data.bytes());
        }
    }

    /// Runs one step, given by the numbers of every group: all dispatches as one compute pass.
    pub fn run(&mut self, scalars: &[StepScalars]) -> Result<()> {
        let gpu = Arc::clone(&self.gpu);
        let _turn = gpu.turn();
        self.objects.history.clear();
        let mut encoder =
            self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        let first = self.write_scalars(scalars);
        self.encode(&mut encoder, first, &scalars[0]);
        let index = self.gpu.queue.submit([encoder.finish()]);
        self.submitted(index)
    }

    /// Lets a few submissions be under way, so that the host prepares the next batch meanwhile; a host that is faster
    /// than the device waits, as otherwise what it feeds would fill its memory.
    fn submitted(&mut self, index: wgpu::SubmissionIndex) -> Result<()> {
        self.gpu.check()?;
        // A browser does not let its one thread wait, and keeps order itself.
        if cfg!(target_arch = "wasm32") {
            return Ok(());
        }
        self.open.push_back(index);
        if self.open.len() > MOST_OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            return self.gpu.wait_for(Some(oldest));
        }
        Ok(())
    }

    /// Runs many steps, as many per submission as take about a tenth of a second: drivers end work that takes
    /// seconds. The values of kept tensors of one element are collected after every step.
    pub fn run_many(&mut self, all: &[StepScalars]) -> Result<()> {
        let gpu = Arc::clone(&self.gpu);
        let groups = self.plan.groups;
        let steps = all.len() / groups;
        let mut done = 0;
        while done < steps {
            let _turn = gpu.turn();
            let count = self.pace.steps().min(steps - done);
            let part = &all[done * groups..(done + count) * groups];
            let mut encoder =
                self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("steps") });
            let first = self.write_scalars(part);
            for place in 0..count {
                self.encode(&mut encoder, first + (place * groups) as u64, &part[place * groups]);
                let number = self.recorded + place;
                for (readable, history) in &self.objects.history {
                    let binding = &self.plan.readable[*readable].1.binding;
                    let to = number as u64 * binding.bytes;
                    let from = &self.objects.buffers[binding.buffer];
                    encoder.copy_buffer_to_buffer(from, binding.offset, history, to, binding.bytes);
                }
            }
            let index = self.gpu.queue.submit([encoder.finish()]);
            self.pace.submitted(&self.gpu.queue, count);
            self.submitted(index)?;
            self.recorded += count;
            done += count;
        }
        Ok(())
    }

    /// Runs one step with a pass for every dispatch, and returns when each began and ended, in seconds.
    pub async fn time(&mut self, scalars: &[StepScalars]) -> Result<Vec<(f64, f64)>> {
        if !self.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let message = format!("{} has no timestamps", self.gpu.found.describe());
            return Err(Error::new(ErrorKind::Device, message));
        }
        let bytes = 2 * 8 * self.plan.dispatches.len() as u64;
        let resolved = InTurn::new(Arc::clone(&self.gpu), self.encode_timed(scalars)?);
        let bytes = self.gpu.begin_read(&resolved, 0, bytes)?.finish().await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        let first = ticks.first().copied().unwrap_or(0);
        let period = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9;
        let seconds = |tick: u64| tick.saturating_sub(first) as f64 * period;
        Ok(ticks.chunks(2).map(|pair| (seconds(pair[0]), seconds(pair[1]))).collect())
    }

    /// Submits one step with a pass for every dispatch. Returns where the ticks at which each began and ended will be.
    fn encode_timed(&mut self, scalars: &[StepScalars]) -> Result<wgpu::Buffer> {
        let gpu = Arc::clone(&self.gpu);
        let _turn = gpu.turn();
        let count = 2 * self.plan.dispatches.len() as u32;
        let queries = self.gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("times"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("times"),
            size: u64::from(count) * 8,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder =
            self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("timed step") });
        let entry = self.write_scalars(scalars);
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
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check()?;
        Ok(resolved)
    }

    /// Writes the scalars of steps next to one another into the ring, and returns the first entry.
    fn write_scalars(&mut self, all: &[StepScalars]) -> u64 {
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
        self.gpu.queue.write_buffer(&self.objects.steps, self.entry * RING_STRIDE, &bytes);
        let first = self.entry;
        self.entry += all.len() as u64;
        first
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
    pub fn begin_many(&mut self, steps: usize) {
        let gpu = Arc::clone(&self.gpu);
        let _turn = gpu.turn();
        self.recorded = 0;
        self.objects.history = self
            .plan
            .readable
            .iter()
            .enumerate()
            .filter(|(_, (_, stored))| stored.shape.elements() == 1)
            .map(|(number, (_, stored))| (number, self.gpu.storage("history", steps as u64 * stored.binding.bytes)))
            .collect();
    }

    /// Starts to read the values that a tensor had after every step of the last run of many.
    pub fn begin_history(&self, tensor: TensorId) -> Result<Option<(GpuRead, u64)>> {
        let of = |(readable, _): &&(usize, wgpu::Buffer)| self.plan.readable[*readable].0 == tensor;
        let Some((readable, history)) = self.objects.history.iter().find(of) else { return Ok(None) };
        let bytes = self.recorded as u64 * self.plan.readable[*readable].1.binding.bytes;
        Ok(Some((self.gpu.begin_read(history, 0, bytes)?, bytes)))
    }

    /// Starts to read what the check of numbers has found, if there is one.
    pub fn begin_numbers(&self) -> Option<Result<GpuRead>> {
        self.objects.numbers.as_ref().map(|numbers| numbers.begin_read(&self.gpu))
    }

    /// Forgets what it has found.
    pub fn forget_numbers(&self) {
        if let Some(numbers) = &self.objects.numbers {
            numbers.forget(&self.gpu);
        }
    }

    pub fn begin_read(&self, binding: &Binding) -> Result<GpuRead> {
        self.gpu.begin_read(&self.objects.buffers[binding.buffer], binding.offset, binding.bytes)
    }

    pub fn wait(&self) -> Result<()> {
        self.gpu.wait()
    }
}
