//! Tables: columns of numbers and categories, with what became of missing values.

mod column;
mod csv;
#[cfg(feature = "parquet")]
mod parquet;
mod selection;

pub use csv::Csv;
#[cfg(feature = "parquet")]
pub use parquet::Parquet;

use super::{Batch, Column, Dataset, Labels, Tensors};
use crate::base::{Error, ErrorKind, HostTensor, Result};
use std::collections::BTreeMap;

/// What becomes of a missing value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Missing {
    /// It is an error that names its place.
    #[default]
    Error,
    /// Its row is left out; [`Table::dropped`] counts them.
    DropRow,
    /// This number stands for it. In a column of categories, a category of its own does, named `missing`.
    Value(f32),
    /// The mean of the column's other values stands for it; the mean of the whole file, also of what is split off for tests later.
    /// In a column of categories, a category of its own does, named `missing`.
    Mean,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Floats.
    Float,
    /// Integers that fit an `i32`.
    Integer,
    /// Texts, which become the numbers of [`Labels`].
    Category,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Float => "floats",
            Self::Integer => "integers",
            Self::Category => "categories",
        })
    }
}

/// A table in memory: a [`Dataset`] with one column for every column of the file, `f32[]` for numbers with a fraction and `i32[]` for
/// integers and categories.
#[derive(Clone, Debug, Default)]
pub struct Table {
    tensors: Tensors,
    categories: BTreeMap<String, Labels>,
    dropped: usize,
    filled: BTreeMap<String, usize>,
}

impl Table {
    pub(super) const fn new(
        tensors: Tensors,
        categories: BTreeMap<String, Labels>,
        dropped: usize,
        filled: BTreeMap<String, usize>,
    ) -> Self {
        Self { tensors, categories, dropped, filled }
    }

    /// The names of the categories of a column.
    ///
    /// # Errors
    /// When the column holds no categories.
    pub fn labels(&self, column: &str) -> Result<&Labels> {
        self.categories.get(column).ok_or_else(|| {
            let text = match (self.tensors.columns().iter().any(|own| own.name == column), self.categories.is_empty()) {
                (false, _) => format!(
                    "there is no column `{column}`: there are {}",
                    list(self.columns().iter().map(|own| &own.name))
                ),
                (true, true) => format!(
                    "column `{column}` holds no categories, nor does any other: make it some by `Csv::category`"
                ),
                (true, false) => {
                    format!("column `{column}` holds no categories; these do: {}", list(self.categories.keys()))
                }
            };
            Error::new(ErrorKind::Argument, text)
        })
    }

    /// The columns of categories.
    #[must_use]
    pub const fn categories(&self) -> &BTreeMap<String, Labels> {
        &self.categories
    }

    /// How many rows were left out for a missing value.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// How many values were missing and filled in, by column.
    #[must_use]
    pub const fn filled(&self) -> &BTreeMap<String, usize> {
        &self.filled
    }

    /// Columns as one column of feature vectors, `f32[features]`, in place of them: numbers as they are, one after another.
    ///
    /// # Errors
    /// When there is no such column, or it holds categories, whose numbers mean nothing as numbers: see [`one_hot`](Self::one_hot).
    pub fn features(mut self, columns: &[&str], name: &str) -> Result<Self> {
        if let Some(column) = columns.iter().find(|column| self.categories.contains_key(**column)) {
            let text = format!(
                "column `{column}` holds categories, whose numbers are no amounts: make them vectors by `one_hot(\"{column}\")` first"
            );
            return Err(Error::new(ErrorKind::Argument, text));
        }
        self.tensors = self.tensors.stack(columns, name)?;
        Ok(self)
    }

    /// All columns but these as one column of feature vectors: see [`features`](Self::features).
    ///
    /// # Errors
    /// As [`features`](Self::features), and when there is no column of such a name.
    pub fn features_except(self, columns: &[&str], name: &str) -> Result<Self> {
        let names: Vec<String> = self.tensors.columns().iter().map(|column| column.name.clone()).collect();
        if let Some(unknown) = columns.iter().find(|column| !names.iter().any(|name| name == *column)) {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("there is no column `{unknown}`: there are {}", list(&names)),
            ));
        }
        let others: Vec<&str> = names.iter().map(String::as_str).filter(|name| !columns.contains(name)).collect();
        self.features(&others, name)
    }

    /// A column of categories as one-hot vectors, `f32[categories]`.
    ///
    /// # Errors
    /// When the column holds no categories.
    pub fn one_hot(mut self, column: &str) -> Result<Self> {
        let labels = self.labels(column)?;
        let numbers = self.tensors.read_column(column)?;
        let vectors = labels.one_hot(&numbers)?;
        self.categories.remove(column);
        self.tensors = self.tensors.replace(column, vectors)?;
        Ok(self)
    }

    /// The same with another name for a column.
    ///
    /// # Errors
    /// When there is none of that name, or one of the new name.
    pub fn rename(mut self, column: &str, new: &str) -> Result<Self> {
        self.tensors = self.tensors.rename(column, new)?;
        if let Some(labels) = self.categories.remove(column) {
            self.categories.insert(new.to_owned(), labels);
        }
        if let Some(filled) = self.filled.remove(column) {
            self.filled.insert(new.to_owned(), filled);
        }
        Ok(self)
    }

    /// The same without these columns.
    ///
    /// # Errors
    /// When there is none of such a name.
    pub fn without(mut self, columns: &[&str]) -> Result<Self> {
        self.tensors = self.tensors.without(columns)?;
        for &column in columns {
            self.categories.remove(column);
            self.filled.remove(column);
        }
        Ok(self)
    }

    /// The columns alone.
    #[must_use]
    pub fn into_tensors(self) -> Tensors {
        self.tensors
    }
}

/// Names, one after another.
fn list<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Dataset for Table {
    fn len(&self) -> usize {
        self.tensors.len()
    }
    fn columns(&self) -> &[Column] {
        self.tensors.columns()
    }
    fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
        self.tensors.read(rows)
    }
    fn batch(&self, rows: &[usize]) -> Result<Batch> {
        self.tensors.batch(rows)
    }
}
