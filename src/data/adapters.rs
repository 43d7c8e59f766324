//! Datasets made of datasets.

use super::dataset::check_rows;
use super::{Batch, Column, Dataset};
use crate::base::{Error, ErrorKind, Generator, HostTensor, Result};
use std::sync::Arc;

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Argument, message))
}

/// Some samples of a dataset: see [`Dataset::subset`] and [`Dataset::split`].
#[derive(Debug)]
pub struct Subset<D> {
    dataset: Arc<D>,
    rows: Arc<[usize]>,
}

impl<D> Clone for Subset<D> {
    fn clone(&self) -> Self {
        Self { dataset: self.dataset.clone(), rows: self.rows.clone() }
    }
}

impl<D: Dataset> Subset<D> {
    pub(super) fn new(dataset: Arc<D>, rows: Vec<usize>) -> Result<Self> {
        check_rows(&rows, dataset.len())?;
        Ok(Self { dataset, rows: rows.into() })
    }

    pub(super) fn split<const N: usize>(dataset: Arc<D>, fractions: [f64; N], seed: u64) -> Result<[Self; N]> {
        let (len, sum) = (dataset.len(), fractions.iter().sum::<f64>());
        // Fractions such as 0.7, 0.2 and 0.1 add up to 1 but for rounding.
        if !fractions.iter().all(|&fraction| fraction > 0.0) || sum > 1.0 + 1e-9 {
            return refuse(format!("the fractions {fractions:?} must be above 0 and add up to at most 1"));
        }
        let mut rows: Vec<usize> = (0..len).collect();
        Generator::named(seed, "split").shuffle(&mut rows);
        let mut ends = [0; N];
        let mut reached = 0.0;
        for (end, fraction) in ends.iter_mut().zip(fractions) {
            reached += fraction;
            *end = (reached * len as f64).round() as usize;
        }
        let starts: [usize; N] = std::array::from_fn(|part| if part == 0 { 0 } else { ends[part - 1] });
        if let Some(part) = (0..N).find(|&part| starts[part] >= ends[part]) {
            return refuse(format!(
                "a fraction of {} of {len} samples leaves none: take a larger one",
                fractions[part]
            ));
        }
        let part =
            |part: usize| Self { dataset: dataset.clone(), rows: rows[starts[part]..ends[part].min(len)].into() };
        Ok(std::array::from_fn(part))
    }

    /// The rows of the whole dataset that these are.
    #[must_use]
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        self.rows.len()
    }
    fn columns(&self) -> &[Column] {
        self.dataset.columns()
    }
    fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
        check_rows(rows, self.rows.len())?;
        self.dataset.read(&rows.iter().map(|&row| self.rows[row]).collect::<Vec<_>>())
    }
}

/// A dataset whose batches a function changes: see [`Dataset::map`].
#[derive(Clone, Debug)]
pub struct Map<D, F> {
    dataset: D,
    change: F,
    columns: Vec<Column>,
}

impl<D: Dataset, F: Fn(Batch) -> Result<Batch> + Send + Sync> Map<D, F> {
    pub(super) fn new(dataset: D, change: F) -> Result<Self> {
        if dataset.is_empty() {
            return refuse(
                "a dataset without samples cannot be mapped: what its columns become is found by the first one".into(),
            );
        }
        let first =
            change(dataset.batch(&[0])?).map_err(|error| error.during("the function given to `map`, for sample 0"))?;
        if first.rows() != 1 {
            return refuse(format!(
                "the function given to `map` made {} rows of one: it may change columns, and not how many samples there are",
                first.rows()
            ));
        }
        let column =
            |(name, tensor): (&str, &HostTensor)| Column::new(name, tensor.data().dtype(), &tensor.shape()[1..]);
        let columns = first.columns().map(column).collect();
        Ok(Self { dataset, change, columns })
    }
}

impl<D: Dataset, F: Fn(Batch) -> Result<Batch> + Send + Sync> Dataset for Map<D, F> {
    fn len(&self) -> usize {
        self.dataset.len()
    }
    fn columns(&self) -> &[Column] {
        &self.columns
    }
    fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
        let changed = (self.change)(self.dataset.batch(rows)?)?;
        // A column that is missing in this batch has no place in the result; the names tell.
        if !changed.names().eq(self.columns.iter().map(|column| column.name.as_str())) {
            let (names, first): (Vec<&str>, Vec<&str>) =
                (changed.names().collect(), self.columns.iter().map(|column| column.name.as_str()).collect());
            return refuse(format!(
                "the function given to `map` made the columns {names:?}, and of the first sample {first:?}: they are to be the same"
            ));
        }
        Ok(changed.into_columns().into_iter().map(|(_, tensor)| tensor).collect())
    }
}

/// The samples of two datasets, one after the other: see [`Dataset::concat`].
#[derive(Clone, Debug)]
pub struct Concat<A, B> {
    first: A,
    second: B,
}

impl<A: Dataset, B: Dataset> Concat<A, B> {
    pub(super) fn new(first: A, second: B) -> Result<Self> {
        if first.columns() != second.columns() {
            let list = |columns: &[Column]| columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (first, second) = (list(first.columns()), list(second.columns()));
            return refuse(format!(
                "datasets of different columns cannot be joined, so leave out or rename some: {first} and {second}"
            ));
        }
        Ok(Self { first, second })
    }
}

impl<A: Dataset, B: Dataset> Dataset for Concat<A, B> {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }
    fn columns(&self) -> &[Column] {
        self.first.columns()
    }
    fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
        check_rows(rows, self.len())?;
        let border = self.first.len();
        let of_second: Vec<usize> = rows.iter().filter_map(|row| row.checked_sub(border)).collect();
        if of_second.is_empty() {
            return self.first.read(rows);
        }
        if of_second.len() == rows.len() {
            return self.second.read(&of_second);
        }
        let of_first: Vec<usize> = rows.iter().copied().filter(|&row| row < border).collect();
        let (first, second) = (self.first.read(&of_first)?, self.second.read(&of_second)?);
        // Both were read in order: each row comes from the next place of its own part.
        let (mut next_first, mut next_second) = (0..of_first.len(), of_first.len()..rows.len());
        let place = |row: &usize| if *row < border { next_first.next() } else { next_second.next() };
        let places: Vec<usize> = rows.iter().filter_map(place).collect();
        first.into_iter().zip(second).map(|(first, second)| first.joined(second)?.rows(&places)).collect()
    }
}
