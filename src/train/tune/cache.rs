//! The file of what was measured.

use crate::base::{Error, ErrorKind, Result, write_whole};
use crate::fuse::Form;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind as Io;
use std::path::Path;

/// The format of the file.
const VERSION: u64 = 1;

/// What was found for products of one class on one adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The fastest form.
    pub form: Form,
    /// Which texts of kernels were measured: others may have another order.
    pub kernels: String,
    /// How long the fastest took.
    pub microseconds: f64,
    /// How long the one took that is used without measuring, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portable_microseconds: Option<f64>,
}

#[derive(Serialize)]
struct File<'a> {
    version: u64,
    adapters: &'a BTreeMap<String, BTreeMap<String, Entry>>,
}

/// Entries by adapter with its driver, and class of sizes.
#[derive(Debug, Default)]
pub struct Cache {
    adapters: BTreeMap<String, BTreeMap<String, Entry>>,
    damaged: bool,
    /// Whether the file is no cache of this library and version at all.
    foreign: bool,
}

impl Cache {
    /// What the file holds. Nothing, where there is none; without the entries that cannot be read, where it is
    /// damaged.
    pub fn load(path: &Path) -> Self {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == Io::NotFound => return Self::default(),
            Err(error) => return Self::ignored(path, &error.to_string()),
        };
        let file: serde_json::Value = match serde_json::from_str(&text) {
            Ok(file) => file,
            Err(error) => return Self::ignored(path, &error.to_string()),
        };
        if file["version"].as_u64() != Some(VERSION) {
            return Self::ignored(path, &format!("its version is {}, and this library's {VERSION}", file["version"]));
        }
        let Some(adapters) = file["adapters"].as_object() else {
            return Self::ignored(path, "it lists no adapters");
        };
        let mut cache = Self::default();
        for (adapter, classes) in adapters {
            let Some(classes) = classes.as_object() else {
                cache.skip(path, adapter, "it is no object");
                continue;
            };
            for (class, entry) in classes {
                match serde_json::from_value(entry.clone()) {
                    Ok(entry) => cache.set(adapter, class, entry),
                    Err(error) => cache.skip(path, &format!("{class} of {adapter}"), &error.to_string()),
                }
            }
        }
        cache
    }

    fn ignored(path: &Path, reason: &str) -> Self {
        log::warn!(
            "the tuning cache {} is ignored, and will be moved aside and written anew: {reason}",
            path.display()
        );
        Self { damaged: true, foreign: true, ..Self::default() }
    }

    fn skip(&mut self, path: &Path, entry: &str, reason: &str) {
        log::warn!("in the tuning cache {}, {entry} is ignored: {reason}", path.display());
        self.damaged = true;
    }

    /// Whether something in the file could not be read.
    pub const fn is_damaged(&self) -> bool {
        self.damaged
    }

    pub fn get(&self, adapter: &str, class: &str) -> Option<&Entry> {
        self.adapters.get(adapter)?.get(class)
    }

    pub fn set(&mut self, adapter: &str, class: &str, entry: Entry) {
        self.adapters.entry(adapter.to_owned()).or_default().insert(class.to_owned(), entry);
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let fail = |error: std::io::Error| {
            let message = format!("the tuning cache {} could not be written: {error}", path.display());
            Error::new(ErrorKind::File, message).caused_by(error)
        };
        let file = File { version: VERSION, adapters: &self.adapters };
        let text = serde_json::to_string_pretty(&file).map_err(|error| fail(error.into()))?;
        if self.foreign && path.is_file() {
            // Somebody may want it: nothing that this did not write is lost.
            let mut aside = path.as_os_str().to_owned();
            aside.push(".old");
            std::fs::rename(path, aside).map_err(fail)?;
        }
        write_whole(path, (text + "\n").as_bytes()).map_err(fail)
    }
}
