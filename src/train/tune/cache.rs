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

impl Entry {
    /// Whether its times are some.
    fn is_possible(&self) -> bool {
        self.microseconds > 0.0 && self.portable_microseconds.is_none_or(|time| time > 0.0)
    }
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
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&bytes, path),
            Err(error) if error.kind() == Io::NotFound => Self::default(),
            Err(error) => Self::ignored(path, &error.to_string()),
        }
    }

    /// What these bytes of a file hold.
    fn parse(bytes: &[u8], path: &Path) -> Self {
        let file: serde_json::Value = match serde_json::from_str(&String::from_utf8_lossy(bytes)) {
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
                match serde_json::from_value::<Entry>(entry.clone()) {
                    Ok(entry) if !entry.is_possible() => {
                        cache.skip(path, &format!("{class} of {adapter}"), "nothing takes no time, or less");
                    }
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
        let text = self.text().map_err(|error| fail(error.into()))?;
        if self.foreign && path.is_file() {
            // Somebody may want it: nothing that this did not write is lost.
            let mut aside = path.as_os_str().to_owned();
            aside.push(".old");
            std::fs::rename(path, aside).map_err(fail)?;
        }
        write_whole(path, text.as_bytes()).map_err(fail)
    }

    /// What the file will hold.
    fn text(&self) -> serde_json::Result<String> {
        let file = File { version: VERSION, adapters: &self.adapters };
        Ok(serde_json::to_string_pretty(&file)? + "\n")
    }
}

/// What must hold of every file, whatever its bytes are: it is read, and what was read of it is written so that it is read again.
#[cfg(any(test, fuzzing))]
pub fn check(bytes: &[u8]) {
    let read = Cache::parse(bytes, Path::new("tuning.json"));
    assert!(read.damaged || !read.foreign, "what is no cache was taken for a whole one");
    let text = read.text().expect("entries are plain data");
    let again = Cache::parse(text.as_bytes(), Path::new("tuning.json"));
    assert!(!again.damaged, "what was written is damaged: {text}");
    let flat = |cache: &Cache| -> Vec<(String, String, Entry)> {
        let adapters = cache.adapters.iter();
        adapters
            .flat_map(|(adapter, classes)| {
                classes.iter().map(move |(class, entry)| (adapter.clone(), class.clone(), entry.clone()))
            })
            .collect()
    };
    // Times may differ by the last digit that text keeps.
    let same = |a: f64, b: f64| (a - b).abs() <= a.abs() * 1e-15;
    let (read, again) = (flat(&read), flat(&again));
    assert_eq!(read.len(), again.len(), "{text}");
    for ((adapter, class, entry), (adapter_again, class_again, entry_again)) in read.into_iter().zip(again) {
        assert_eq!((&adapter, &class), (&adapter_again, &class_again));
        assert_eq!((entry.form, &entry.kernels), (entry_again.form, &entry_again.kernels));
        assert!(entry.microseconds > 0.0 && entry.portable_microseconds.is_none_or(|time| time > 0.0), "{entry:?}");
        assert!(same(entry.microseconds, entry_again.microseconds), "{entry:?} {entry_again:?}");
        let times = entry.portable_microseconds.zip(entry_again.portable_microseconds);
        assert!(times.map_or(entry == entry_again || entry.portable_microseconds.is_none(), |(a, b)| same(a, b)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::{damaged, damages};

    const VALID: &str = include_str!("../../../tests/common/tuning.json");

    fn read(text: &str) -> Cache {
        Cache::parse(text.as_bytes(), Path::new("tuning.json"))
    }

    #[test]
    fn what_is_written_is_read() {
        let cache = read(VALID);
        let entry =
            Entry { form: Form::Vector, kernels: "6f1c".into(), microseconds: 0.5, portable_microseconds: Some(0.1) };
        assert_eq!(cache.get("another | \"2\"", "matmul gpu nn 1x1x64x64"), Some(&entry));
        assert_eq!(cache.adapters["one | 1.0"].len(), 2);
        let again = read(&cache.text().unwrap());
        assert_eq!((again.adapters, again.damaged), (cache.adapters, false));
    }

    #[test]
    fn times_that_nothing_takes_are_damage() {
        for time in ["0.0", "-12.5", "-1e300"] {
            let cache = read(&VALID.replace("12.5", time));
            assert!(cache.damaged && !cache.foreign && cache.get("one | 1.0", "matmul gpu nt 1x64x64x64").is_none());
            assert!(cache.adapters.len() == 1, "{time}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn damaged_files_are_read_or_left_out(damages in damages()) {
            check(&damaged(VALID.as_bytes(), &damages));
        }
    }
}
