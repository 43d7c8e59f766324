//! What a check of numbers has found, on its way to the host.

use super::gpu::GpuRead;
use crate::base::{Error, ErrorKind, Result};
use crate::plan::{NonFinite, NumberCheck, Plan};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is known of the findings of a step, wherever they were read.
#[derive(Debug, Default)]
pub struct Known {
    /// How often what was found has been told and is to be forgotten: by the next run, where it was not before.
    pub told: AtomicU32,
    /// All checks up to this one have found nothing.
    pub finite: AtomicU32,
}

/// What checks have found.
pub struct NumbersRead {
    pub(super) words: Words,
    pub(super) check: Arc<NumberCheck>,
    pub(super) plan: Arc<Plan>,
    pub(super) asked: Asked,
}

/// When it was asked what checks have found, and where to note what comes of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The number of the last check.
    pub last: u32,
    /// How often what was found has been forgotten.
    pub forgotten: u32,
    /// Where to note it.
    pub known: Arc<Known>,
}

pub(super) enum Words {
    Ready(Vec<u32>),
    Gpu(GpuRead),
}

impl std::fmt::Debug for NumbersRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NumbersRead")
    }
}

impl NumbersRead {
    /// What was found first, if anything was.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn finish(self) -> Result<Option<NonFinite>> {
        let words = match self.words {
            Words::Ready(words) => words,
            Words::Gpu(read) => bytemuck::pod_collect_to_vec(&read.finish().await?),
        };
        Ok(self.asked.note(self.check.first(&self.plan, &words)))
    }

    /// An error where something was found.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] then; when the device is lost.
    pub async fn refuse(self) -> Result<()> {
        refuse(self.finish().await?)
    }

    /// As [`finish`](Self::finish), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(self) -> Result<Option<NonFinite>> {
        let words = match self.words {
            Words::Ready(words) => words,
            Words::Gpu(read) => bytemuck::pod_collect_to_vec(&read.wait()?),
        };
        Ok(self.asked.note(self.check.first(&self.plan, &words)))
    }
}

impl Asked {
    /// Notes the answer.
    fn note(&self, first: Option<NonFinite>) -> Option<NonFinite> {
        match &first {
            Some(_) => self.known.told.fetch_max(self.forgotten + 1, Ordering::AcqRel),
            None => self.known.finite.fetch_max(self.last, Ordering::AcqRel),
        };
        first
    }
}

/// An error where something was found.
pub(super) fn refuse(found: Option<NonFinite>) -> Result<()> {
    found.map_or(Ok(()), |found| Err(Error::new(ErrorKind::NonFinite, found.to_string())))
}
