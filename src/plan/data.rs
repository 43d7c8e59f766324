use super::Profile;
use crate::base::{DType, Shape};
use crate::fuse::{Chosen, IMAGE_WIDTH, Usage};
use crate::record::{NodeId, TensorId};
use serde::{Deserialize, Serialize};

/// A training or inference step for one device profile: everything that happens, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The limits it was made for.
    pub profile: Profile,
    /// The shaders, each once.
    pub kernels: Vec<KernelText>,
    /// The memory.
    pub buffers: Vec<Buffer>,
    /// The images that buffers are copied to before dispatches which read them so. Every dispatch has them to itself.
    #[serde(default)]
    pub images: Vec<Image>,
    /// What runs, first to last.
    pub dispatches: Vec<Dispatch>,
    /// Where tensors lie that can be read after a step, in ascending order.
    pub readable: Vec<(TensorId, Stored)>,
    /// Where the global norm of the gradients is after a step, if it is computed.
    #[serde(default)]
    pub gradient_norm: Option<Binding>,
    /// Where the number of updates that were left out is, if any may be.
    #[serde(default)]
    pub left_out: Option<Binding>,
    /// Where the norms of every gradient and parameter are after a step, if they are computed: pairs, in the order of
    /// these names.
    #[serde(default)]
    pub layer_norms: Option<(Binding, Vec<String>)>,
    /// What the tables hold.
    #[serde(default)]
    pub tables: Vec<Vec<u32>>,
    /// How many groups of parameters change in different ways: every step has the numbers of each.
    #[serde(default = "one")]
    pub groups: usize,
    /// The greatest sum of bytes of intermediate tensors that are needed at one time.
    pub live_bytes: u64,
    /// Why neighbouring ops run as kernels of their own.
    pub apart: Vec<Apart>,
}

/// How many groups there are where a plan does not say.
const fn one() -> usize {
    1
}

/// Two neighbouring ops that run as kernels of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// The op that makes a tensor, with its source line.
    pub producer: String,
    /// The op that reads it.
    pub consumer: String,
    /// Why they are not one kernel.
    pub reason: String,
}

/// A shader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelText {
    /// The name: of the op, or of the shader file.
    pub name: String,
    /// The whole text.
    pub wgsl: String,
    /// How it uses every binding of group 0.
    pub usages: Vec<Usage>,
    /// Whether it reads the step's uniform block.
    pub uses_step: bool,
}

/// A piece of device memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffer {
    /// What it is for.
    pub kind: BufferKind,
    /// Its size.
    pub bytes: u64,
}

/// An image that dispatches read in the place of a buffer: rows of 1,024 texels of four elements, one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The type of its elements.
    pub dtype: DType,
    /// How many rows it has.
    pub rows: u32,
}

impl Image {
    /// Bytes of a texel.
    pub const TEXEL: u64 = 4 * DType::BYTES as u64;
    /// Texels of a row.
    pub const WIDTH: u32 = IMAGE_WIDTH as u32;

    /// How many rows so many bytes take.
    #[must_use]
    pub const fn rows_of(bytes: u64) -> u32 {
        bytes.div_ceil(Self::WIDTH as u64 * Self::TEXEL) as u32
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.rows) * u64::from(Self::WIDTH) * Self::TEXEL
    }
}

/// What a buffer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BufferKind {
    /// Fed before a step, or gathered at its beginning.
    Input(NodeId),
    /// A part of the data that batches of an input are gathered from.
    Dataset {
        /// The input.
        input: NodeId,
        /// The part: data that are larger than a binding may be lie in several.
        part: usize,
    },
    /// The order in which the rows of a dataset are gathered.
    Order,
    /// Uploaded once.
    Constant(NodeId),
    /// A segment of the parameters.
    Parameters(usize),
    /// A segment of the gradients.
    Gradients(usize),
    /// A segment of one of the optimizer's states.
    OptimizerState {
        /// The state's name.
        state: String,
        /// The segment.
        segment: usize,
    },
    /// Numbers that say where parameters lie.
    Table(usize),
    /// A segment of the directions that parameters move in.
    Directions(usize),
    /// Sums of squares of chunks of parameters.
    ParameterSquares(usize),
    /// Norms of parameters.
    ParameterNorms(usize),
    /// Sums of squares of gradients.
    GradientSquares,
    /// The global norm of the gradients.
    GradientNorm,
    /// Intermediate tensors, one after another.
    Slot(usize),
    /// A tensor that stays readable.
    Kept(usize),
}

/// Which list a dispatch belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Gathers the inputs from data on the device.
    Batch,
    /// Computes what was recorded.
    Forward,
    /// Computes gradients.
    Backward,
    /// Changes the state.
    Update,
}

impl Phase {
    /// What its list is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Update => "update",
        }
    }
}

/// What a dispatch does to the state, where no op of the recording says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Adds gradients to those of runs before.
    Accumulate,
    /// Computes the global norm of the gradients.
    Norm {
        /// Whether in runs that only add up gradients as well, to see whether it is a number.
        gathers: bool,
    },
    /// Computes norms of parameters and their gradients.
    LayerNorms,
    /// Changes the parameters of a group.
    Change(usize),
    /// Writes a cell.
    Assign,
}

/// One run of one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Its list.
    pub phase: Phase,
    /// The kernel's number.
    pub kernel: usize,
    /// The op with its attributes and the type that it makes.
    pub label: String,
    /// What it does to the state, where no op says it.
    #[serde(default)]
    pub work: Option<Work>,
    /// The buffers, in the order of the kernel's bindings.
    pub bindings: Vec<Binding>,
    /// What the bindings hold, in the same order.
    #[serde(default)]
    pub holds: Vec<Held>,
    /// The numbers of the images that its bindings are copied to, for those that are read so.
    #[serde(default)]
    pub images: Vec<Option<usize>>,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
    /// Floating-point operations, a function counted as one.
    pub operations: u64,
    /// The node of the recording that leads it: the root of what was fused, or the last of pointwise ops; none
    /// in the update.
    pub node: Option<NodeId>,
    /// All nodes that it computes, ascending.
    pub nodes: Vec<NodeId>,
    /// For a backward dispatch: the forward node whose gradient it helps to compute.
    pub origin: Option<NodeId>,
    /// For a matrix product: the form of its kernel, and what that was chosen by.
    #[serde(default)]
    pub chosen: Option<Chosen>,
    /// The source line that recorded it.
    pub location: String,
    /// The scopes that it was recorded in.
    pub scope: String,
}

/// What a binding holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Held {
    /// A tensor of the recording, densely.
    Tensor(TensorId),
    /// Sums of runs of elements, which the sum of this node adds up.
    Partial(NodeId),
    /// What only the kernels of one op use.
    Scratch,
    /// A part of the state, or of what is computed from it: the kind of its buffer says what.
    State,
}

/// A range of a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The buffer's number.
    pub buffer: usize,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Where a readable tensor lies, densely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The range.
    pub binding: Binding,
    /// The extent of every axis.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl Dispatch {
    /// Whether it runs in a step that only adds up gradients.
    #[must_use]
    pub fn gathers(&self) -> bool {
        matches!(self.work, None | Some(Work::Accumulate | Work::Assign | Work::Norm { gathers: true }))
    }

    /// The group whose numbers it reads.
    #[must_use]
    pub const fn group(&self) -> usize {
        match self.work {
            Some(Work::Change(group)) => group,
            _ => 0,
        }
    }
}

impl Plan {
    /// The dispatches of one list, in order.
    pub fn list(&self, phase: Phase) -> impl Iterator<Item = &Dispatch> {
        self.dispatches.iter().filter(move |dispatch| dispatch.phase == phase)
    }

    /// The bytes of all buffers for which `wanted` holds.
    pub fn bytes(&self, wanted: impl Fn(&BufferKind) -> bool) -> u64 {
        let of = self.buffers.iter().filter(|buffer| wanted(&buffer.kind)).map(|buffer| buffer.bytes);
        of.fold(0, u64::saturating_add)
    }

    /// The bytes of all images.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.images.iter().map(Image::bytes).fold(0, u64::saturating_add)
    }

    /// The bytes of all buffers and images.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.bytes(|_| true).saturating_add(self.image_bytes())
    }

    /// Bytes that a dispatch reads and writes, each binding counted once; of data that a batch is gathered from, those of
    /// the batch.
    #[must_use]
    pub fn moved_bytes(&self, dispatch: &Dispatch) -> u64 {
        if dispatch.phase == Phase::Batch {
            return dispatch.bindings.last().map_or(0, |batch| batch.bytes.saturating_mul(2));
        }
        dispatch.bindings.iter().map(|binding| binding.bytes).fold(0, u64::saturating_add)
    }

    /// Why neighbouring ops run as kernels of their own, line by line.
    #[must_use]
    pub fn explain(&self) -> String {
        let line =
            |apart: &Apart| format!("{}\n  is apart from {}:\n  {}\n", apart.consumer, apart.producer, apart.reason);
        self.apart.iter().map(line).collect()
    }

    /// Where a tensor can be read after a step, if it can.
    #[must_use]
    pub fn stored(&self, tensor: TensorId) -> Option<&Stored> {
        let place = self.readable.binary_search_by_key(&tensor, |(id, _)| *id).ok()?;
        Some(&self.readable[place].1)
    }
}
