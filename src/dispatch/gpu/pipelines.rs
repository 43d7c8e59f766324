//! Kernels as pipelines, and buffers bound to them.

use super::{Gpu, images};
use crate::base::Result;
use crate::dispatch::Failure;
use crate::fuse::Usage;
use crate::plan::{Dispatch, KernelText, Plan};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Compiles all kernels of a plan. Returns the pipelines, and the layouts of what is bound to them.
pub(super) fn compile(
    gpu: &Gpu,
    plan: &Plan,
    step_layout: &wgpu::BindGroupLayout,
) -> Result<(Vec<wgpu::ComputePipeline>, Vec<wgpu::BindGroupLayout>)> {
    let _turn = gpu.turn();
    let mut layouts: HashMap<(Vec<Usage>, bool), (wgpu::BindGroupLayout, wgpu::PipelineLayout)> = HashMap::new();
    for kernel in &plan.kernels {
        let key = (kernel.usages.clone(), kernel.uses_step);
        if let Entry::Vacant(place) = layouts.entry(key) {
            let what = || format!("laying out what is bound to kernel `{}`", kernel.name);
            place.insert(gpu.attempt(what, || layout(gpu, kernel, step_layout))?);
        }
    }
    let of = |kernel: &KernelText| &layouts[&(kernel.usages.clone(), kernel.uses_step)];
    let one = |kernel: &KernelText| {
        let what = || format!("compiling kernel `{}`", kernel.name);
        gpu.attempt(what, || pipeline(gpu, kernel, &of(kernel).1))
    };
    // Drivers compile on the thread that asks. GL has one context, which threads would only wait for, and a browser's device stays
    // with its thread.
    let in_turn = || plan.kernels.iter().map(one).collect::<Result<Vec<_>>>();
    #[cfg(not(target_arch = "wasm32"))]
    let pipelines = if gpu.found.backend() == "gl" {
        in_turn()?
    } else {
        use rayon::prelude::*;
        plan.kernels.par_iter().map(one).collect::<Result<Vec<_>>>()?
    };
    #[cfg(target_arch = "wasm32")]
    let pipelines = in_turn()?;
    if let Some(kept) = gpu.kept_pipelines() {
        kept.save();
    }
    let group_layouts = plan.kernels.iter().map(|kernel| of(kernel).0.clone()).collect();
    Ok((pipelines, group_layouts))
}

pub(super) fn layout_entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    has_dynamic_offset: bool,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    }
}

/// How the bindings of a kernel are laid out, and the pipeline with them.
pub(super) fn layout(
    gpu: &Gpu,
    kernel: &KernelText,
    step_layout: &wgpu::BindGroupLayout,
) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
    let entry = |(binding, usage): (usize, &Usage)| {
        let ty = wgpu::BufferBindingType::Storage { read_only: !usage.writes() };
        let buffer = layout_entry(binding as u32, ty, false);
        match usage {
            Usage::Image(dtype) => wgpu::BindGroupLayoutEntry { ty: images::layout(*dtype), ..buffer },
            Usage::Read | Usage::Write => buffer,
        }
    };
    let entries: Vec<_> = kernel.usages.iter().enumerate().map(entry).collect();
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

pub(super) fn pipeline(gpu: &Gpu, kernel: &KernelText, layout: &wgpu::PipelineLayout) -> wgpu::ComputePipeline {
    let text = if gpu.failures.strikes(Failure::Kernel) { "a test wants this rejected" } else { &kernel.wgsl };
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(&kernel.name),
        source: wgpu::ShaderSource::Wgsl(text.into()),
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
        cache: gpu.kept_pipelines().map(|kept| &kept.cache),
    })
}

pub(super) fn bind(
    gpu: &Gpu,
    layout: &wgpu::BindGroupLayout,
    dispatch: &Dispatch,
    buffers: &[wgpu::Buffer],
    views: &[wgpu::TextureView],
) -> wgpu::BindGroup {
    let entry = |(number, binding): (usize, &crate::plan::Binding)| wgpu::BindGroupEntry {
        binding: number as u32,
        resource: match dispatch.images.get(number) {
            Some(Some(image)) => wgpu::BindingResource::TextureView(&views[*image]),
            _ => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &buffers[binding.buffer],
                offset: binding.offset,
                size: wgpu::BufferSize::new(binding.bytes),
            }),
        },
    };
    let entries: Vec<_> = dispatch.bindings.iter().enumerate().map(entry).collect();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}
