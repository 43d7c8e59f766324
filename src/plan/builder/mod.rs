//! From a simplified recording to a plan: groups of ops become dispatches over memory without places yet, and
//! what no one else owns shares slots.

mod assign;
mod batches;
mod dispatches;
mod finish;
mod layers;
mod norm;
mod order;
mod update;

pub use batches::Resident;

use super::{Arena, Binding, Buffer, BufferKind, Dispatch, KernelText, Native, Plan, Profile, Updates};
use crate::base::{DType, Error, ErrorKind, Result, TensorType};
use crate::fuse::{self, Gather, Gradient, Grouped, Place, Resolved};
use crate::record::{Leaf, NodeId, NodeKind, Recording, TensorId};
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
    /// Gradients of parameters.
    pub gradients: &'a [Gradient],
    /// New values of cells by the number of their parameter.
    pub assigned: &'a [(usize, TensorId)],
    /// Tensors that must be readable after a step.
    pub kept: &'a [TensorId],
    /// Inputs whose data stay on the device, if there are any.
    pub resident: Option<&'a Resident>,
    /// How parameters change, if they do.
    pub updates: Option<&'a Updates>,
    /// For every parameter of the store, whether its running average is read in its place; empty where none is.
    pub averaged: &'a [bool],
    /// Whether neighbouring ops may run as one kernel. Without, every op is a dispatch of its own: slow, and for
    /// comparison.
    pub fuses: bool,
}

/// A plan, and for the host what its dispatches do.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// For plans of the host: the work of every dispatch before the update.
    pub natives: Vec<Native>,
    /// What the dispatches that gather a batch copy.
    pub gathers: Vec<Gather>,
    /// The recording with the copies that were added at its end: what the plan's nodes and tensors are.
    pub recording: Recording,
}

/// Memory that a tensor lies in, before slots are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Memory {
    /// A range of a buffer of the plan.
    Fixed { buffer: usize, offset: u64, bytes: u64 },
    /// An intermediate buffer.
    Virtual(usize),
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
    resolved: &'a Resolved,
    grouped: &'a Grouped,
    kernels: Vec<KernelText>,
    kernel_numbers: HashMap<String, usize>,
    buffers: Vec<Buffer>,
    places: HashMap<Place, Memory>,
    intermediates: Vec<Intermediate>,
    drafts: Vec<Draft>,
    natives: Vec<Native>,
    gathers: Vec<Gather>,
    /// How many partial sums there are of a total.
    partials: BTreeMap<NodeId, usize>,
    /// What the tables hold.
    tables: Vec<Vec<u32>>,
    gradient_norm: Option<Binding>,
    left_out: Option<Binding>,
    layer_norms: Option<(Binding, Vec<String>)>,
}

/// Plans a step.
///
/// # Errors
/// [`ErrorKind::Limit`] when a tensor or dispatch exceeds the profile, naming it and its source line.
pub fn build(request: &Request<'_>) -> Result<Planned> {
    let class = request.profile.class;
    let resolved = fuse::resolve(request.recording, request.kept, request.gradients, request.assigned, class)?;
    let grouped = fuse::group(&resolved, request.profile.storage_buffers, request.fuses)?;
    let mut builder = Builder {
        request,
        resolved: &resolved,
        grouped: &grouped,
        kernels: Vec::new(),
        kernel_numbers: HashMap::new(),
        buffers: Vec::new(),
        places: HashMap::new(),
        intermediates: Vec::new(),
        drafts: Vec::new(),
        natives: Vec::new(),
        gathers: Vec::new(),
        partials: BTreeMap::new(),
        tables: Vec::new(),
        gradient_norm: None,
        left_out: None,
        layer_norms: None,
    };
    builder.leaves()?;
    builder.gradients();
    builder.batches()?;
    for group in &grouped.groups {
        builder.group(group)?;
    }
    builder.update()?;
    builder.assign()?;
    builder.finish()
}

impl Builder<'_> {
    /// Gives inputs, constants and parameters their memory.
    fn leaves(&mut self) -> Result<()> {
        for (index, node) in self.request.recording.nodes.iter().enumerate() {
            let NodeKind::Leaf(leaf) = &node.kind else { continue };
            let id = NodeId(index as u32);
            let bytes = node.outputs[0].bytes() as u64;
            let memory = match leaf {
                Leaf::Input { .. } => {
                    Memory::Fixed { buffer: self.buffer(BufferKind::Input(id), bytes), offset: 0, bytes }
                }
                Leaf::Constant(_) => {
                    Memory::Fixed { buffer: self.buffer(BufferKind::Constant(id), bytes), offset: 0, bytes }
                }
                Leaf::Parameter(info) => {
                    let entry = &self.request.arena.entries[info.index];
                    let averaged = self.request.averaged.get(info.index).is_some_and(|averaged| *averaged);
                    let buffer = if averaged {
                        self.state_segment(Updates::AVERAGE, entry.segment)
                    } else {
                        self.parameter_segment(entry.segment)
                    };
                    Memory::Fixed { buffer, offset: entry.offset, bytes: entry.bytes }
                }
            };
            // What exceeds a binding is bound in windows.
            let limit = self.request.profile.buffer_bytes;
            self.within(bytes, limit, || format!("{} {} at {}", node.label(), node.outputs[0], node.place.location))?;
            self.places.insert(Place::Tensor(TensorId { node: id, output: 0 }), memory);
        }
        for (&window, &(leaf, first)) in &self.resolved.windows {
            let Memory::Fixed { buffer, offset, .. } = self.places[&Place::Tensor(leaf)] else { continue };
            let bytes = self.type_of(window).bytes() as u64;
            let memory = Memory::Fixed { buffer, offset: offset + (first * DType::BYTES) as u64, bytes };
            self.places.insert(Place::Tensor(window), memory);
        }
        Ok(())
    }

    /// Gives gradients their places in the arena.
    fn gradients(&mut self) {
        for &Gradient { parameter, start, tensor } in &self.resolved.gradients {
            let entry = self.request.arena.entries[parameter].clone();
            let bytes = self.request.arena.segments[entry.segment];
            let buffer = self.buffer(BufferKind::Gradients(entry.segment), bytes);
            let offset = entry.offset + (start * DType::BYTES) as u64;
            let memory = Memory::Fixed { buffer, offset, bytes: self.type_of(tensor).bytes() as u64 };
            self.places.insert(Place::Tensor(tensor), memory);
        }
    }

    /// The number of the buffer of this kind.
    fn buffer(&mut self, kind: BufferKind, bytes: u64) -> usize {
        self.buffers.iter().position(|buffer| buffer.kind == kind).unwrap_or_else(|| {
            self.buffers.push(Buffer { kind, bytes });
            self.buffers.len() - 1
        })
    }

    /// The memory of a tensor, which is made where it is new.
    fn tensor(&mut self, tensor: TensorId) -> Result<Memory> {
        let place = Place::Tensor(tensor);
        if let Some(&memory) = self.places.get(&place) {
            return Ok(memory);
        }
        let node = self.resolved.node_of(tensor);
        let tensor_type = &node.outputs[tensor.output as usize];
        let kept = self.resolved.kept.values().any(|&kept| kept == tensor);
        let what = || format!("{} {tensor_type} at {}", node.label(), node.place.location);
        let memory = self.intermediate(tensor_type.bytes() as u64, kept, what)?;
        self.places.insert(place, memory);
        Ok(memory)
    }

    fn intermediate(&mut self, bytes: u64, kept: bool, what: impl Fn() -> String) -> Result<Memory> {
        self.fits(bytes, what)?;
        self.intermediates.push(Intermediate { bytes, kept });
        Ok(Memory::Virtual(self.intermediates.len() - 1))
    }

    fn fits(&self, bytes: u64, what: impl Fn() -> String) -> Result<()> {
        let profile = self.request.profile;
        self.within(bytes, profile.binding_bytes.min(profile.buffer_bytes), what)
    }

    fn within(&self, bytes: u64, limit: u64, what: impl Fn() -> String) -> Result<()> {
        if bytes <= limit {
            return Ok(());
        }
        let message = format!(
            "{} takes {bytes} bytes and {} allows at most {limit} in one: use a smaller batch or split the tensor",
            what(),
            self.request.profile.name
        );
        Err(Error::new(ErrorKind::Limit, message))
    }

    fn type_of(&self, tensor: TensorId) -> &TensorType {
        self.resolved.recording.tensor_type(tensor)
    }
}
