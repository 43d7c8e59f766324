//! From groups to kernels: WGSL with its bindings.

mod bindings;
mod block;
mod contract;
mod form;
mod fused;
mod gather;
mod image;
mod kernel;
mod lanes;
mod norm;
mod operand;
mod pointwise;
mod product;
mod reduce;
mod tile;
mod tiles;
mod update;
mod vector;

pub use bindings::{Place, Usage};
pub use form::{Chooser, Chosen, Form, Forms, Sizes};
use fused::Fours;
pub use gather::{Gather, gather};
pub use image::{ROWS as IMAGE_ROWS, WIDTH as IMAGE_WIDTH, worthwhile as image_loads};
pub use norm::{
    MOST_SUMS as NORM_MOST_SUMS, Purpose as NormPurpose, is_short as norm_is_short, root as norm_root,
    squares as norm_squares,
};
pub use tile::Tile;
pub use update::{Operand, Role, UpdateKernel, Updated, Variable, update};

use super::group::{Group, Grouped};
use super::program::{Program, Programs};
use super::resolve::{Access, Resolved};
use crate::record::{KernelClass, Lowering, NodeId, TensorId};

/// A kernel with what it is bound to.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// The name in plans.
    pub name: String,
    /// The shader.
    pub wgsl: String,
    /// What every binding is bound to, and how it is used.
    pub bindings: Vec<(Place, Usage)>,
    /// Whether it reads the step's uniform block.
    pub uses_step: bool,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
}

/// The kernels of a group, run one after another.
#[derive(Clone, Debug, Default)]
pub struct Kernels {
    /// The kernels.
    pub kernels: Vec<Emitted>,
    /// Elements of the memory that only they use.
    pub scratch: Vec<usize>,
    /// Elements of the partial sums that they store, in the order of the group's totals.
    pub partials: Vec<usize>,
    /// For a matrix product: what was chosen for it.
    pub chosen: Option<Chosen>,
}

/// What emitting needs to know.
pub struct Context<'a> {
    /// The resolved recording.
    pub resolved: &'a Resolved,
    /// All groups.
    pub grouped: &'a Grouped,
    /// Which kernels suit the device.
    pub class: KernelClass,
    /// From how many loads on a tensor is read as an image.
    pub images: usize,
    /// Which forms of kernels there are for it.
    pub chooser: Chooser<'a>,
    /// For a sum that another group has begun: how many partial sums there are.
    pub partials: &'a dyn Fn(NodeId) -> Option<usize>,
}

impl Context<'_> {
    /// How many elements the tensor behind an access has.
    fn whole(&self, access: &Access) -> usize {
        self.resolved.recording.tensor_type(access.tensor).shape.elements()
    }

    /// The programs of a group's bodies.
    #[must_use]
    pub fn bodies(&self, group: &Group) -> Vec<Program> {
        let programs = Programs::new(self.resolved, self.grouped, group);
        group.bodies.iter().map(|body| programs.body(body)).collect()
    }

    /// The program of a reduction's prologue, if it has one.
    #[must_use]
    pub fn prologue(&self, group: &Group, input: TensorId) -> Option<Program> {
        let programs = Programs::new(self.resolved, self.grouped, group);
        (!group.prologue.is_empty()).then(|| programs.prologue(input))
    }

    /// What a kernel for a group is called: its ops, the root first.
    #[must_use]
    pub fn name(&self, group: &Group, root: &str) -> String {
        let nodes = group.bodies.iter().flat_map(|body| &body.nodes);
        let names: Vec<&str> = nodes.map(|node| self.resolved.recording.nodes[node.index()].name()).collect();
        let mut parts: Vec<String> = Vec::new();
        if !root.is_empty() {
            parts.push(root.to_owned());
        }
        parts.extend(names.iter().take(3).map(|&name| name.to_owned()));
        if names.len() > 3 {
            parts.push(format!("{} more", names.len() - 3));
        }
        parts.join(" + ")
    }
}

/// The kernels of a group.
///
/// # Errors
/// When a shader file lacks what is to be replaced, a defect of this library or of an op.
pub fn emit(context: &Context<'_>, group: &Group) -> Result<Kernels, String> {
    let Some(root) = group.root else { return Ok(pointwise::emit(context, group)) };
    match &context.resolved.lowerings[&root] {
        Lowering::Reduce(reduce) => reduce::emit(context, group, root, reduce),
        Lowering::Contract(_) => contract::emit(context, group, root),
        Lowering::Kernel(kernel) => kernel::emit(context, group, root, kernel),
        Lowering::View(_) | Lowering::Pointwise(_) => Err("a view or a pointwise op is no root".into()),
    }
}
