//! The table of named tensors: what was expected, what was obtained, and the verdict.

use crate::engine::Seen;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::RangeInclusive;

/// What the device may be off by: this times max(1, |expected|).
const DEVICE: f64 = 1e-5;
/// What the float64 reference may be off by from an exact value: this times max(1, |expected|).
const REFERENCE: f64 = 1e-10;

/// The numbers that must come out.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Exact values: short decimals, or those of a formula in float64.
    Exact(Vec<f64>),
    /// Values that are known to some decimals.
    Rounded { values: Vec<f64>, decimals: i32 },
    /// Values of a formula, together with the rounded ones that were published.
    Both { exact: Vec<f64>, values: Vec<f64>, decimals: i32 },
}

/// Exact values.
pub fn exact(values: impl AsRef<[f64]>) -> Expected {
    Expected::Exact(values.as_ref().to_vec())
}

/// Values that are known to this many decimals.
pub fn rounded(decimals: i32, values: impl AsRef<[f64]>) -> Expected {
    Expected::Rounded { values: values.as_ref().to_vec(), decimals }
}

impl Expected {
    /// Exact values for which rounded ones are published as well.
    pub fn published(self, decimals: i32, values: impl AsRef<[f64]>) -> Self {
        let values = values.as_ref().to_vec();
        match self {
            Self::Exact(exact) | Self::Both { exact, .. } => Self::Both { exact, values, decimals },
            Self::Rounded { .. } => Self::Rounded { values, decimals },
        }
    }

    fn exact(&self) -> Option<&[f64]> {
        match self {
            Self::Exact(exact) | Self::Both { exact, .. } => Some(exact),
            Self::Rounded { .. } => None,
        }
    }

    fn rounded(&self) -> Option<(&[f64], f64)> {
        match self {
            Self::Exact(_) => None,
            // The last bit of a decimal such as 0.5 units of 1e-7 is not representable: allow for it.
            Self::Rounded { values, decimals } | Self::Both { values, decimals, .. } => {
                Some((values, 0.5 * 10f64.powi(-decimals) + 1e-12))
            }
        }
    }

    fn shown(&self) -> &[f64] {
        match self {
            Self::Exact(values) | Self::Rounded { values, .. } | Self::Both { values, .. } => values,
        }
    }
}

/// A named tensor and how it fared.
struct Row {
    section: u8,
    name: String,
    expected: String,
    obtained: String,
    error: f64,
    /// Why it failed; empty when it passed.
    complaint: String,
}

/// All checks of one run.
pub struct Table {
    titles: BTreeMap<u8, &'static str>,
    section: u8,
    rows: Vec<Row>,
}

impl Table {
    /// A table without checks.
    pub const fn new() -> Self {
        Self { titles: BTreeMap::new(), section: 0, rows: Vec::new() }
    }

    /// The section that the checks to come belong to.
    pub fn begin(&mut self, section: u8, title: &'static str) {
        self.section = section;
        self.titles.insert(section, title);
    }

    /// Compares a tensor with what is known of it, element by element.
    pub fn check(&mut self, name: &str, expected: &Expected, seen: &Seen) {
        let mut complaints = Vec::new();
        if let Some(exact) = expected.exact()
            && exceeds(distance(&seen.reference, exact), REFERENCE)
        {
            complaints.push(format!("the reference gives {}", brief(&seen.reference)));
        }
        if let Some((values, half)) = expected.rounded() {
            if !close(&seen.reference, values, |_| half) {
                complaints.push(format!("the reference gives {}", brief(&seen.reference)));
            }
            if !close(&seen.device, values, |value| half.max(DEVICE * value.abs().max(1.0))) {
                complaints.push("not the published digits".into());
            }
        }
        // Where only rounded numbers are known, the reference has the others.
        let error = distance(&seen.device, expected.exact().unwrap_or(&seen.reference));
        if exceeds(error, DEVICE) {
            complaints.push("the device is off".into());
        }
        self.add(name, brief(expected.shown()), brief(&seen.device), error, complaints);
    }

    /// Compares a matrix with that of a formula: max|difference| / max|formula|.
    pub fn check_matrix(&mut self, name: &str, formula: &[f64], seen: &Seen) {
        let greatest = formula.iter().fold(0.0f64, |greatest, value| greatest.max(value.abs()));
        let share = |got: &[f64]| largest(got, formula, |got, want| (got - want).abs()) / greatest;
        let mut complaints = Vec::new();
        if exceeds(share(&seen.reference), REFERENCE) {
            complaints.push(format!("the reference is off by {:.1e}", share(&seen.reference)));
        }
        let error = share(&seen.device);
        if exceeds(error, DEVICE) {
            complaints.push("the device is off".into());
        }
        self.add(name, brief(formula), brief(&seen.device), error, complaints);
    }

    /// Whether a number lies in a range, on the device and on the reference. The error is what lacks.
    pub fn check_range(&mut self, name: &str, range: RangeInclusive<f64>, device: f64, reference: f64) {
        let (low, high) = (*range.start(), *range.end());
        let mut complaints = Vec::new();
        if !range.contains(&reference) {
            complaints.push(format!("the reference gives {reference:.4}"));
        }
        if !range.contains(&device) {
            complaints.push("the device is outside".into());
        }
        let lacking = (low - device).max(device - high).max(0.0);
        let expected = if low == f64::NEG_INFINITY { format!("<= {high}") } else { format!("{low} ..= {high}") };
        self.add(name, expected, brief(&[device]), if device.is_nan() { f64::NAN } else { lacking }, complaints);
    }

    fn add(&mut self, name: &str, expected: String, obtained: String, error: f64, complaints: Vec<String>) {
        let complaint = complaints.join("; ");
        self.rows.push(Row { section: self.section, name: name.to_owned(), expected, obtained, error, complaint });
    }

    /// The number of failed checks.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|row| !row.complaint.is_empty()).count()
    }

    /// Writes the table, a summary, and on request one line of JSON.
    pub fn print(&self, out: &mut impl Write, device: &str, seconds: f64, with_json: bool) -> std::io::Result<()> {
        let mut section = 0;
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                writeln!(out, "\n{section}. {}", self.titles.get(&section).unwrap_or(&""))?;
                writeln!(out, "   {:<40} {:<37} {:<37} {:>8}", "name", "expected", "obtained", "error")?;
            }
            let verdict = if row.complaint.is_empty() { "ok".into() } else { format!("FAILED: {}", row.complaint) };
            writeln!(
                out,
                "{section}  {:<40} {:<37} {:<37} {:>8.1e} {verdict}",
                row.name, row.expected, row.obtained, row.error
            )?;
        }
        let (checked, failed) = (self.rows.len(), self.failed());
        writeln!(out, "\n{checked} checked, {failed} failed on {device} and the float64 reference, {seconds:.1} s")?;
        if with_json {
            let count = |section: u8, bad: bool| {
                self.rows.iter().filter(|row| row.section == section && (!bad || !row.complaint.is_empty())).count()
            };
            let sections: BTreeMap<String, serde_json::Value> = self
                .titles
                .keys()
                .map(|&section| {
                    (section.to_string(), json!({"checked": count(section, false), "failed": count(section, true)}))
                })
                .collect();
            let seconds = (seconds * 1e3).round() / 1e3;
            let summary = json!({"device": device, "seconds": seconds, "checked": checked, "failed": failed, "sections": sections});
            writeln!(out, "{summary}")?;
        }
        out.flush()
    }
}

/// Whether an error is more than allowed; NaN always is.
fn exceeds(error: f64, allowed: f64) -> bool {
    error.is_nan() || error > allowed
}

/// The largest measure over all pairs; NaN if one is, or if the lengths differ.
fn largest(got: &[f64], want: &[f64], measure: impl Fn(f64, f64) -> f64) -> f64 {
    if got.len() != want.len() {
        return f64::NAN;
    }
    let mut worst = 0.0;
    for (&got, &want) in got.iter().zip(want) {
        let error = measure(got, want);
        if error > worst || error.is_nan() {
            worst = error;
        }
    }
    worst
}

/// The largest |got - want| / max(1, |want|).
fn distance(got: &[f64], want: &[f64]) -> f64 {
    largest(got, want, |got, want| (got - want).abs() / want.abs().max(1.0))
}

/// Whether every |got - want| is at most what is allowed for `want`.
fn close(got: &[f64], want: &[f64], allowed: impl Fn(f64) -> f64) -> bool {
    largest(got, want, |got, want| (got - want).abs() / allowed(want)) <= 1.0
}

/// The first numbers of a tensor, short enough for a column.
fn brief(values: &[f64]) -> String {
    const MOST: usize = 3;
    let one = |value: &f64| {
        let text = format!("{value:.6}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text == "-0" { "0".to_owned() } else { text.to_owned() }
    };
    let list: Vec<String> = values.iter().take(MOST).map(one).collect();
    let more = if values.len() > MOST { ", .." } else { "" };
    format!("[{}{more}]", list.join(", "))
}
