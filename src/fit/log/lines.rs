//! A file that grows by whole lines.

use super::super::history::file;
use crate::base::{Result, write_whole};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// A file of lines.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// A file that holds these of its lines and can be added to. What a killed process left of a line at its end is none.
    pub fn keeping(path: &Path, mut keep: impl FnMut(usize, &str) -> Result<bool>) -> Result<Self> {
        let before = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(file("be read", path, error)),
        };
        let text = String::from_utf8_lossy(&before);
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut kept = String::new();
        for (number, line) in whole.lines().enumerate() {
            if keep(number, line)? {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        // In one piece: nothing is lost where it cannot be written.
        write_whole(path, kept.as_bytes()).map_err(|error| file("be written", path, error))?;
        let opened = OpenOptions::new().append(true).open(path).map_err(|error| file("be written", path, error))?;
        Ok(Self { path: path.to_owned(), file: opened })
    }

    /// An empty file.
    pub fn new(path: &Path) -> Result<Self> {
        write_whole(path, &[]).map_err(|error| file("be written", path, error))?;
        let opened = OpenOptions::new().append(true).open(path).map_err(|error| file("be written", path, error))?;
        Ok(Self { path: path.to_owned(), file: opened })
    }

    /// Adds lines, each ended, by one call of the operating system.
    pub fn add(&mut self, lines: &str) -> Result<()> {
        let before = self.file.metadata().map(|metadata| metadata.len());
        let written = self.file.write_all(lines.as_bytes());
        if written.is_err()
            && let Ok(before) = before
        {
            // A part of a line is none; that it stays where even this fails is told by the error.
            let _ = self.file.set_len(before);
        }
        written.map_err(|error| file("be written", &self.path, error))
    }
}
