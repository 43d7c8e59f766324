use crate::base::{Error, ErrorKind, Result};
use crate::fuse::{Form, Forms, IMAGE_ROWS, image_loads};
use crate::plan::Profile;
use crate::record::KernelClass;

/// Which adapters a caller accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dispatch) enum Choice {
    /// Any.
    Any,
    /// Those of one backend: `vulkan`, `metal`, `dx12` or `gl`.
    Backend(&'static str),
    /// Those whose name holds this text, in lower case.
    Name(String),
}

/// An adapter that was found.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct Found {
    pub adapter: wgpu::Adapter,
    pub info: wgpu::AdapterInfo,
}

impl Found {
    /// The name, backend and driver in one line.
    pub fn describe(&self) -> String {
        let kind = match self.info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete GPU",
            wgpu::DeviceType::IntegratedGpu => "integrated GPU",
            wgpu::DeviceType::VirtualGpu => "virtual GPU",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "unknown kind",
        };
        format!("{} ({}, {kind})", self.info.name, self.backend())
    }

    /// The driver's name and version.
    pub fn driver(&self) -> String {
        format!("{} {}", self.info.driver, self.info.driver_info).trim().to_owned()
    }

    pub fn backend(&self) -> &'static str {
        match self.info.backend {
            wgpu::Backend::Vulkan => "vulkan",
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            wgpu::Backend::Gl => "gl",
            wgpu::Backend::BrowserWebGpu => "webgpu",
            wgpu::Backend::Noop => "noop",
        }
    }

    /// The same adapter, found anew: after a driver has failed, what was found before may be of no use.
    pub async fn again(&self) -> Result<Self> {
        let same = |found: &Self| {
            let (one, other) = (&found.info, &self.info);
            (&one.name, one.vendor, one.device) == (&other.name, other.vendor, other.device)
        };
        let found = find(&Choice::Backend(self.backend())).await.into_iter().find(same);
        found.ok_or_else(|| {
            let message = format!("{} is there no longer: open another device", self.describe());
            Error::new(ErrorKind::Device, message)
        })
    }

    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Whether eight invocations, never more or less, can read each other's values.
    pub fn has_eight_lanes(&self) -> bool {
        self.adapter.features().contains(wgpu::Features::SUBGROUP)
            && (self.info.subgroup_min_size, self.info.subgroup_max_size) == (8, 8)
    }

    /// Real GPUs first, software last; among equals the backend that reports most.
    fn rank(&self) -> (u8, u8) {
        let kind = match self.info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        (kind, u8::from(self.info.backend == wgpu::Backend::Gl))
    }

    fn matches(&self, choice: &Choice) -> bool {
        match choice {
            Choice::Any => true,
            Choice::Backend(backend) => self.backend() == *backend,
            Choice::Name(part) => self.info.name.to_lowercase().contains(part),
        }
    }

    /// From how many loads on images are faster than buffers: as measured with Mesa's software adapters. Others are not
    /// known to be alike, such as that of DX12, which also wants copies to begin at multiples of 512 bytes; and old GL
    /// has only small images.
    fn image_loads(&self, class: KernelClass) -> usize {
        let is_measured = matches!(self.info.backend, wgpu::Backend::Vulkan | wgpu::Backend::Gl)
            && self.adapter.limits().max_texture_dimension_2d >= IMAGE_ROWS;
        image_loads(if is_measured { class } else { KernelClass::Gpu })
    }

    /// What plans for this adapter may use.
    pub fn profile(&self) -> Result<Profile> {
        let limits = self.adapter.limits();
        let setting = std::env::var("RETROGRAD_KERNELS").unwrap_or_default();
        let (name, form) = setting.split_once('/').map_or((setting.as_str(), None), |(name, form)| (name, Some(form)));
        let refuse = |message: String| Err(Error::new(ErrorKind::Argument, message));
        let class = match name {
            "" if self.is_software() && self.has_eight_lanes() => KernelClass::Subgroup,
            "" if self.is_software() => KernelClass::Cpu,
            "" | "gpu" => KernelClass::Gpu,
            "cpu" => KernelClass::Cpu,
            "subgroup" if self.has_eight_lanes() => KernelClass::Subgroup,
            "subgroup" => {
                return refuse(format!(
                    "RETROGRAD_KERNELS is `subgroup`, and the subgroups of {} are not of eight invocations",
                    self.describe()
                ));
            }
            other => {
                return refuse(format!(
                    "RETROGRAD_KERNELS is `{other}`; it may be `gpu`, `cpu` or `subgroup`, with a form behind it as in `gpu/64x64`"
                ));
            }
        };
        let forms = Form::of_class(class);
        let forced = form.and_then(|name| forms.iter().copied().find(|form| form.name() == name));
        if let (Some(form), None) = (form, forced) {
            let names: Vec<&str> = forms.iter().map(|form| form.name()).collect();
            let known = names.join("`, `");
            return refuse(format!(
                "RETROGRAD_KERNELS is `{setting}`, and `{form}` is no form of these kernels: they are `{known}`"
            ));
        }
        Ok(Profile {
            name: self.describe(),
            binding_bytes: limits.max_storage_buffer_binding_size,
            buffer_bytes: limits.max_buffer_size,
            storage_buffers: limits.max_storage_buffers_per_shader_stage as usize,
            workgroups: limits.max_compute_workgroups_per_dimension,
            invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            eight_lanes: self.has_eight_lanes(),
            class,
            image_loads: self.image_loads(class),
            forms: Forms { forced, ..Forms::default() },
        })
    }
}

/// The adapters that match, best first.
pub(in crate::dispatch) async fn find(choice: &Choice) -> Vec<Found> {
    let backends = match choice {
        Choice::Backend("vulkan") => wgpu::Backends::VULKAN,
        Choice::Backend("metal") => wgpu::Backends::METAL,
        Choice::Backend("dx12") => wgpu::Backends::DX12,
        Choice::Backend("gl") => wgpu::Backends::GL,
        Choice::Backend("noop") => wgpu::Backends::NOOP,
        _ => wgpu::Backends::all(),
    };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = wgpu::InstanceFlags::empty();
    descriptor.backend_options.noop.enable = *choice == Choice::Backend("noop");
    let instance = wgpu::Instance::new(descriptor);
    let adapters = instance.enumerate_adapters(backends).await;
    let mut found: Vec<Found> = adapters
        .into_iter()
        .map(|adapter| Found { info: adapter.get_info(), adapter })
        .filter(|found| found.adapter.limits().max_compute_invocations_per_workgroup > 0 && found.matches(choice))
        .collect();
    found.sort_by_key(Found::rank);
    found
}
