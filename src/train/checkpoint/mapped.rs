//! Files as memory.
#![allow(
    unsafe_code,
    reason = "a map of a file is memory that others may change; the one block in this file says why that is no harm here"
)]

use super::file_error;
use crate::base::{Error, Result};
#[cfg(unix)]
use memmap2::Advice;
use memmap2::Mmap;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

/// The bytes of a file: mapped, so that the system reads what is looked at, once; or in memory, where it cannot be mapped.
#[derive(Debug)]
pub(super) enum Mapped {
    Map(Mmap),
    Memory(Vec<u8>),
}

impl Mapped {
    /// Opens a file. It must not be cut short meanwhile: see the block below.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |error: std::io::Error| -> Error {
            file_error(format!("{} could not be read: {error}", path.display())).caused_by(error)
        };
        let opened = File::open(path).map_err(fail)?;
        // A pipe or a device has no length to map.
        if !opened.metadata().map_err(fail)?.is_file() {
            return std::fs::read(path).map(Self::Memory).map_err(fail);
        }
        // SAFETY: a map is sound as long as nobody changes the file under it. This library never changes one: it writes a new
        // file and lets that take the place, so the old one stays as it is for whoever has it mapped. What another program
        // writes into the file meanwhile is its offence against everyone who reads it; the bytes are only ever read, as numbers
        // of any value and as text that is checked before it is used as such, and nothing is kept of them once the map is gone.
        match unsafe { Mmap::map(&opened) } {
            Ok(map) => {
                // Whatever is made of the advice, the bytes are the same.
                #[cfg(unix)]
                let _ = map.advise(Advice::Sequential);
                Ok(Self::Map(map))
            }
            Err(_) => std::fs::read(path).map(Self::Memory).map_err(fail),
        }
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}
