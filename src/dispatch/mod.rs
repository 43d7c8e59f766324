//! Executors: the GPU through wgpu, and the host.

mod alone;
mod averages;
mod counts;
mod cpu;
mod device;
mod failure;
mod gpu;
mod numbers;
mod order;
mod pending;
mod program;
mod snapshot;
mod state;
mod times;
mod trace;

pub use alone::Alone;
pub use counts::Counts;
pub use device::{Device, DeviceInfo};
pub use failure::Failure;
#[cfg(fuzzing)]
pub use gpu::check_kept;
pub use numbers::{Asked, Known, NumbersRead};
pub use order::RowOrder;
pub use pending::PendingRead;
pub use program::{PendingTimes, Program, ProgramRequest};
pub(crate) use snapshot::PendingSnapshot;
pub use snapshot::Snapshot;
pub use state::State;
pub(crate) use state::StateTurn;
pub use times::{Ceilings, DispatchTime, StepTimes};
