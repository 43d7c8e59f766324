use super::slots::{Lifetime, assign};
use super::{Arena, Binding, Buffer, BufferKind, Dispatch, KernelText, Phase, Plan, Profile, Stored, Update};
use crate::base::{DType, Error, ErrorKind, Layout, Result, TensorType, View};
use crate::fuse::{self, Source};
use crate::record::{
    Argument, Kernel, Leaf, LowerContext, Lowering, Node, NodeId, NodeKind, Op, Operand, Pointwise, Recording, Reduce, Stage,
    TensorId, grid,
};
use std::collections::{BTreeMap, HashMap};

/// What a plan is made of.
#[derive(Debug)]
pub struct Request<'a> {
    /// The simplified recording.
    pub recording: &'a Recording,
    /// The limits to keep.
    pub profile: &'a Profile,
    /// Where parameters lie.
    pub arena: &'a Arena,
    /// Gradients by the number of their parameter.
    pub gradients: &'a [(usize, TensorId)],
    /// Tensors that must be readable after a step.
    pub kept: &'a [TensorId],
    /// How parameters change, if they do.
    pub update: Option<&'a Update>,
}

/// Memory that a tensor lies in, before slots are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Memory {
    /// A range of a buffer of the plan.
    Fixed { buffer: usize, offset: u64, bytes: u64 },
    /// An intermediate buffer.
    Virtual(usize),
}

/// A tensor's memory and where in it its elements lie.
#[derive(Clone, Debug)]
struct Located {
    memory: Memory,
    layout: Layout,
    dtype: DType,
}

/// An intermediate buffer: its size, and whether it must outlive the step.
#[derive(Debug)]
struct Intermediate {
    bytes: u64,
    kept: bool,
}

/// A dispatch whose operands have no final place yet.
struct Draft {
    dispatch: Dispatch,
    operands: Vec<Memory>,
}

struct Builder<'a> {
    request: &'a Request<'a>,
    kernels: Vec<KernelText>,
    kernel_numbers: HashMap<String, usize>,
    buffers: Vec<Buffer>,
    located: BTreeMap<TensorId, Located>,
    intermediates: Vec<Intermediate>,
    drafts: Vec<Draft>,
}

/// Plans a step.
///
/// # Errors
/// [`ErrorKind::Limit`] when a tensor or dispatch exceeds the profile, naming it and its source line.
pub fn build(request: &Request<'_>) -> Result<Plan> {
    let mut builder = Builder {
        request,
        kernels: Vec::new(),
        kernel_numbers: HashMap::new(),
        buffers: Vec::new(),
        located: BTreeMap::new(),
        intermediates: Vec::new(),
        drafts: Vec::new(),
    };
    for (index, node) in request.recording.nodes.iter().enumerate() {
        builder.node(NodeId(index as u32), node)?;
    }
    builder.keep()?;
    builder.gradients()?;
    builder.update()?;
    builder.finish()
}

impl Builder<'_> {
    fn node(&mut self, id: NodeId, node: &Node) -> Result<()> {
        match &node.kind {
            NodeKind::Leaf(leaf) => {
                let memory = self.leaf(id, leaf, &node.outputs[0]);
                let layout = Layout::dense(&node.outputs[0].shape);
                self.located.insert(TensorId { node: id, output: 0 }, Located { memory, layout, dtype: node.outputs[0].dtype });
                Ok(())
            }
            NodeKind::Op(op) => self.op(id, node, op.as_ref()),
        }
    }

    fn leaf(&mut self, id: NodeId, leaf: &Leaf, tensor_type: &TensorType) -> Memory {
        let bytes = tensor_type.bytes() as u64;
        match leaf {
            Leaf::Input { .. } => Memory::Fixed { buffer: self.buffer(BufferKind::Input(id), bytes), offset: 0, bytes },
            Leaf::Constant(_) => Memory::Fixed { buffer: self.buffer(BufferKind::Constant(id), bytes), offset: 0, bytes },
            Leaf::Parameter(info) => {
                let entry = &self.request.arena.entries[info.index];
                let segment = entry.segment;
                let buffer = self.buffer(BufferKind::Parameters(segment), self.request.arena.segments[segment]);
                Memory::Fixed { buffer, offset: entry.offset, bytes: entry.bytes }
            }
        }
    }

    /// The number of the buffer of this kind.
    fn buffer(&mut self, kind: BufferKind, bytes: u64) -> usize {
        self.buffers.iter().position(|buffer| buffer.kind == kind).unwrap_or_else(|| {
            self.buffers.push(Buffer { kind, bytes });
            self.buffers.len() - 1
        })
    }

    fn op(&mut self, id: NodeId, node: &Node, op: &dyn Op) -> Result<()> {
        let inputs: Vec<Located> = node.inputs.iter().map(|input| self.located[input].clone()).collect();
        let types: Vec<TensorType> = node.inputs.iter().map(|&input| self.request.recording.tensor_type(input).clone()).collect();
        let layouts: Vec<Layout> = inputs.iter().map(|input| input.layout.clone()).collect();
        let class = self.request.profile.class;
        let lower = |layouts: &[Layout]| op.lower(&LowerContext { inputs: &types, layouts, outputs: &node.outputs, class });
        match lower(&layouts) {
            Lowering::View(view) => self.view(id, node, &inputs[0], &view),
            Lowering::Pointwise(pointwise) => {
                let output = self.output(id, node, 0)?;
                self.pointwise(id, node, &pointwise, &inputs, output, &node.outputs[0])
            }
            Lowering::Reduce(reduce) => {
                let output = self.output(id, node, 0)?;
                self.reduce(id, node, &reduce, &inputs[0], output)
            }
            Lowering::Kernel(kernel) => {
                let mut dense = inputs;
                for (input, any) in dense.iter_mut().zip(&kernel.any_layout) {
                    if !any && !input.layout.is_dense() {
                        *input = self.copy(id, node, input)?;
                    }
                }
                // Copies changed where inputs lie: the kernel is written for that.
                let layouts: Vec<Layout> = dense.iter().map(|input| input.layout.clone()).collect();
                match lower(&layouts) {
                    Lowering::Kernel(kernel) => self.kernel(id, node, kernel, &dense),
                    _ => Err(self.defect(node, "it chose another lowering for dense inputs")),
                }
            }
        }
    }

    fn view(&mut self, id: NodeId, node: &Node, input: &Located, view: &View) -> Result<()> {
        let (located, layout) = match input.layout.view(view) {
            Some(layout) => (input.clone(), layout),
            None => {
                let dense = self.copy(id, node, input)?;
                let layout = dense.layout.view(view).ok_or_else(|| self.defect(node, "a dense tensor takes every view"))?;
                (dense, layout)
            }
        };
        self.located.insert(TensorId { node: id, output: 0 }, Located { layout, ..located });
        Ok(())
    }

    /// A dense copy of a tensor.
    fn copy(&mut self, id: NodeId, node: &Node, input: &Located) -> Result<Located> {
        let tensor_type = TensorType { shape: input.layout.shape.clone(), dtype: input.dtype };
        let memory = self.intermediate(node, &tensor_type)?;
        let copy = Pointwise { expression: "{0}".into(), arguments: vec![Argument::Input(0)], libraries: Vec::new() };
        self.pointwise_named("copy", id, node, &copy, std::slice::from_ref(input), memory, &tensor_type)?;
        Ok(Located { memory, layout: Layout::dense(&tensor_type.shape), dtype: input.dtype })
    }

    fn output(&mut self, id: NodeId, node: &Node, output: usize) -> Result<Memory> {
        let tensor_type = &node.outputs[output];
        let memory = self.intermediate(node, tensor_type)?;
        let layout = Layout::dense(&tensor_type.shape);
        self.located.insert(TensorId { node: id, output: output as u32 }, Located { memory, layout, dtype: tensor_type.dtype });
        Ok(memory)
    }

    fn intermediate(&mut self, node: &Node, tensor_type: &TensorType) -> Result<Memory> {
        let bytes = tensor_type.bytes() as u64;
        self.fits(bytes, || format!("{} {tensor_type} at {}", node.label(), node.place.location))?;
        self.intermediates.push(Intermediate { bytes, kept: false });
        Ok(Memory::Virtual(self.intermediates.len() - 1))
    }

    fn fits(&self, bytes: u64, what: impl Fn() -> String) -> Result<()> {
        let profile = self.request.profile;
        let limit = profile.binding_bytes.min(profile.buffer_bytes);
        if bytes <= limit {
            return Ok(());
        }
        let message = format!(
            "{} takes {bytes} bytes and {} binds at most {limit}: use a smaller batch or split the tensor",
            what(),
            profile.name
        );
        Err(Error::new(ErrorKind::Limit, message))
    }

    fn pointwise(
        &mut self,
        id: NodeId,
        node: &Node,
        op: &Pointwise,
        inputs: &[Located],
        output: Memory,
        output_type: &TensorType,
    ) -> Result<()> {
        self.pointwise_named(node.name(), id, node, op, inputs, output, output_type)
    }

    #[allow(clippy::too_many_arguments)]
    fn pointwise_named(
        &mut self,
        name: &str,
        id: NodeId,
        node: &Node,
        op: &Pointwise,
        inputs: &[Located],
        output: Memory,
        output_type: &TensorType,
    ) -> Result<()> {
        let mut operands: Vec<Memory> = Vec::new();
        let mut sources = Vec::new();
        for input in inputs {
            let binding = operands.iter().position(|&memory| memory == input.memory).unwrap_or_else(|| {
                operands.push(input.memory);
                operands.len() - 1
            });
            sources.push(Source { binding, layout: input.layout.clone(), dtype: input.dtype });
        }
        let (wgsl, workgroups) = fuse::pointwise(op, &sources, output_type);
        let mut writes = vec![false; operands.len()];
        writes.push(true);
        operands.push(output);
        let uses_step = op.arguments.contains(&Argument::Seed);
        let kernel = self.kernel_number(KernelText { name: name.to_owned(), wgsl, writes, uses_step });
        self.dispatch(id, node, kernel, operands, workgroups)
    }

    fn reduce(&mut self, id: NodeId, node: &Node, op: &Reduce, input: &Located, output: Memory) -> Result<()> {
        let kernels = fuse::reduce(op, &input.layout).map_err(|reason| self.defect(node, &reason))?;
        let mut from = input.memory;
        let count = kernels.len();
        for (number, kernel) in kernels.into_iter().enumerate() {
            let to = match number + 1 == count {
                true => output,
                false => self.intermediate(node, &TensorType::f32([kernel.elements]))?,
            };
            let name = format!("reduce_{}", op.kind.name());
            let text = KernelText { name, wgsl: kernel.wgsl, writes: vec![false, true], uses_step: false };
            let kernel_number = self.kernel_number(text);
            self.dispatch(id, node, kernel_number, vec![from, to], kernel.workgroups)?;
            from = to;
        }
        Ok(())
    }

    fn kernel(&mut self, id: NodeId, node: &Node, kernel: Kernel, inputs: &[Located]) -> Result<()> {
        let outputs = (0..node.outputs.len()).map(|output| self.output(id, node, output)).collect::<Result<Vec<_>>>()?;
        let scratch = kernel
            .scratch
            .iter()
            .map(|&elements| self.intermediate(node, &TensorType::f32([elements])))
            .collect::<Result<Vec<_>>>()?;
        let memory = |operand: &Operand| match *operand {
            Operand::Input(number) => inputs[number].memory,
            Operand::Output(number) => outputs[number],
            Operand::Scratch(number) => scratch[number],
        };
        for stage in kernel.stages {
            match stage {
                Stage::Dispatch(dispatched) => {
                    let wgsl = dispatched.text.assemble().map_err(|reason| self.defect(node, &reason))?;
                    let operands: Vec<Memory> = dispatched.reads.iter().chain(&dispatched.writes).map(memory).collect();
                    let writes = (0..operands.len()).map(|place| place >= dispatched.reads.len()).collect();
                    let name = dispatched.name.to_owned();
                    let number = self.kernel_number(KernelText { name, wgsl, writes, uses_step: dispatched.uses_step });
                    self.dispatch(id, node, number, operands, dispatched.workgroups)?;
                }
                Stage::Reduce { from: (from, layout), reduce, to } => {
                    let from = Located { memory: memory(&from), layout, dtype: DType::F32 };
                    self.reduce(id, node, &reduce, &from, memory(&to))?;
                }
            }
        }
        Ok(())
    }

    fn kernel_number(&mut self, text: KernelText) -> usize {
        if let Some(&number) = self.kernel_numbers.get(&text.wgsl) {
            return number;
        }
        self.kernel_numbers.insert(text.wgsl.clone(), self.kernels.len());
        self.kernels.push(text);
        self.kernels.len() - 1
    }

    fn dispatch(&mut self, id: NodeId, node: &Node, kernel: usize, operands: Vec<Memory>, workgroups: [u32; 3]) -> Result<()> {
        let phase = if node.origin.is_some() { Phase::Backward } else { Phase::Forward };
        let types: Vec<String> = node.outputs.iter().map(ToString::to_string).collect();
        let dispatch = Dispatch {
            phase,
            kernel,
            label: format!("{} {}", node.label(), types.join(", ")),
            bindings: Vec::new(),
            workgroups,
            node: Some(id),
            origin: node.origin,
            location: node.place.location.clone(),
            scope: node.place.scope.clone(),
        };
        self.push(Draft { dispatch, operands })
    }

    fn push(&mut self, draft: Draft) -> Result<()> {
        let profile = self.request.profile;
        let (dispatch, bound) = (&draft.dispatch, draft.operands.len());
        let [x, y, z] = dispatch.workgroups;
        let what = || format!("{} at {}", dispatch.label, dispatch.location);
        if bound > profile.storage_buffers {
            let message = format!("{} binds {bound} storage buffers and {} allows {}", what(), profile.name, profile.storage_buffers);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if x.max(y).max(z) > profile.workgroups {
            let message = format!(
                "{} needs {x} x {y} x {z} workgroups and {} allows {} in each direction",
                what(),
                profile.name,
                profile.workgroups
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.drafts.push(draft);
        Ok(())
    }

    /// Gives kept tensors memory of their own, densely.
    fn keep(&mut self) -> Result<()> {
        for &tensor in self.request.kept {
            let located = self.located[&tensor].clone();
            let node = self.request.recording.node(tensor).clone();
            // Parameters change in the update: what is kept is the value that the step used.
            let in_arena = match located.memory {
                Memory::Fixed { buffer, .. } => {
                    matches!(self.buffers[buffer].kind, BufferKind::Parameters(_)) && self.request.update.is_some()
                }
                Memory::Virtual(_) => false,
            };
            let located = if located.layout.is_dense() && !in_arena && self.covers(&located) {
                located
            } else {
                self.copy(tensor.node, &node, &located)?
            };
            if let Memory::Virtual(number) = located.memory {
                self.intermediates[number].kept = true;
            }
            self.located.insert(tensor, located);
        }
        Ok(())
    }

    /// Whether a tensor is all that its memory holds.
    fn covers(&self, located: &Located) -> bool {
        let bytes = match located.memory {
            Memory::Fixed { bytes, .. } => bytes,
            Memory::Virtual(number) => self.intermediates[number].bytes,
        };
        located.layout.shape.elements() as u64 * DType::BYTES as u64 == bytes
    }

    /// Brings gradients into their arena: directly where only their last dispatch touches them,
    /// by a copy otherwise.
    fn gradients(&mut self) -> Result<()> {
        for &(parameter, gradient) in self.request.gradients {
            let entry = self.request.arena.entries[parameter].clone();
            let bytes = self.request.arena.segments[entry.segment];
            let buffer = self.buffer(BufferKind::Gradients(entry.segment), bytes);
            let target = Memory::Fixed { buffer, offset: entry.offset, bytes: entry.bytes };
            let located = self.located[&gradient].clone();
            let sharers = self.request.gradients.iter().filter(|(_, other)| self.located[other].memory == located.memory).count();
            let direct = match located.memory {
                Memory::Virtual(number) => {
                    let alone = sharers == 1 && !self.intermediates[number].kept && !self.is_read(located.memory);
                    alone && located.layout.is_dense() && self.covers(&located)
                }
                Memory::Fixed { .. } => false,
            };
            if direct {
                self.replace(located.memory, target);
            } else {
                let node = self.request.recording.node(gradient).clone();
                let tensor_type = TensorType::f32(&located.layout.shape);
                let copy = Pointwise { expression: "{0}".into(), arguments: vec![Argument::Input(0)], libraries: Vec::new() };
                let source = located.memory;
                self.pointwise_named("copy", gradient.node, &node, &copy, &[located], target, &tensor_type)?;
                if let Some(mut draft) = self.drafts.pop() {
                    draft.dispatch.phase = Phase::Backward;
                    self.drafts.insert(self.written_by(source), draft);
                }
            }
        }
        Ok(())
    }

    /// The place right after the last dispatch that writes this memory; the end, where none does.
    fn written_by(&self, memory: Memory) -> usize {
        let writes = |draft: &Draft| {
            let kernel = &self.kernels[draft.dispatch.kernel].writes;
            draft.operands.iter().zip(kernel).any(|(&operand, &writes)| operand == memory && writes)
        };
        self.drafts.iter().rposition(writes).map_or(self.drafts.len(), |place| place + 1)
    }

    fn is_read(&self, memory: Memory) -> bool {
        self.drafts.iter().any(|draft| {
            let writes = &self.kernels[draft.dispatch.kernel].writes;
            draft.operands.iter().zip(writes).any(|(&operand, &writes)| operand == memory && !writes)
        })
    }

    fn replace(&mut self, from: Memory, to: Memory) {
        for operand in self.drafts.iter_mut().flat_map(|draft| &mut draft.operands).filter(|operand| **operand == from) {
            *operand = to;
        }
        for located in self.located.values_mut().filter(|located| located.memory == from) {
            located.memory = to;
        }
    }

    fn update(&mut self) -> Result<()> {
        const GROUP: usize = 64;
        let request = self.request;
        let Some(update) = request.update else { return Ok(()) };
        let mut trained = vec![false; request.arena.entries.len()];
        request.gradients.iter().for_each(|&(parameter, _)| trained[parameter] = true);
        for (segment, offset, bytes) in request.arena.runs(&trained) {
            let length = (bytes / DType::BYTES as u64) as usize;
            let workgroups = grid(length.div_ceil(GROUP));
            let text = update.text.clone().unsigned("LENGTH", length).unsigned("GRID_WIDTH", workgroups[0] as usize);
            let wgsl = text.assemble().map_err(|reason| Error::new(ErrorKind::Driver, format!("{}: {reason}", update.name)))?;
            let mut kinds = vec![BufferKind::Gradients(segment), BufferKind::Parameters(segment)];
            kinds.extend(update.states.iter().map(|state| BufferKind::OptimizerState { state: (*state).to_owned(), segment }));
            let mut operands = Vec::new();
            for kind in kinds {
                let buffer = self.buffer(kind, request.arena.segments[segment]);
                operands.push(Memory::Fixed { buffer, offset, bytes });
            }
            let writes = (0..operands.len()).map(|place| place > 0).collect();
            let kernel = self.kernel_number(KernelText { name: update.name.to_owned(), wgsl, writes, uses_step: true });
            let names = request.arena.entries.iter().zip(&trained).filter(|(entry, trained)| {
                **trained && entry.segment == segment && (offset..offset + bytes).contains(&entry.offset)
            });
            let dispatch = Dispatch {
                phase: Phase::Update,
                kernel,
                label: names.map(|(entry, _)| entry.name.as_str()).collect::<Vec<_>>().join(", "),
                bindings: Vec::new(),
                workgroups,
                node: None,
                origin: None,
                location: String::new(),
                scope: String::new(),
            };
            self.push(Draft { dispatch, operands })?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Plan> {
        let end = self.drafts.len();
        let mut uses: Vec<Option<(usize, usize)>> = vec![None; self.intermediates.len()];
        for (time, draft) in self.drafts.iter().enumerate() {
            for operand in &draft.operands {
                if let Memory::Virtual(number) = operand {
                    let (first, _) = uses[*number].unwrap_or((time, time));
                    uses[*number] = Some((first, time));
                }
            }
        }
        // Kept tensors get a buffer each; the others share slots by lifetime.
        let shared: Vec<usize> = (0..uses.len()).filter(|&number| uses[number].is_some() && !self.intermediates[number].kept).collect();
        let lifetimes: Vec<Lifetime> = shared
            .iter()
            .map(|&number| {
                let (first, last) = uses[number].unwrap_or((0, end));
                Lifetime { bytes: self.intermediates[number].bytes, first, last }
            })
            .collect();
        let slots = assign(&lifetimes);
        let first_slot = self.buffers.len();
        for (number, &bytes) in slots.bytes.iter().enumerate() {
            self.buffers.push(Buffer { kind: BufferKind::Slot(number), bytes });
        }
        let mut buffer_of: HashMap<usize, usize> = shared.iter().zip(&slots.of).map(|(&number, slot)| (number, first_slot + slot)).collect();
        let kept: Vec<usize> = (0..uses.len()).filter(|&number| self.intermediates[number].kept).collect();
        for (place, number) in kept.into_iter().enumerate() {
            buffer_of.insert(number, self.buffers.len());
            self.buffers.push(Buffer { kind: BufferKind::Kept(place), bytes: self.intermediates[number].bytes });
        }
        let bind = |memory: Memory| match memory {
            Memory::Fixed { buffer, offset, bytes } => Binding { buffer, offset, bytes },
            Memory::Virtual(number) => {
                Binding { buffer: buffer_of[&number], offset: 0, bytes: self.intermediates[number].bytes }
            }
        };
        let stored = |tensor: TensorId| {
            let located = &self.located[&tensor];
            (tensor, Stored { binding: bind(located.memory), shape: located.layout.shape.clone(), dtype: located.dtype })
        };
        let mut readable: Vec<(TensorId, Stored)> = self.request.kept.iter().map(|&tensor| stored(tensor)).collect();
        readable.sort_by_key(|(tensor, _)| *tensor);
        readable.dedup_by_key(|(tensor, _)| *tensor);
        let dispatches: Vec<Dispatch> = self
            .drafts
            .iter()
            .map(|draft| Dispatch { bindings: draft.operands.iter().map(|&memory| bind(memory)).collect(), ..draft.dispatch.clone() })
            .collect();
        for buffer in &self.buffers {
            self.fits(buffer.bytes, || buffer.kind.to_string())?;
        }
        Ok(Plan {
            profile: self.request.profile.clone(),
            kernels: self.kernels,
            buffers: self.buffers,
            dispatches,
            readable,
            live_bytes: slots.live,
        })
    }

    fn defect(&self, node: &Node, reason: &str) -> Error {
        let message = format!("{} at {} could not be planned: {reason}. This is a defect of the op.", node.label(), node.place.location);
        Error::new(ErrorKind::Driver, message)
    }
}
