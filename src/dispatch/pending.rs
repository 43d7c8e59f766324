use super::gpu::GpuRead;
use crate::base::{DType, HostData, HostTensor, Result, Shape};

/// A tensor on its way to the host. Steps may run meanwhile: what arrives is the value at the time
/// of asking.
pub struct PendingRead(Pending);

enum Pending {
    Ready(HostTensor),
    Gpu { read: GpuRead, shape: Shape, dtype: DType },
}

impl PendingRead {
    pub(super) const fn ready(tensor: HostTensor) -> Self {
        Self(Pending::Ready(tensor))
    }

    pub(super) const fn from_gpu(read: GpuRead, shape: Shape, dtype: DType) -> Self {
        Self(Pending::Gpu { read, shape, dtype })
    }

    /// The tensor, once it is there.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn finish(self) -> Result<HostTensor> {
        match self.0 {
            Pending::Ready(tensor) => Ok(tensor),
            Pending::Gpu { read, shape, dtype } => tensor(shape, dtype, &read.finish().await?),
        }
    }

    /// The tensor; blocks until it is there.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(self) -> Result<HostTensor> {
        match self.0 {
            Pending::Ready(tensor) => Ok(tensor),
            Pending::Gpu { read, shape, dtype } => tensor(shape, dtype, &read.wait()?),
        }
    }
}

fn tensor(shape: Shape, dtype: DType, bytes: &[u8]) -> Result<HostTensor> {
    HostTensor::new(shape, HostData::from_bytes(dtype, bytes))
}
