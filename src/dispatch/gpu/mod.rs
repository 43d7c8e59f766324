//! The only folder that names wgpu.

mod adapter;
mod device;
mod images;
mod kept;
mod numbers;
mod pace;
mod pipelines;
mod program;
mod transfer;
mod troubles;
mod turns;
mod waiting;

pub(super) use adapter::{Choice, Found, find};
pub(super) use device::{Gpu, GpuBuffer, GpuSegments};
#[cfg(fuzzing)]
pub use kept::check as check_kept;
use pace::Pace;
pub(super) use program::{GpuProgram, GpuTimes};
pub(super) use transfer::{GpuRange, GpuRead};
pub(super) use turns::InTurn;
