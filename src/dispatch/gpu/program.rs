use super::{Gpu, GpuRead};
use crate::base::{HostData, Result};
use crate::plan::{Binding, BufferKind, KernelText, Plan, StepScalars};
use crate::record::NodeId;
use std::collections::HashMap;
use std::sync::Arc;

/// The uniform ring holds this many steps, so that steps in flight do not share an entry.
const RING: u64 = 64;
/// Dynamic offsets are multiples of this on every device.
const RING_STRIDE: u64 = 256;

/// A plan on a GPU: buffers, pipelines and bind groups, all made once.
#[derive(Debug)]
pub(in crate::dispatch) struct GpuProgram {
    gpu: Arc<Gpu>,
    plan: Arc<Plan>,
    buffers: Vec<wgpu::Buffer>,
    pipelines: Vec<wgpu::ComputePipeline>,
    bind_groups: Vec<wgpu::BindGroup>,
    steps: wgpu::Buffer,
    step_group: wgpu::BindGroup,
    entry: u64,
}

impl GpuProgram {
    /// Allocates what the state does not own, uploads constants, and compiles all kernels.
    ///
    /// `shared` gives the buffers of the state; `constant` the data of constants.
    pub async fn new(
        gpu: Arc<Gpu>,
        plan: Arc<Plan>,
        shared: impl Fn(&BufferKind) -> Option<wgpu::Buffer>,
        constant: impl Fn(NodeId) -> Option<HostData>,
    ) -> Result<Self> {
        let buffers = gpu
            .scoped("allocating memory", || {
                let allocate = |buffer: &crate::plan::Buffer| {
                    shared(&buffer.kind).unwrap_or_else(|| gpu.storage(&buffer.kind.to_string(), buffer.bytes))
                };
                plan.buffers.iter().map(allocate).collect::<Vec<_>>()
            })
            .await?;
        for (buffer, place) in plan.buffers.iter().zip(&buffers) {
            if let BufferKind::Constant(node) = buffer.kind
                && let Some(data) = constant(node)
            {
                gpu.queue.write_buffer(place, 0, data.bytes());
            }
        }
        let steps = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("steps"),
            size: RING * RING_STRIDE,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let step_layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("step"),
            entries: &[layout_entry(0, wgpu::BufferBindingType::Uniform, true)],
        });
        let uniform =
            wgpu::BufferBinding { buffer: &steps, offset: 0, size: wgpu::BufferSize::new(StepScalars::BYTES as u64) };
        let step_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step"),
            layout: &step_layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(uniform) }],
        });
        let (pipelines, layouts) = Self::compile(&gpu, &plan, &step_layout).await?;
        let bind_groups = gpu
            .scoped("binding buffers", || {
                let group = |dispatch: &crate::plan::Dispatch| {
                    bind(&gpu, &layouts[dispatch.kernel], &dispatch.bindings, &buffers)
                };
                plan.dispatches.iter().map(group).collect::<Vec<_>>()
            })
            .await?;
        Ok(Self { gpu, plan, buffers, pipelines, bind_groups, steps, step_group, entry: 0 })
    }

    async fn compile(
        gpu: &Gpu,
        plan: &Plan,
        step_layout: &wgpu::BindGroupLayout,
    ) -> Result<(Vec<wgpu::ComputePipeline>, Vec<wgpu::BindGroupLayout>)> {
        let mut layouts: HashMap<(Vec<bool>, bool), (wgpu::BindGroupLayout, wgpu::PipelineLayout)> = HashMap::new();
        let (mut pipelines, mut group_layouts) = (Vec::new(), Vec::new());
        for kernel in &plan.kernels {
            let (group, layout) = layouts
                .entry((kernel.writes.clone(), kernel.uses_step))
                .or_insert_with(|| layout(gpu, kernel, step_layout));
            let pipeline =
                gpu.scoped(&format!("compiling kernel `{}`", kernel.name), || pipeline(gpu, kernel, layout)).await?;
            pipelines.push(pipeline);
            group_layouts.push(group.clone());
        }
        Ok((pipelines, group_layouts))
    }

    /// Runs one step: uploads what is fed, and submits all dispatches as one compute pass.
    pub fn run(&mut self, feeds: &[(usize, &HostData)], scalars: &StepScalars) -> Result<()> {
        for (buffer, data) in feeds {
            self.gpu.queue.write_buffer(&self.buffers[*buffer], 0, data.bytes());
        }
        let offset = self.entry * RING_STRIDE;
        self.entry = (self.entry + 1) % RING;
        self.gpu.queue.write_buffer(&self.steps, offset, &scalars.bytes());
        let mut encoder =
            self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let mut current = None;
            for (dispatch, group) in self.plan.dispatches.iter().zip(&self.bind_groups) {
                if current != Some(dispatch.kernel) {
                    pass.set_pipeline(&self.pipelines[dispatch.kernel]);
                    current = Some(dispatch.kernel);
                }
                pass.set_bind_group(0, group, &[]);
                if self.plan.kernels[dispatch.kernel].uses_step {
                    pass.set_bind_group(1, &self.step_group, &[offset as u32]);
                }
                let [x, y, z] = dispatch.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check()
    }

    pub fn begin_read(&self, binding: &Binding) -> Result<GpuRead> {
        self.gpu.begin_read(&self.buffers[binding.buffer], binding.offset, binding.bytes)
    }

    pub fn wait(&self) -> Result<()> {
        self.gpu.wait()
    }
}

fn layout_entry(binding: u32, ty: wgpu::BufferBindingType, has_dynamic_offset: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    }
}

fn layout(
    gpu: &Gpu,
    kernel: &KernelText,
    step_layout: &wgpu::BindGroupLayout,
) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
    let storage = |writes: bool| wgpu::BufferBindingType::Storage { read_only: !writes };
    let entries: Vec<_> = kernel
        .writes
        .iter()
        .enumerate()
        .map(|(binding, &writes)| layout_entry(binding as u32, storage(writes), false))
        .collect();
    let group =
        gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
    let mut groups = vec![Some(&group)];
    if kernel.uses_step {
        groups.push(Some(step_layout));
    }
    let pipeline = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &groups,
        immediate_size: 0,
    });
    (group, pipeline)
}

fn pipeline(gpu: &Gpu, kernel: &KernelText, layout: &wgpu::PipelineLayout) -> wgpu::ComputePipeline {
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(&kernel.name),
        source: wgpu::ShaderSource::Wgsl(kernel.wgsl.as_str().into()),
    });
    gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&kernel.name),
        layout: Some(layout),
        module: &module,
        entry_point: Some("main"),
        // Every kernel writes workgroup memory before it reads it.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    })
}

fn bind(gpu: &Gpu, layout: &wgpu::BindGroupLayout, bindings: &[Binding], buffers: &[wgpu::Buffer]) -> wgpu::BindGroup {
    let entries: Vec<_> = bindings
        .iter()
        .enumerate()
        .map(|(number, binding)| wgpu::BindGroupEntry {
            binding: number as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &buffers[binding.buffer],
                offset: binding.offset,
                size: wgpu::BufferSize::new(binding.bytes),
            }),
        })
        .collect();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}
