//! From a simplified recording to a plan: lowerings become dispatches over buffers without places
//! yet, outputs and gradients get theirs, and what is left shares slots.

mod dispatches;
mod finish;
mod outputs;

use super::{Arena, Buffer, BufferKind, Dispatch, KernelText, Plan, Profile, Update};
use crate::base::{DType, Error, ErrorKind, Layout, Result, TensorType, View};
use crate::record::{Leaf, LowerContext, Lowering, Node, NodeId, NodeKind, Op, Recording, TensorId};
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
                self.located
                    .insert(TensorId { node: id, output: 0 }, Located { memory, layout, dtype: node.outputs[0].dtype });
                Ok(())
            }
            NodeKind::Op(op) => self.op(id, node, op.as_ref()),
        }
    }

    fn leaf(&mut self, id: NodeId, leaf: &Leaf, tensor_type: &TensorType) -> Memory {
        let bytes = tensor_type.bytes() as u64;
        match leaf {
            Leaf::Input { .. } => Memory::Fixed { buffer: self.buffer(BufferKind::Input(id), bytes), offset: 0, bytes },
            Leaf::Constant(_) => {
                Memory::Fixed { buffer: self.buffer(BufferKind::Constant(id), bytes), offset: 0, bytes }
            }
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
        let types: Vec<TensorType> =
            node.inputs.iter().map(|&input| self.request.recording.tensor_type(input).clone()).collect();
        let layouts: Vec<Layout> = inputs.iter().map(|input| input.layout.clone()).collect();
        let class = self.request.profile.class;
        let lower =
            |layouts: &[Layout]| op.lower(&LowerContext { inputs: &types, layouts, outputs: &node.outputs, class });
        match lower(&layouts) {
            Lowering::View(view) => self.view(id, node, &inputs[0], &view),
            Lowering::Pointwise(pointwise) => {
                let output = self.output(id, node, 0)?;
                self.pointwise(node.name(), id, node, &pointwise, &inputs, output, &node.outputs[0])
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
                    _ => Err(defect(node, "it chose another lowering for dense inputs")),
                }
            }
        }
    }

    fn view(&mut self, id: NodeId, node: &Node, input: &Located, view: &View) -> Result<()> {
        let (located, layout) = if let Some(layout) = input.layout.view(view) {
            (input.clone(), layout)
        } else {
            let dense = self.copy(id, node, input)?;
            let layout = dense.layout.view(view).ok_or_else(|| defect(node, "a dense tensor takes every view"))?;
            (dense, layout)
        };
        self.located.insert(TensorId { node: id, output: 0 }, Located { layout, ..located });
        Ok(())
    }

    /// A dense copy of a tensor.
    fn copy(&mut self, id: NodeId, node: &Node, input: &Located) -> Result<Located> {
        let tensor_type = TensorType { shape: input.layout.shape.clone(), dtype: input.dtype };
        let memory = self.intermediate(node, &tensor_type)?;
        self.copy_to(id, node, input, memory)?;
        Ok(Located { memory, layout: Layout::dense(&tensor_type.shape), dtype: input.dtype })
    }

    fn output(&mut self, id: NodeId, node: &Node, output: usize) -> Result<Memory> {
        let tensor_type = &node.outputs[output];
        let memory = self.intermediate(node, tensor_type)?;
        let layout = Layout::dense(&tensor_type.shape);
        self.located
            .insert(TensorId { node: id, output: output as u32 }, Located { memory, layout, dtype: tensor_type.dtype });
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
}

/// An error that blames the op itself.
fn defect(node: &Node, reason: &str) -> Error {
    let message = format!(
        "{} at {} could not be planned: {reason}. This is a defect of the op.",
        node.label(),
        node.place.location
    );
    Error::new(ErrorKind::Driver, message)
}
