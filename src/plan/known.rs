//! Profiles by name, for plans on machines that the device is not part of.

use super::Profile;
use crate::base::{Error, ErrorKind, Result};
use crate::fuse::image_loads;
use crate::record::KernelClass;

const MIB: u64 = 1 << 20;

impl Profile {
    /// The names that [`named`](Self::named) knows.
    pub const NAMES: [&'static str; 6] = ["webgpu", "chromium", "metal", "dx12", "lavapipe", "gl"];

    /// The limits of a kind of device, so that a step can be planned for it on any machine:
    ///
    /// | name | device | storage buffers | a binding | workgroup memory | invocations |
    /// |---|---|---|---|---|---|
    /// | `webgpu` | every WebGPU device | 8 | 128 MiB | 16 KiB | 256 |
    /// | `chromium` | WebGPU in Chromium, as on its software adapter | 10 | 1 GiB | 32 KiB | 256 |
    /// | `metal` | Macs, and iPhones and iPads since the A11 | 28 | 1 GiB | 32 KiB | 1,024 |
    /// | `dx12` | Direct3D 12 of resource binding tier 2 | 16 | 2 GiB - 4 | 32 KiB | 1,024 |
    /// | `lavapipe` | Mesa's software Vulkan, with 256-bit vectors | 32 | 128 MiB | 32 KiB | 1,024 |
    /// | `gl` | Mesa's software GL | 16 | 128 MiB | 32 KiB | 1,024 |
    ///
    /// All have 65,535 workgroups in each direction. Real devices often allow more; what a particular one allows is in
    /// [`DeviceInfo::profile`](crate::DeviceInfo::profile), and as a profile can be serialized, it can be planned for
    /// elsewhere.
    ///
    /// Sources: the `WebGPU` specification, section 3.6.2 (defaults); Chromium 156's software adapter, asked; wgpu-hal
    /// 30, `metal/adapter.rs` (31 argument slots, of which it keeps two for itself and our steps take one for their
    /// uniform block; a buffer of 1 GiB is what it assumes where macOS does not say; Metal feature set tables for the
    /// rest) and `dx12/adapter.rs` (64 unordered access views, halved for two stages and again for textures); Mesa
    /// 22.3, asked through wgpu.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for another name, listing these.
    pub fn named(name: &str) -> Result<Self> {
        let webgpu = Self::webgpu_default();
        Ok(match name {
            "webgpu" => webgpu,
            "chromium" => Self {
                name: "WebGPU in Chromium".into(),
                binding_bytes: 1024 * MIB,
                buffer_bytes: 1024 * MIB,
                storage_buffers: 10,
                workgroup_bytes: 32 << 10,
                ..webgpu
            },
            "metal" => Self {
                name: "Metal".into(),
                binding_bytes: 1024 * MIB,
                buffer_bytes: 1024 * MIB,
                storage_buffers: 28,
                invocations: 1024,
                workgroup_bytes: 32 << 10,
                ..webgpu
            },
            "dx12" => Self {
                name: "Direct3D 12".into(),
                binding_bytes: 2048 * MIB - 4,
                buffer_bytes: 2048 * MIB - 1,
                storage_buffers: 16,
                invocations: 1024,
                workgroup_bytes: 32 << 10,
                ..webgpu
            },
            "lavapipe" => Self {
                name: "lavapipe (software Vulkan)".into(),
                storage_buffers: 32,
                eight_lanes: true,
                ..Self::mesa(KernelClass::Subgroup)
            },
            "gl" => Self { name: "llvmpipe (software GL)".into(), ..Self::mesa(KernelClass::Cpu) },
            other => {
                let message = format!("there is no profile `{other}`: they are named `{}`", Self::NAMES.join("`, `"));
                return Err(Error::new(ErrorKind::Argument, message));
            }
        })
    }

    /// All profiles that have names, in the order of [`NAMES`](Self::NAMES).
    #[must_use]
    pub fn known() -> Vec<Self> {
        Self::NAMES.iter().filter_map(|name| Self::named(name).ok()).collect()
    }

    /// What Mesa's software adapters have in common.
    fn mesa(class: KernelClass) -> Self {
        Self {
            buffer_bytes: 2048 * MIB - 1,
            storage_buffers: 16,
            invocations: 1024,
            workgroup_bytes: 32 << 10,
            class,
            image_loads: image_loads(class),
            ..Self::webgpu_default()
        }
    }
}
