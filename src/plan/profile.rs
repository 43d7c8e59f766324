use crate::record::KernelClass;
use serde::{Deserialize, Serialize};

/// What a plan may use: the limits of a device, or those that every device keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The name in messages.
    pub name: String,
    /// Bytes of one storage binding.
    pub binding_bytes: u64,
    /// Bytes of one buffer.
    pub buffer_bytes: u64,
    /// Storage buffers that one dispatch may bind.
    pub storage_buffers: usize,
    /// Workgroups in one dimension.
    pub workgroups: u32,
    /// Invocations of one workgroup.
    pub invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// What kind of kernels suit the device.
    pub class: KernelClass,
}

impl Profile {
    /// The limits that every WebGPU device keeps.
    #[must_use]
    pub fn webgpu_default() -> Self {
        Self {
            name: "WebGPU defaults".into(),
            binding_bytes: 128 << 20,
            buffer_bytes: 256 << 20,
            storage_buffers: 8,
            workgroups: 65_535,
            invocations: 256,
            workgroup_bytes: 16 << 10,
            class: KernelClass::Gpu,
        }
    }

    /// The host: no limits but its memory.
    #[must_use]
    pub fn host() -> Self {
        Self {
            name: "CPU".into(),
            binding_bytes: u64::from(u32::MAX),
            buffer_bytes: u64::from(u32::MAX),
            storage_buffers: 32,
            class: KernelClass::Host,
            ..Self::webgpu_default()
        }
    }
}
