//! How many texts passed, by target and tool.

use crate::texts::Texts;
use crate::tools::Refused;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How many failures are told in full.
const TOLD: usize = 5;

/// What one tool says of the texts in one language.
#[derive(Debug)]
pub struct Row {
    target: &'static str,
    tool: &'static str,
    ran: bool,
    passed: usize,
    failed: Vec<(String, String)>,
    not_needed: BTreeMap<&'static str, usize>,
}

impl Row {
    pub fn new(target: &'static str, tool: &'static str) -> Self {
        Self { target, tool, ran: true, passed: 0, failed: Vec::new(), not_needed: BTreeMap::new() }
    }

    pub fn not_run(&mut self) {
        self.ran = false;
    }

    /// Counts a text, which a tool found in `file` if it reads files.
    pub fn count(&mut self, file: Option<&Path>, name: &str, refused: Option<&String>) {
        let Some(reason) = refused else {
            self.passed += 1;
            return;
        };
        let file = file.and_then(Path::file_name).map(|file| format!("{}, ", file.to_string_lossy()));
        self.failed.push((file.unwrap_or_default() + name, reason.clone()));
    }

    pub fn count_all<'n>(&mut self, files: &[PathBuf], refused: &Refused, name: impl Fn(&PathBuf) -> &'n str) {
        for file in files {
            self.count(Some(file), name(file), refused.get(file));
        }
    }

    pub fn not_needed(&mut self, reason: &'static str) {
        *self.not_needed.entry(reason).or_default() += 1;
    }
}

/// All rows.
#[derive(Debug)]
pub struct Table {
    head: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    pub fn new(texts: &Texts, kinds: usize) -> Self {
        let mut head = format!(
            "{} different shader texts, of {kinds} kinds that differ in more than their numbers, from\n",
            texts.origins.len()
        );
        for (source, [plans, kernels]) in &texts.sources {
            let _ = writeln!(head, "  {kernels:6} kernels of {plans:5} plans: {source}");
        }
        Self { head, rows: Vec::new(), notes: Vec::new() }
    }

    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn text(&self) -> String {
        let mut text = format!(
            "\n{}\n{:24} {:18} {:>7} {:>7} {:>11}\n",
            self.head, "target", "tool", "passed", "failed", "not needed"
        );
        for row in &self.rows {
            let _ = write!(text, "{:24} {:18} ", row.target, row.tool);
            let _ = if row.ran {
                let not_needed: usize = row.not_needed.values().sum();
                writeln!(text, "{:7} {:7} {not_needed:11}", row.passed, row.failed.len())
            } else {
                writeln!(text, "NOT RUN: it is not here")
            };
        }
        for row in &self.rows {
            for (reason, count) in &row.not_needed {
                let _ = writeln!(text, "{}: {count} not needed: {reason}", row.target);
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    /// Writes it past the capture of test output, which hides what passing tests print.
    pub fn print(&self) {
        let _ = writeln!(std::io::stderr(), "{}", self.text());
    }

    /// What failed, naming the first texts of each tool.
    pub fn failures(&self) -> Option<String> {
        let mut told = String::new();
        for row in self.rows.iter().filter(|row| !row.failed.is_empty()) {
            let _ = writeln!(
                told,
                "\n{} of {} fail as {} by {}:",
                row.failed.len(),
                row.passed + row.failed.len(),
                row.target,
                row.tool
            );
            for (name, reason) in row.failed.iter().take(TOLD) {
                let _ = writeln!(told, "--- {name}\n{}", reason.trim_end());
            }
        }
        (!told.is_empty()).then_some(told)
    }
}
