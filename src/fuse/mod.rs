//! From a recording to kernels: what is computed twice is merged, what nobody needs is dropped, views become
//! layouts, neighbours run as one kernel, and groups of them become WGSL.

mod emit;
mod group;
mod program;
mod recompute;
mod resolve;
mod simplify;
mod split;

pub use emit::{
    Chooser, Chosen, Context, Emitted, Form, Forms, Gather, IMAGE_ROWS, IMAGE_WIDTH, Kernels, NORM_MOST_SUMS,
    NormPurpose, Operand as UpdateOperand, Place, Role, Sizes, Tile, UpdateKernel, Updated, Usage, Variable, emit,
    gather, image_loads, norm_is_short, norm_root, norm_squares, update,
};
pub use group::{Body, Group, Grouped, Refusal, RideAlong, group};
pub use program::{Load, Operand, Program, Programs, Step, Store};
pub use recompute::recompute;
pub use resolve::{Access, Gradient, Matrix, Resolved, defect, resolve};
pub use simplify::{Simplified, simplify};
pub use split::{Split, Window, split};
