//! The whole step as plain data: kernels, buffers, and one ordered list of dispatches.

mod arena;
mod builder;
mod data;
mod print;
mod profile;
mod slots;
mod update;

pub use arena::{Arena, ArenaEntry};
pub use builder::{Request, build};
pub use data::{Binding, Buffer, BufferKind, Dispatch, KernelText, Phase, Plan, Stored};
pub use profile::Profile;
pub use update::{HostUpdate, StepScalars, Update, UpdateRule};
