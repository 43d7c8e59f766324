//! Executors: the GPU through wgpu, and the host.

mod cpu;
mod device;
mod gpu;
mod program;
mod state;

pub use device::{Device, DeviceInfo};
pub use program::{PendingRead, Program, ProgramRequest};
pub use state::State;
