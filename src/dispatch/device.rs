use super::Failure;
use super::gpu::{Choice, Found, Gpu, find};
use crate::base::{Error, ErrorKind, Result};
use crate::plan::Profile;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where steps run: a GPU, or the host. Cloning gives another handle to the same device.
#[derive(Clone)]
pub struct Device {
    pub(super) inner: Inner,
    profile: Arc<Profile>,
}

#[derive(Clone, Debug)]
pub(super) enum Inner {
    Cpu,
    Gpu(Arc<Gpu>),
}

impl fmt::Display for Device {
    /// The [name](Self::name).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.name()).finish()
    }
}

/// What is known of a device before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number among all devices of the machine, best first; 0 is the host.
    pub position: usize,
    /// The adapter's name.
    pub name: String,
    /// `cpu`, `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub backend: &'static str,
    /// The kind of device, in words.
    pub description: String,
    /// The driver's name and version.
    pub driver: String,
    /// Whether shaders run on the CPU.
    pub is_software: bool,
    /// What plans for it may use.
    pub profile: Profile,
    /// Optional capabilities, such as `SUBGROUP`.
    pub features: Vec<String>,
}

impl DeviceInfo {
    /// Whether [`Device::named`] means such a device by this name.
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        let (wanted, is_host) = (name.to_lowercase(), self.position == 0);
        match wanted.as_str() {
            "cpu" => is_host,
            "gpu" => !is_host,
            "vulkan" | "metal" | "dx12" | "gl" => self.backend == wanted,
            part => !is_host && self.name.to_lowercase().contains(part),
        }
    }
}

impl Device {
    /// The host itself: every op by its reference, in single precision.
    #[must_use]
    pub fn cpu() -> Self {
        Self { inner: Inner::Cpu, profile: Arc::new(Profile::host()) }
    }

    async fn open(found: Found) -> Result<Self> {
        let profile = Arc::new(found.profile()?);
        Ok(Self { inner: Inner::Gpu(Arc::new(Gpu::open(found).await?)), profile })
    }

    /// The same device, for which plans are made by another profile: with tighter limits, with other kernels, or
    /// with kernels chosen by measurement.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] when the profile allows more than the device does, or is for the host and the device
    /// is none, or the other way round.
    pub fn with_profile(&self, profile: Profile) -> Result<Self> {
        profile.within(&self.own_profile()?)?;
        Ok(Self { inner: self.inner.clone(), profile: Arc::new(profile) })
    }

    /// The profile of the device itself, whatever is in use.
    fn own_profile(&self) -> Result<Profile> {
        match &self.inner {
            Inner::Cpu => Ok(Profile::host()),
            Inner::Gpu(gpu) => gpu.found.profile(),
        }
    }

    /// The same adapter as a new device, as after a loss: with the same profile, limit of time
    /// ([`set_watchdog`](Self::set_watchdog)) and folder of compiled kernels. Steps and states stay on the old one; see
    /// [`Step::recover`](crate::Step::recover). The host is always the same.
    ///
    /// # Errors
    /// When the adapter is there no longer, or cannot be opened.
    pub async fn reopen_async(&self) -> Result<Self> {
        let inner = match &self.inner {
            Inner::Cpu => Inner::Cpu,
            Inner::Gpu(gpu) => Inner::Gpu(Arc::new(gpu.reopen().await?)),
        };
        Ok(Self { inner, profile: Arc::clone(&self.profile) })
    }

    /// As [`reopen_async`](Self::reopen_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn reopen(&self) -> Result<Self> {
        pollster::block_on(self.reopen_async())
    }

    /// The device that the environment variable `RETROGRAD_DEVICE` names (see [`Device::named`]), or
    /// else the best: a discrete GPU, an integrated one, any other real one, the host; software that
    /// emulates a GPU is only taken when asked for.
    ///
    /// # Errors
    /// When the variable names no device, or the device cannot be opened.
    pub async fn best_async() -> Result<Self> {
        if let Ok(name) = std::env::var("RETROGRAD_DEVICE")
            && !name.is_empty()
        {
            return Self::named_async(&name).await;
        }
        match find(&Choice::Any).await.into_iter().find(|found| !found.is_software()) {
            Some(found) => Self::open(found).await,
            None => Ok(Self::cpu()),
        }
    }

    /// The device of this name: `cpu`, `gpu` (the best adapter), `vulkan`, `metal`, `dx12`, `gl`, or
    /// part of an adapter's name.
    ///
    /// # Errors
    /// When there is none, listing those that there are.
    pub async fn named_async(name: &str) -> Result<Self> {
        let wanted = name.to_lowercase();
        let choice = match wanted.as_str() {
            "cpu" => return Ok(Self::cpu()),
            "gpu" => Choice::Any,
            "vulkan" => Choice::Backend("vulkan"),
            "metal" => Choice::Backend("metal"),
            "dx12" => Choice::Backend("dx12"),
            "gl" => Choice::Backend("gl"),
            #[cfg(feature = "noop")]
            "noop" => Choice::Backend("noop"),
            _ => Choice::Name(wanted),
        };
        if let Some(found) = find(&choice).await.into_iter().next() {
            Self::open(found).await
        } else {
            let list: Vec<String> =
                Self::list_async().await.iter().map(|info| format!("{} ({})", info.name, info.backend)).collect();
            let message = format!(
                "there is no device `{name}`. Here are: {}. Name one of cpu, gpu, vulkan, metal, dx12, gl, or part of an adapter's name",
                list.join(", ")
            );
            Err(Error::new(ErrorKind::Device, message))
        }
    }

    /// All devices, the host first.
    pub async fn list_async() -> Vec<DeviceInfo> {
        // An adapter whose profile a bad override spoils is reported when it is opened.
        let adapters = find(&Choice::Any).await;
        let known = adapters.iter().enumerate().filter_map(|(place, found)| info(found, place + 1).ok());
        [host()].into_iter().chain(known).collect()
    }

    /// Opens a device of [`list`](Self::list): also the second of two with the same name.
    ///
    /// # Errors
    /// When it is there no more, or cannot be opened.
    pub async fn listed_async(listed: &DeviceInfo) -> Result<Self> {
        if listed.position == 0 {
            return Ok(Self::cpu());
        }
        let found = find(&Choice::Any).await.into_iter().nth(listed.position - 1);
        let found = found.filter(|found| found.info.name == listed.name && found.backend() == listed.backend);
        let gone = || {
            let message = format!("{} is no longer where it was: list the devices anew", listed.description);
            Error::new(ErrorKind::Device, message)
        };
        Self::open(found.ok_or_else(gone)?).await
    }

    /// As [`best_async`](Self::best_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn best() -> Result<Self> {
        pollster::block_on(Self::best_async())
    }

    /// As [`named_async`](Self::named_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn named(name: &str) -> Result<Self> {
        pollster::block_on(Self::named_async(name))
    }

    /// As [`list_async`](Self::list_async), blocking.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn list() -> Vec<DeviceInfo> {
        pollster::block_on(Self::list_async())
    }

    /// As [`listed_async`](Self::listed_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn listed(listed: &DeviceInfo) -> Result<Self> {
        pollster::block_on(Self::listed_async(listed))
    }

    /// The device in words: name, backend and kind.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.inner {
            Inner::Cpu => host().description,
            Inner::Gpu(gpu) => gpu.found.describe(),
        }
    }

    /// The driver's name and version; empty for the host.
    #[must_use]
    pub fn driver(&self) -> String {
        match &self.inner {
            Inner::Cpu => String::new(),
            Inner::Gpu(gpu) => gpu.found.driver(),
        }
    }

    /// Keeps what the driver compiles in a folder, and takes it from there the next time: a second start is faster on
    /// drivers without a cache of their own. Call it before compiling steps. Returns whether the driver has such a
    /// cache; wgpu knows one on Vulkan.
    ///
    /// A file that was cut or damaged is not used, nor one of another adapter or driver. Drivers trust the rest: the
    /// folder must be one that only trusted programs write to.
    ///
    /// # Errors
    /// When the folder cannot be made, or the device has another one already.
    pub fn keep_pipelines(&self, folder: impl AsRef<std::path::Path>) -> Result<bool> {
        match &self.inner {
            Inner::Cpu => Ok(false),
            Inner::Gpu(gpu) => gpu.keep_pipelines(folder.as_ref()),
        }
    }

    /// Bytes that are allocated on the device now, all of its states and steps together; none where the backend does not count
    /// them: on Vulkan and DX12 it does.
    #[must_use]
    pub fn allocated_bytes(&self) -> Option<u64> {
        match &self.inner {
            Inner::Cpu => None,
            Inner::Gpu(gpu) => {
                let _turn = gpu.turn();
                gpu.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
            }
        }
    }

    /// Whether this is the host.
    #[must_use]
    pub const fn is_cpu(&self) -> bool {
        matches!(self.inner, Inner::Cpu)
    }

    /// What plans for the device may use.
    #[must_use]
    pub fn profile(&self) -> Profile {
        (*self.profile).clone()
    }

    /// Blocks until everything submitted is done.
    ///
    /// # Errors
    /// When the device was lost or reported an error.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<()> {
        match &self.inner {
            Inner::Cpu => Ok(()),
            Inner::Gpu(gpu) => gpu.wait().and_then(|()| gpu.check_all()),
        }
    }

    /// How long the device may take for what was submitted: 600 s where nothing is said. A device that has not answered for
    /// so long is given up: it counts as lost, and every later use is an error at once. After 10 s a warning tells of the
    /// wait (through the `log` crate). In a browser, which watches over its devices itself, and on the host it changes
    /// nothing.
    pub fn set_watchdog(&self, limit: Duration) {
        if let Inner::Gpu(gpu) = &self.inner {
            gpu.set_watchdog(limit);
        }
    }

    /// Ends the device, as a driver crash would: every later use is an error. For tests of recovery; on the host nothing happens,
    /// as it cannot be lost.
    pub fn destroy(&self) {
        if let Inner::Gpu(gpu) = &self.inner {
            gpu.lose("it was destroyed by the program");
        }
    }

    /// Lets the device fail once, at the point of this number, from 0, among those that the failure can strike from now on.
    /// For tests of what a program does then; on the host nothing fails.
    pub fn fail_at(&self, failure: Failure, number: u32) {
        if let Inner::Gpu(gpu) = &self.inner {
            gpu.failures.arm(failure, number);
        }
    }

    /// Takes back what [`fail_at`](Self::fail_at) asked for. Returns whether it has struck, and how many points were passed
    /// that it could strike, that one included.
    #[must_use]
    pub fn has_failed(&self) -> (bool, u32) {
        match &self.inner {
            Inner::Cpu => (false, 0),
            Inner::Gpu(gpu) => gpu.failures.disarm(),
        }
    }
}

/// What is known of an adapter at this place of the list.
fn info(found: &Found, position: usize) -> Result<DeviceInfo> {
    Ok(DeviceInfo {
        position,
        name: found.info.name.clone(),
        backend: found.backend(),
        description: found.describe(),
        driver: found.driver(),
        is_software: found.is_software(),
        profile: found.profile()?,
        features: found.adapter.features().iter_names().map(|(name, _)| name.to_owned()).collect(),
    })
}

fn host() -> DeviceInfo {
    DeviceInfo {
        position: 0,
        name: "CPU".into(),
        backend: "cpu",
        description: format!("CPU ({}, native)", std::env::consts::ARCH),
        driver: String::new(),
        is_software: false,
        profile: Profile::host(),
        features: Vec::new(),
    }
}
