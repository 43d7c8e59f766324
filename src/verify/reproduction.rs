//! A dispatch in a file, with what it reads and what it should write: all that another machine needs to see it diverge.

use super::judge::{Reading, Want};
use super::outcome::{Outcome, judge};
use super::{Figures, Verdict};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::dispatch::{Alone, Device};
use crate::fuse::Usage;
use crate::plan::{BufferKind, Plan, StepScalars};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One dispatch, with its kernel, what it reads, and what it should write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reproduction {
    /// The version of the library that wrote it.
    pub version: String,
    /// The device that it diverged on.
    pub device: String,
    /// The driver.
    pub driver: String,
    /// The dispatch as a plan of its own.
    pub plan: Plan,
    /// What its buffers hold before it runs, as 32-bit words.
    pub buffers: Vec<Vec<u32>>,
    /// What the step's uniform block says, of every group.
    pub scalars: Vec<StepScalars>,
    /// What it should write.
    wants: Vec<Wanted>,
    /// Whether all that it writes is written anew.
    poisoned: bool,
}

/// A part of a binding and what it should hold, floats as bits: JSON has neither NaN nor infinity.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Wanted {
    binding: usize,
    start: usize,
    end: usize,
    what: String,
    shape: Vec<usize>,
    reading: String,
    values: Vec<u64>,
    allowed: Vec<u64>,
}

const READINGS: [(Reading, &str); 8] = [
    (Reading::Elements(DType::F32), "f32"),
    (Reading::Elements(DType::I32), "i32"),
    (Reading::Elements(DType::U32), "u32"),
    (Reading::Total, "total"),
    (Reading::Scaled, "scaled"),
    (Reading::Direction, "direction"),
    (Reading::Sign, "sign"),
    (Reading::Padding, "padding"),
];

/// What a reproduction did on a device.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// How far what was written lies from what should have been.
    pub figures: Figures,
    /// What is said of it.
    pub verdict: Verdict,
    /// What is wrong, if anything is.
    pub finding: String,
}

impl Reproduction {
    pub(super) fn new(
        device: &Device,
        before: &Alone,
        scalars: &[StepScalars],
        wants: &[Want],
        poisoned: bool,
    ) -> Self {
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect();
        let name = |reading| READINGS.iter().find(|(known, _)| *known == reading).map_or("", |(_, name)| name);
        let wanted = |want: &Want| Wanted {
            binding: want.binding,
            start: want.words.start,
            end: want.words.end,
            what: want.what.clone(),
            shape: want.shape.clone(),
            reading: name(want.reading).to_owned(),
            values: bits(&want.values),
            allowed: bits(&want.allowed),
        };
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: device.name(),
            driver: device.driver(),
            plan: before.plan.clone(),
            buffers: before.buffers.clone(),
            scalars: scalars.to_vec(),
            wants: wants.iter().map(wanted).collect(),
            poisoned,
        }
    }

    /// Writes it to a file, as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |reason: String| Error::new(ErrorKind::File, format!("writing {}: {reason}", path.display()));
        let text = serde_json::to_vec(self).map_err(|error| failed(error.to_string()))?;
        std::fs::write(path, text).map_err(|error| failed(error.to_string()))
    }

    /// Reads it from a file.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |reason: String| Error::new(ErrorKind::File, format!("reading {}: {reason}", path.display()));
        let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    /// Reads it from the bytes of a file, as [`load`](Self::load) does.
    ///
    /// # Errors
    /// When they hold something else.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).map_err(|reason| Error::new(ErrorKind::File, format!("reading a reproduction: {reason}")))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let own: Self = serde_json::from_slice(bytes).map_err(|error| format!("it is no reproduction: {error}"))?;
        own.sound()?;
        Ok(own)
    }

    /// Whether what it says of sizes fits together.
    fn sound(&self) -> Result<(), String> {
        let size = DType::BYTES as u64;
        let [dispatch] = &self.plan.dispatches[..] else { return Err("it holds not one dispatch".into()) };
        let [kernel] = &self.plan.kernels[..] else { return Err("it holds not one kernel".into()) };
        let buffers = self.plan.buffers.iter().zip(&self.buffers);
        let fits = |(buffer, words): (&crate::plan::Buffer, &Vec<u32>)| buffer.bytes == words.len() as u64 * size;
        let own = |(place, binding): (usize, &crate::plan::Binding)| {
            binding.buffer == place && binding.offset == 0 && binding.bytes == self.plan.buffers[place].bytes
        };
        let inside = |want: &Wanted| {
            let words = self.buffers.get(want.binding).map_or(0, Vec::len);
            want.start <= want.end && want.end <= words && want.values.len() == want.allowed.len()
        };
        // Rows of numbers of which one is left over stand for nothing.
        let read = |want: &Wanted| match READINGS.iter().find(|(_, name)| *name == want.reading) {
            Some((Reading::Scaled, _)) => (want.end - want.start).is_multiple_of(2),
            Some(_) => true,
            None => false,
        };
        if self.wants.is_empty() {
            return Err("it says nothing of what should be written".into());
        }
        let usages = kernel.usages.iter().zip(&self.plan.buffers).enumerate();
        let imaged = |(place, (usage, buffer)): (usize, (&Usage, &crate::plan::Buffer))| {
            let image = dispatch.images.get(place).copied().flatten();
            let image = image.map(|image| self.plan.images.get(image));
            match (usage, image) {
                (Usage::Image(dtype), Some(Some(image))) => image.dtype == *dtype && image.bytes() >= buffer.bytes,
                (Usage::Image(_), _) => false,
                (_, image) => image.is_none(),
            }
        };
        let sound = self.plan.buffers.len() == self.buffers.len()
            && self.plan.buffers.len() == dispatch.bindings.len()
            && kernel.usages.len() == dispatch.bindings.len()
            && self.plan.buffers.iter().enumerate().all(|(place, buffer)| buffer.kind == BufferKind::Slot(place))
            && buffers.into_iter().all(fits)
            && usages.into_iter().all(imaged)
            && dispatch.bindings.iter().enumerate().all(own)
            && dispatch.kernel == 0
            && dispatch.group() < self.scalars.len()
            && self.plan.groups == self.scalars.len()
            && self.wants.iter().all(|want| inside(want) && read(want));
        if sound { Ok(()) } else { Err("what it says of its memory does not fit together".into()) }
    }

    /// Runs it on a device.
    ///
    /// # Errors
    /// When the device refuses the kernel, or is the host, which has none.
    pub async fn run_async(&self, device: &Device) -> Result<Replayed> {
        let before = Alone { plan: self.plan.clone(), buffers: self.buffers.clone() };
        let mut after = Alone { plan: self.plan.clone(), buffers: self.buffers.clone() };
        after.run(device, &self.scalars).await?;
        let floats = |bits: &[u64]| bits.iter().copied().map(f64::from_bits).collect();
        let reading = |name: &str| READINGS.iter().find(|(_, known)| *known == name).map(|(reading, _)| *reading);
        let want = |wanted: &Wanted| {
            Some(Want {
                binding: wanted.binding,
                words: wanted.start..wanted.end,
                what: wanted.what.clone(),
                shape: wanted.shape.clone(),
                reading: reading(&wanted.reading)?,
                values: floats(&wanted.values),
                allowed: floats(&wanted.allowed),
            })
        };
        let wants: Vec<Want> = self.wants.iter().filter_map(want).collect();
        let Outcome { figures, verdict, finding } = judge(&before, &after, &wants, self.poisoned);
        Ok(Replayed { figures, verdict, finding })
    }

    /// As [`run_async`](Self::run_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&self, device: &Device) -> Result<Replayed> {
        pollster::block_on(self.run_async(device))
    }
}
