//! Executors: the GPU through wgpu, and the host.

mod alone;
mod averages;
mod cpu;
mod device;
mod failure;
mod gpu;
mod order;
mod pending;
mod program;
mod snapshot;
mod state;
mod times;

pub use alone::Alone;
pub use device::{Device, DeviceInfo};
pub use failure::Failure;
pub use order::RowOrder;
pub use pending::PendingRead;
pub use program::{PendingTimes, Program, ProgramRequest};
pub(crate) use snapshot::PendingSnapshot;
pub use snapshot::Snapshot;
pub(crate) use state::StateTurn;
pub use state::{Counts, State};
pub use times::{Ceilings, DispatchTime, StepTimes};
