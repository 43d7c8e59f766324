//! The whole step as plain data: kernels, buffers, and one ordered list of dispatches.

mod alone;
mod arena;
mod builder;
mod data;
mod native;
mod print;
mod profile;
mod slots;
mod update;

pub use arena::{Arena, ArenaEntry};
pub use builder::{Planned, Request, Resident, build};
pub use data::{Apart, Binding, Buffer, BufferKind, Dispatch, Held, Image, KernelText, Phase, Plan, Stored, Work};
pub use native::{HOST_BLOCK, Native, NativeRoot};
pub use profile::Profile;
pub use update::{HostUpdate, StepScalars, Update, UpdateRule, Updates};
