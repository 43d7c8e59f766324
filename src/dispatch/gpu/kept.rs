//! Compiled kernels that outlive the process, on drivers that let them be kept.
#![allow(
    unsafe_code,
    reason = "wgpu cannot know that a file holds what it wrote; the block at the end says why it does"
)]

use super::Gpu;
use crate::base::{Error, ErrorKind, Result, fingerprint, write_whole};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The beginning of a file, before the fingerprint of the rest.
const MAGIC: &[u8; 8] = b"rgpipe01";
const HEAD: usize = 16;

/// The driver's cache of compiled kernels, and the file that it is kept in.
#[derive(Debug)]
pub(super) struct KeptPipelines {
    pub cache: wgpu::PipelineCache,
    path: PathBuf,
    /// The fingerprint of what the file holds.
    saved: Mutex<u64>,
}

impl KeptPipelines {
    /// Opens the cache of an adapter in a folder; none, where the driver has no such cache.
    pub fn open(gpu: &Gpu, folder: &Path) -> Result<Option<Self>> {
        let has = gpu.device.features().contains(wgpu::Features::PIPELINE_CACHE);
        let Some(name) = wgpu::util::pipeline_cache_key(&gpu.found.info).filter(|_| has) else { return Ok(None) };
        std::fs::create_dir_all(folder).map_err(|error| {
            let message = format!("the folder `{}` for compiled kernels could not be made: {error}", folder.display());
            Error::new(ErrorKind::File, message).caused_by(error)
        })?;
        let path = folder.join(name);
        let data = read(&path);
        // wgpu reports the file of another adapter as an error, and the cache is then of no use: begin with an empty one.
        let open = |data: Option<&[u8]>| {
            let cache = gpu.attempt(|| "opening a cache of kernels".into(), || create(&gpu.device, data))?;
            Ok(Some(Self { cache, path: path.clone(), saved: Mutex::new(data.map_or(0, fingerprint)) }))
        };
        open(data.as_deref()).or_else(|error: Error| {
            log::warn!("{} is not used: {error}", path.display());
            open(None)
        })
    }

    /// The folder of the first call.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Refuses another folder than that of the first call.
    pub fn is_in(&self, folder: &Path) -> Result<()> {
        let own = self.folder();
        if own == folder {
            return Ok(());
        }
        let message = format!(
            "this device keeps its kernels in `{}` already: one folder serves all its steps, so `{}` is not used",
            own.display(),
            folder.display()
        );
        Err(Error::new(ErrorKind::Argument, message))
    }

    /// Writes what was compiled meanwhile, if anything. A file that cannot be written costs time at the next start
    /// and nothing else, so it is a warning.
    pub fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let own = fingerprint(&data);
        if own == *saved {
            return;
        }
        match write_whole(&self.path, &file_of(&data)) {
            Ok(()) => *saved = own,
            Err(error) => log::warn!("compiled kernels could not be kept in {}: {error}", self.path.display()),
        }
    }
}

/// What a file holds, if it is whole.
fn read(path: &Path) -> Option<Vec<u8>> {
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            log::warn!("compiled kernels could not be read from {}: {error}", path.display());
            return None;
        }
    };
    let data = contents(&file);
    if data.is_none() {
        log::warn!("{} does not hold what was written there: kernels are compiled anew", path.display());
    }
    data.map(<[u8]>::to_vec)
}

/// The file for data of the driver.
fn file_of(data: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &fingerprint(data).to_le_bytes()[..], data].concat()
}

/// The driver's data in a file that is whole.
fn contents(file: &[u8]) -> Option<&[u8]> {
    let data = file.get(HEAD..)?;
    (file.starts_with(MAGIC) && file[MAGIC.len()..HEAD] == fingerprint(data).to_le_bytes()).then_some(data)
}

/// What must hold of every file, whatever its bytes are: only what `file_of` makes is taken, and that with no bit turned.
#[cfg(any(test, fuzzing))]
pub fn check(bytes: &[u8]) {
    if let Some(data) = contents(bytes) {
        assert_eq!(file_of(data), bytes, "what is taken was written here");
    }
    let mut file = file_of(bytes);
    assert_eq!(contents(&file), Some(bytes));
    let bit = fingerprint(bytes) as usize % (file.len() * 8);
    file[bit / 8] ^= 1 << (bit % 8);
    assert_eq!(contents(&file), None, "bit {bit} was turned");
    let (last, byte) = (file.len() - 1, bit / 8);
    file[byte] ^= 1 << (bit % 8);
    file.truncate(last);
    assert_eq!(contents(&file), None, "the last byte was cut off");
}

/// A cache that begins with what a file held, or with nothing.
fn create(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("kernels"), data, fallback: true };
    // SAFETY: the data must come from `PipelineCache::get_data`. `read` returns only what carries the fingerprint that
    // `save` computed of such data, so a file that was damaged or cut is not used; wgpu checks that it is of this adapter
    // and driver. Whoever names the folder vouches that nobody else forges files in it, as the documentation of
    // `Device::keep_pipelines` says.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::{damaged, damages};

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn only_whole_files_are_taken(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), damages in damages()) {
            check(&data);
            let (whole, damaged) = (file_of(&data), damaged(&file_of(&data), &damages));
            check(&damaged);
            proptest::prop_assert_eq!(contents(&damaged).is_some(), damaged == whole);
        }
    }
}
