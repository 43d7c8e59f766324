//! Sums of batches, added up on the host.

use super::kind::{Output, Sums};
use super::values::{ConfusionMatrix, Measured, Values};
use crate::base::{Error, ErrorKind, HostTensor, Result};
use serde::{Deserialize, Serialize};

/// Where the sums of an entry lie in the tensor of all, by parts: (first, chunks, sums).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub sums: Sums,
    pub parts: Vec<[usize; 3]>,
}

/// A value by name, of the sums of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub name: String,
    pub entry: usize,
    pub output: Output,
}

/// Adds up what [`Metrics`](super::Metrics) sum over each batch, in double precision.
///
/// Counts are exact up to 2^53: on the device no sum of ones goes over more than 2^20 rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Meter {
    pub(super) entries: Vec<Layout>,
    pub(super) outputs: Vec<Named>,
    totals: Totals,
}

/// What was added up so far: kept with a checkpoint, a training goes on with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::fit) struct Totals(#[serde(with = "crate::fit::exact::lists")] Vec<Vec<f64>>);

impl Meter {
    pub(super) fn new(entries: Vec<Layout>, outputs: Vec<Named>) -> Self {
        Self { entries, outputs, totals: Totals::default() }
    }

    /// The names of all values, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|output| output.name.as_str())
    }

    /// Forgets all batches.
    pub fn reset(&mut self) {
        self.totals = Totals::default();
    }

    /// Adds the sums of one batch: what the tensor of [`KeptMetrics`](super::KeptMetrics) was read as.
    ///
    /// # Errors
    /// When it is another tensor.
    pub fn add(&mut self, batch: &HostTensor) -> Result<()> {
        let (all, given) = (self.elements(), batch.data().len());
        if all != given {
            let message = format!("metrics have {all} sums for a batch, and were given {given}: read their own tensor");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let values = batch.to_vec();
        self.totals.0.resize(self.entries.len(), Vec::new());
        for (Layout { sums, parts }, total) in self.entries.iter().zip(&mut self.totals.0) {
            let part = |&[first, chunks, width]: &[usize; 3]| {
                let mut added = vec![0.0; width];
                for chunk in values[first..first + chunks * width].chunks(width) {
                    added.iter_mut().zip(chunk).for_each(|(added, &sum)| *added += f64::from(sum));
                }
                added
            };
            sums.add(total, &parts.iter().map(part).collect::<Vec<_>>());
        }
        Ok(())
    }

    fn elements(&self) -> usize {
        self.entries.iter().flat_map(|entry| &entry.parts).map(|[_, chunks, width]| chunks * width).sum()
    }

    /// The values of all rows so far; NaN where there were none.
    #[must_use]
    pub fn measured(&self) -> Measured {
        let total = |entry: usize| self.totals.0.get(entry).map_or(&[][..], Vec::as_slice);
        let value =
            |named: &Named| (named.name.clone(), named.output.of(&self.entries[named.entry].sums, total(named.entry)));
        let confusion = self.entries.iter().enumerate().find_map(|(number, entry)| match entry.sums {
            Sums::Confusion(classes) if !total(number).is_empty() => {
                Some(ConfusionMatrix::new(classes, total(number).to_vec()))
            }
            _ => None,
        });
        Measured { values: self.outputs.iter().map(value).collect::<Values>(), confusion }
    }

    pub(in crate::fit) fn totals(&self) -> Totals {
        self.totals.clone()
    }

    /// Goes on from what was added up before.
    pub(in crate::fit) fn go_on(&mut self, totals: Totals) {
        self.totals = totals;
    }
}
