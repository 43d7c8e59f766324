//! Recording: the op trait, the graph that ops are recorded in, handles, parameters.

mod case;
mod domain;
mod graph;
mod host;
mod library;
mod lowering;
mod node;
mod op;
mod params;
mod tensor;

pub use case::{Case, CaseInput, Draw};
pub use domain::{Domain, DomainAxis, Follows, Parts};
pub use graph::{Graph, LocationGuard, ScopeGuard};
pub use host::{HostBlock, HostFunction, HostKernel, ScalarFunction};
pub use library::{Library, libraries};
pub use lowering::{
    Argument, Contraction, Dispatched, Factor, Kernel, KernelClass, LowerContext, Lowering, Operand, Pointwise, Reduce,
    Reduction, Text, grid, lanes,
};
pub use node::{IndexCheck, Leaf, Node, NodeId, NodeKind, Place, Recording, TensorId};
pub use op::{Attributes, Cotangents, Eval, EvalContext, Op, Reference, Vjp};
pub use params::{Init, Param, ParamInfo, Params};
pub use tensor::{Feed, FeedSource, Tensor};
