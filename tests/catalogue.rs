//! Every text that tells a user of a mistake, provoked and pinned, by the kind of error. The guide includes the snapshots.
//!
//! `INSTA_UPDATE=always cargo test --test catalogue` writes `docs/src/catalogue` anew.

#[path = "catalogue/checkpoint.rs"]
mod checkpoint;
#[path = "catalogue/data.rs"]
mod data;
#[cfg(feature = "data")]
#[path = "catalogue/data_files.rs"]
mod data_files;
#[path = "catalogue/faults.rs"]
mod faults;
#[path = "catalogue/files.rs"]
mod files;
#[path = "catalogue/fit.rs"]
mod fit;
#[path = "catalogue/recording.rs"]
mod recording;
#[path = "catalogue/running.rs"]
mod running;
#[path = "catalogue/see.rs"]
mod see;
#[path = "catalogue/training.rs"]
mod training;

use retrograd::{Error, ErrorKind};
use std::cell::OnceCell;
use std::fmt::Write as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// Texts of one kind, in the order in which they were provoked.
struct Catalogue {
    kind: ErrorKind,
    texts: String,
    count: usize,
    /// For files of this test alone: another run of it may go on beside it.
    folder: OnceCell<TempDir>,
}

impl Catalogue {
    fn new(kind: ErrorKind) -> Self {
        Self { kind, texts: String::new(), count: 0, folder: OnceCell::new() }
    }

    /// A path for a file, of which texts show the name alone.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.get_or_init(|| tempfile::tempdir().unwrap()).path().join(name)
    }

    /// The path of a file with this in it.
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// What was done, and what was said to it.
    #[track_caller]
    fn add(&mut self, what: &str, error: &Error) {
        assert_eq!(error.kind(), self.kind, "{what}: {error}");
        self.text(what, &error.to_string());
    }

    /// As `add`, for something that has to fail.
    #[track_caller]
    fn fails<T>(&mut self, what: &str, outcome: Result<T, Error>) {
        match outcome {
            Ok(_) => panic!("{what}: it is no mistake"),
            Err(error) => self.add(what, &error),
        }
    }

    fn text(&mut self, what: &str, text: &str) {
        let folder = self.folder.get().map(|folder| folder.path().display().to_string());
        let text = settled(&folder.map_or_else(|| text.to_owned(), |folder| text.replace(&(folder + "/"), "")));
        assert!(text.len() > 10 && !text.contains("  \n"), "{what}: {text}");
        let indented = text.lines().fold(String::new(), |all, line| all + "    " + line + "\n");
        let _ = write!(self.texts, "{}{what}\n{indented}", if self.count > 0 { "\n" } else { "" });
        self.count += 1;
    }

    /// Compares all with the snapshot of this name.
    fn compare(self, name: &str) {
        println!("{} texts of {:?}", self.count, self.kind);
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/catalogue"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, self.texts.trim_end()));
    }
}

/// The text without what differs from machine to machine, or whenever a line is added above.
fn settled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("tests/catalogue/") {
        let end = start + rest[start..].find(".rs:").expect("a place has a line") + 4;
        // Line and column; a colon after them is part of the text.
        let digits = rest[end..].find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(rest.len() - end);
        let digits = rest[end..end + digits].trim_end_matches(':').len();
        out += &rest[..start];
        out += "src/main.rs:LINE:COLUMN";
        rest = &rest[end + digits..];
    }
    out += rest;
    let folder = std::env::temp_dir();
    out.replace(&format!("{}/", folder.display()), "")
        .replace(&format!("({}, native)", std::env::consts::ARCH), "(native)")
}
