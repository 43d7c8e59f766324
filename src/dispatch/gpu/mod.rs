//! The only folder that names wgpu.

mod adapter;
mod device;
mod pace;
mod program;
mod transfer;

pub(super) use adapter::{Choice, Found, find};
pub(super) use device::{Gpu, GpuBuffer};
use pace::Pace;
pub(super) use program::GpuProgram;
pub(super) use transfer::GpuRead;
