//! How many tests ran and passed, and those that did not run, by reason.

use crate::common::Distance;
use crate::model::Test;
use libtest_mimic::Failed;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

/// Counts, which trials on several threads add to.
#[derive(Debug, Default)]
pub struct Report {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    ops: BTreeMap<String, Op>,
    engines: BTreeMap<&'static str, (usize, Distance)>,
    narrowed: Vec<String>,
    lacking: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default)]
struct Op {
    tests: usize,
    passed: BTreeMap<&'static str, usize>,
}

impl Report {
    /// A test that the crate can say.
    pub fn ran(&self, test: &Test) {
        let mut counts = self.counts();
        counts.ops.entry(test.op()).or_default().tests += 1;
        if test.narrowed {
            counts.narrowed.push(test.name.clone());
        }
    }

    /// A test that it cannot say.
    pub fn lacks(&self, reason: String, name: String) {
        self.counts().lacking.entry(reason).or_default().push(name);
    }

    /// A test that passed on an engine.
    pub fn passed(&self, test: &Test, engine: &'static str, worst: Distance) {
        let mut counts = self.counts();
        *counts.ops.entry(test.op()).or_default().passed.entry(engine).or_default() += 1;
        let (passed, distance) = counts.engines.entry(engine).or_default();
        *passed += 1;
        *distance = distance.join(worst);
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Compares what is not supported with the list in the repository; `INSTA_UPDATE=always` writes it anew.
    pub fn compare(&self) -> Result<(), Failed> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/not_supported.md");
        let text = self.list();
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            return std::fs::write(path, text).map_err(|error| format!("{path}: {error}").into());
        }
        let known = std::fs::read_to_string(path).unwrap_or_default();
        let new = text.lines().filter(|line| !known.lines().any(|other| other == *line));
        let gone = known.lines().filter(|line| !text.lines().any(|other| other == *line));
        let changes: Vec<String> =
            gone.map(|line| format!("- {line}")).chain(new.map(|line| format!("+ {line}"))).collect();
        if known == text {
            return Ok(());
        }
        Err(format!("{path} is not what is found (INSTA_UPDATE=always writes it anew):\n{}", changes.join("\n")).into())
    }

    /// What is not supported, by reason, as a text.
    fn list(&self) -> String {
        let counts = self.counts();
        let ran: usize = counts.ops.values().map(|op| op.tests).sum();
        let lacking: usize = counts.lacking.values().map(Vec::len).sum();
        let mut text = String::from("# Tests of the package `onnx` that are not supported\n\n");
        let _ = writeln!(text, "Of {} tests {ran} run. {lacking} do not, by reason:\n", ran + lacking);
        let mut reasons: Vec<_> = counts.lacking.iter().collect();
        reasons.sort_by_key(|(reason, names)| (std::cmp::Reverse(names.len()), reason.to_owned()));
        for (reason, names) in reasons {
            let mut names = names.clone();
            names.sort_unstable();
            let _ = writeln!(text, "## {reason} ({})\n\n{}\n", names.len(), names.join("\n"));
        }
        let mut narrowed = counts.narrowed.clone();
        narrowed.sort_unstable();
        let _ = writeln!(text, "# Tests that run with float32 in place of float64 ({})\n", narrowed.len());
        let _ = writeln!(
            text,
            "What they test does not depend on it. Integers of 64 bits, all of which fit, run as those of 32"
        );
        let _ = writeln!(text, "where they are indices, and as floats where they are moved or compared.\n");
        let _ = writeln!(text, "{}", narrowed.join("\n"));
        text
    }

    /// The table, on standard output.
    pub fn print(&self) {
        let counts = self.counts();
        println!("ONNX tests that passed, by op:");
        let mut line = String::new();
        for (name, op) in &counts.ops {
            let passed = counts.engines.keys().map(|engine| op.passed.get(engine).copied().unwrap_or(0)).min();
            let entry = format!("{name} {}/{}", passed.unwrap_or(0), op.tests);
            if line.len() + entry.len() > 110 {
                println!("  {line}");
                line.clear();
            }
            let separator = if line.is_empty() { "" } else { ", " };
            let _ = write!(line, "{separator}{entry}");
        }
        println!("  {line}");
        let ran: usize = counts.ops.values().map(|op| op.tests).sum();
        println!(
            "{ran} tests of {} ops; in {} of them float64 became float32:",
            counts.ops.len(),
            counts.narrowed.len()
        );
        for (engine, (passed, distance)) in &counts.engines {
            println!("  {engine:<10} {passed:>4} passed, largest relative error {:.2e}", distance.relative);
        }
        let lacking: usize = counts.lacking.values().map(Vec::len).sum();
        println!("not supported: {lacking} tests");
        for (reason, names) in &counts.lacking {
            println!("  {:>4} {reason}", names.len());
        }
    }
}
