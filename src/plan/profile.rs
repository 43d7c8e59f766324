use crate::base::{Error, ErrorKind, Result};
use crate::fuse::{Chooser, Forms};
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
    /// Whether eight invocations, never more or fewer, can read each other's values.
    #[serde(default)]
    pub eight_lanes: bool,
    /// What kind of kernels suit the device.
    pub class: KernelClass,
    /// From how many loads of a tensor on a kernel reads a copy of it in an image rather than its buffer. Software
    /// adapters fetch from images much faster than from buffers.
    #[serde(default = "never")]
    pub image_loads: usize,
    /// Which kernels are used for matrix products, where that was forced or measured.
    #[serde(default)]
    pub forms: Forms,
}

const fn never() -> usize {
    usize::MAX
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
            eight_lanes: false,
            class: KernelClass::Gpu,
            image_loads: never(),
            forms: Forms::default(),
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

    /// Checks that a device with the profile `limit` can run what is planned for this one.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument), which names the first figure that is larger.
    pub fn within(&self, limit: &Self) -> Result<()> {
        let refuse = |message: String| Err(Error::new(ErrorKind::Argument, message));
        if (self.class == KernelClass::Host) != (limit.class == KernelClass::Host) {
            return refuse(format!(
                "a plan for {:?} kernels cannot run on {}: begin with its own profile (`Device::profile`), and lower limits of it",
                self.class, limit.name
            ));
        }
        if self.class == KernelClass::Subgroup && !limit.eight_lanes {
            return refuse(format!("{} has no subgroups of eight invocations", limit.name));
        }
        let figures = [
            ("bytes of a binding", self.binding_bytes, limit.binding_bytes),
            ("bytes of a buffer", self.buffer_bytes, limit.buffer_bytes),
            ("storage buffers of a dispatch", self.storage_buffers as u64, limit.storage_buffers as u64),
            ("workgroups in one dimension", self.workgroups.into(), limit.workgroups.into()),
            ("invocations of a workgroup", self.invocations.into(), limit.invocations.into()),
            ("bytes of workgroup memory", self.workgroup_bytes.into(), limit.workgroup_bytes.into()),
        ];
        match figures.into_iter().find(|(_, own, most)| own > most) {
            Some((what, own, most)) => {
                refuse(format!("the profile `{}` allows {own} {what}, and {} has {most}", self.name, limit.name))
            }
            None => Ok(()),
        }
    }

    /// From how many loads on images are read; never on the host, which has none.
    pub(crate) fn image_loads(&self) -> usize {
        if self.class == KernelClass::Host { never() } else { self.image_loads }
    }

    /// What kernels for matrix products are chosen by.
    pub(crate) fn chooser(&self) -> Chooser<'_> {
        Chooser {
            class: self.class,
            forms: &self.forms,
            invocations: self.invocations,
            workgroup_bytes: self.workgroup_bytes,
        }
    }
}
