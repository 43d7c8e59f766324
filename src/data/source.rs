//! Bytes of files, plain or gzipped, never more of them than a head announces.

use crate::base::{Error, ErrorKind, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Deflate cannot pack better than this (RFC 1951: 258 bytes in two bits and less).
pub(super) const BEST_PACKING: u64 = 1032;

/// What is read, with the name that messages call it by.
pub(super) struct Source<'a> {
    pub name: String,
    reader: Box<dyn Read + Send + 'a>,
    /// No more bytes than these can come.
    most: u64,
    /// Memory for at most so many bytes is taken before they have come.
    reserved: u64,
}

/// What is unpacked may be far less than it could be.
const RESERVED_UNPACKED: u64 = 1 << 16;

/// The error of a file; what is wrong may begin with a place, such as `line 7: ` or `row 7: `.
pub(super) fn fault(name: &str, what: impl std::fmt::Display) -> Error {
    let what = what.to_string();
    let between = if what.starts_with("line ") || what.starts_with("row ") { ", " } else { " " };
    Error::new(ErrorKind::File, format!("{name}{between}{what}"))
}

impl Source<'static> {
    /// The bytes of a file, unpacked where its name ends in `.gz`.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| fault(&name, format!("could not be read: {error}")).caused_by(error);
        let file = File::open(path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if about.is_dir() {
            return Err(fault(&name, "is a folder, and a file was expected"));
        }
        // A pipe has no length, and ends when it ends.
        let most = if about.is_file() { about.len() } else { u64::MAX };
        let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
        Ok(Self::new(name, BufReader::with_capacity(1 << 16, file), most, packed))
    }
}

impl<'a> Source<'a> {
    /// What is read from elsewhere, of which at most so many bytes come before it is unpacked.
    pub fn new(name: String, reader: impl Read + Send + 'a, length: u64, packed: bool) -> Self {
        if packed {
            let most = length.saturating_mul(BEST_PACKING);
            return Self { name, reader: Box::new(MultiGzDecoder::new(reader)), most, reserved: RESERVED_UNPACKED };
        }
        Self { name, reader: Box::new(reader), most: length, reserved: length }
    }

    /// The same where the length is only announced.
    pub fn growing(mut self) -> Self {
        self.reserved = RESERVED_UNPACKED;
        self
    }

    fn damaged(&self, error: std::io::Error) -> Error {
        fault(&self.name, format!("is damaged or truncated: {error}")).caused_by(error)
    }

    /// The next bytes, fewer only where it ends.
    pub fn up_to(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if count as u64 > self.most.saturating_add(8) {
            return Err(fault(
                &self.name,
                format!("is truncated: {count} bytes are announced, and at most {} can come", self.most),
            ));
        }
        // Nobody reserves what a head that lies announces.
        let plausible = (count as u64).min(self.reserved) as usize;
        bytes
            .try_reserve_exact(plausible)
            .map_err(|error| fault(&self.name, format!("needs {plausible} bytes of memory: {error}")))?;
        let read = self.reader.by_ref().take(count as u64).read_to_end(&mut bytes);
        read.map_err(|error| self.damaged(error))?;
        Ok(bytes)
    }

    /// Whether nothing follows.
    pub fn is_over(&mut self) -> Result<bool> {
        Ok(self.up_to(1)?.is_empty())
    }

    pub fn into_reader(self) -> Box<dyn Read + Send + 'a> {
        self.reader
    }
}
