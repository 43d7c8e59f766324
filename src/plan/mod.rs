//! The whole step as plain data: kernels, buffers, and one ordered list of dispatches.

mod alone;
mod arena;
mod builder;
mod choices;
mod data;
mod known;
mod native;
mod non_finite;
mod numbers;
mod occupants;
mod print;
mod profile;
mod scan;
mod scans;
mod slots;
mod update;

pub use arena::{Arena, ArenaEntry};
pub use builder::{Planned, Request, Resident, build};
pub use choices::{Choices, ChosenForm};
pub use data::{Apart, Binding, Buffer, BufferKind, Dispatch, Held, Image, KernelText, Phase, Plan, Stored, Work};
pub use native::{HOST_BLOCK, Native, NativeRoot};
pub use non_finite::NonFinite;
pub use numbers::NumberCheck;
pub use occupants::Occupant;
pub use profile::Profile;
pub use scan::{Scan, Span, When};
pub use update::{HostUpdate, StepScalars, Update, UpdateRule, Updates};
