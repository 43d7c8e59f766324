//! Executors: the GPU through wgpu, and the host.

mod alone;
mod averages;
mod cpu;
mod device;
mod gpu;
mod order;
mod pending;
mod program;
mod state;
mod times;

pub use alone::Alone;
pub use device::{Device, DeviceInfo};
pub use order::RowOrder;
pub use pending::PendingRead;
pub use program::{Program, ProgramRequest};
pub use state::{Counts, State};
pub use times::{Ceilings, DispatchTime, StepTimes};
