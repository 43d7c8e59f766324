//! Numbers that are not finite, looked for by dispatches between those of a plan.

use super::{Gpu, GpuRange, GpuRead, pipelines};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::fuse::Usage;
use crate::plan::{Image, KernelText, NumberCheck, Plan, Scan, StepScalars};
use crate::record::{KernelClass, Text, grid};
use std::ops::Range;
use std::sync::Arc;

/// Dynamic offsets are multiples of this on every device.
const STRIDE: u64 = 256;
/// Bytes of the numbers of a scan.
const RANGE_BYTES: u64 = 16;
/// Bytes of an entry of the ring of the steps' scalars that are read here.
const CHECKED_BYTES: u64 = 64;
/// Vectors of four words that a workgroup reads.
const WORKGROUP: u64 = 64 * VECTORS;
const VECTORS: u64 = 8;

/// What the check of numbers writes to.
const FOUND: &str = "what the check of numbers has found";

/// What a check of numbers has on its device.
#[derive(Debug)]
pub(super) struct GpuNumbers {
    check: Arc<NumberCheck>,
    pipeline: wgpu::ComputePipeline,
    /// The range of every scan.
    ranges: Vec<wgpu::BindGroup>,
    workgroups: Vec<[u32; 3]>,
    /// Everything else.
    group: wgpu::BindGroup,
    found: wgpu::Buffer,
}

impl GpuNumbers {
    /// Compiles the kernel, and binds what it looks at in the buffers of a plan. `steps` is the ring of the steps' scalars.
    pub async fn new(
        gpu: &Gpu,
        plan: &Plan,
        check: Arc<NumberCheck>,
        buffers: &[wgpu::Buffer],
        steps: &wgpu::Buffer,
    ) -> Result<Self> {
        let make = || Self::make(gpu, plan, check, buffers, steps);
        gpu.scoped(|| "preparing the check of numbers".into(), make).await?
    }

    fn make(
        gpu: &Gpu,
        plan: &Plan,
        check: Arc<NumberCheck>,
        buffers: &[wgpu::Buffer],
        steps: &wgpu::Buffer,
    ) -> Result<Self> {
        let workgroups: Vec<[u32; 3]> = check.scans.iter().map(|scan| grid(groups(scan))).collect();
        let (mut numbers, mut spans) = (vec![0u32; check.scans.len() * (STRIDE / 4) as usize], Vec::new());
        for (entry, (scan, of)) in check.scans.iter().zip(numbers.chunks_mut((STRIDE / 4) as usize)).enumerate() {
            let first = spans.len() as u32 / 2;
            of[..4].copy_from_slice(&[first, scan.spans.len() as u32, entry as u32, workgroups[entry][0]]);
            spans.extend(scan.spans.iter().flat_map(|span| [span.words.start, span.words.end]));
        }
        let filled = |label: &str, words: &[u32], usage: wgpu::BufferUsages| -> Result<wgpu::Buffer> {
            let bytes = (words.len().max(4) * DType::BYTES) as u64;
            let buffer = gpu.buffer(label, bytes, usage | wgpu::BufferUsages::COPY_DST)?;
            gpu.upload_at(&label, &buffer, 0, bytemuck::cast_slice(words))?;
            Ok(buffer)
        };
        let numbers = filled("the ranges of the check of numbers", &numbers, wgpu::BufferUsages::UNIFORM)?;
        let spans = filled("the spans of the check of numbers", &spans, wgpu::BufferUsages::STORAGE)?;
        let found = gpu.storage(FOUND, (check.words() * DType::BYTES) as u64)?;
        let entry = pipelines::layout_entry;
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("check of numbers"),
            entries: &[
                entry(0, wgpu::BufferBindingType::Uniform, true),
                entry(1, wgpu::BufferBindingType::Uniform, true),
                entry(2, storage(true), false),
                entry(3, storage(false), false),
            ],
        });
        let part = |buffer, bytes| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size: wgpu::BufferSize::new(bytes) })
        };
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("check of numbers"),
            layout: &layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: part(&numbers, RANGE_BYTES) },
                wgpu::BindGroupEntry { binding: 1, resource: part(steps, CHECKED_BYTES) },
                wgpu::BindGroupEntry { binding: 2, resource: spans.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 3, resource: found.as_entire_binding() },
            ],
        });
        let kernel = kernel(plan.profile.class)?;
        let (range, pipeline) = pipelines::layout(gpu, &kernel, &layout);
        let pipeline = pipelines::pipeline(gpu, &kernel, &pipeline);
        let bind = |scan: &Scan| {
            // Buffers end with whole vectors.
            let bytes = scan.binding.bytes.next_multiple_of(Image::TEXEL);
            let size = wgpu::BufferSize::new(bytes);
            let (buffer, offset) = (&buffers[scan.binding.buffer], scan.binding.offset);
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size });
            let entries = [wgpu::BindGroupEntry { binding: 0, resource }];
            gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &range, entries: &entries })
        };
        let ranges = check.scans.iter().map(bind).collect();
        Ok(Self { check, pipeline, ranges, workgroups, group, found })
    }

    /// Which scans stand before a plan's first dispatch, or follow one.
    pub fn looks_after(&self, dispatch: Option<usize>) -> Range<usize> {
        self.check.scans_after(dispatch)
    }

    /// Writes down the scans of a range, for a step whose scalars stand at an offset of their ring.
    pub fn scan(&self, pass: &mut wgpu::ComputePass<'_>, scans: Range<usize>, offset: u64, scalars: &StepScalars) {
        let applies = |&place: &usize| self.check.scans[place].applies(scalars);
        let mut is_first = true;
        for place in scans.filter(applies) {
            if std::mem::take(&mut is_first) {
                pass.set_pipeline(&self.pipeline);
            }
            pass.set_bind_group(0, &self.ranges[place], &[]);
            pass.set_bind_group(1, &self.group, &[(place as u64 * STRIDE) as u32, offset as u32]);
            let [x, y, z] = self.workgroups[place];
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// Starts to read what was found.
    pub fn begin_read(&self, gpu: &Arc<Gpu>) -> Result<GpuRead> {
        let bytes = (self.check.words() * DType::BYTES) as u64;
        gpu.begin_read(&FOUND, GpuRange { buffer: &self.found, offset: 0, bytes })
    }

    /// Forgets what was found, before what is submitted from now on.
    pub fn forget(&self, gpu: &Gpu) -> Result<()> {
        gpu.upload_at(&FOUND, &self.found, 0, &vec![0; self.check.words() * DType::BYTES])
    }
}

/// Workgroups of a scan.
fn groups(scan: &Scan) -> usize {
    scan.binding.bytes.div_ceil(WORKGROUP * Image::TEXEL) as usize
}

/// The kernel for a class of devices: neighbouring lanes read neighbouring vectors, or where shaders run on a CPU one lane
/// reads on.
fn kernel(class: KernelClass) -> Result<KernelText> {
    let (vector, lane) = match class {
        KernelClass::Gpu => (64, 1),
        KernelClass::Cpu | KernelClass::Subgroup | KernelClass::Host => (1, VECTORS as usize),
    };
    let text = Text::new(include_str!("../../../shaders/non_finite.wgsl"), &[])
        .unsigned("HEAD", NumberCheck::HEAD)
        .unsigned("VECTORS", VECTORS as usize)
        .unsigned("VECTOR_STRIDE", vector)
        .unsigned("LANE_STRIDE", lane);
    let wgsl = text.assemble().map_err(|reason| Error::new(ErrorKind::Driver, format!("non_finite: {reason}")))?;
    Ok(KernelText { name: "non_finite".into(), wgsl, usages: vec![Usage::Read], uses_step: true })
}
