//! Text tables: values separated by commas, or by something else.
//!
//! Lines with nothing in them are passed over. Quotes, line ends (`\n`, `\r\n`) and a byte order mark are read as RFC 4180 and its readers have them. A column holds what its
//! first value says: integers, floats, or categories; one of integers becomes floats with the first fraction. Text among numbers
//! is an error that names its line, not a reason to take the column for text.

use super::column::{Builder, finish, shown};
use super::selection::Selection;
use super::{Kind, Missing, Table};
use crate::base::{Error, Result};
use crate::data::source::{Source, fault};
use csv::ByteRecord;
use std::path::Path;

/// Texts that stand for no value, unless others are given.
const MISSING_TEXTS: [&str; 9] = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"];

/// How a text table is read.
///
/// ```
/// use retrograd::data::{Csv, Dataset, Kind, Missing};
///
/// let text = "length,width,species\n5.1,3,setosa\n6.3,,virginica\n5.8,2,virginica\n";
/// let table = Csv::new().missing(Missing::Mean).read_bytes("flowers", text.as_bytes())?;
/// assert_eq!(table.labels("species")?.names(), ["setosa", "virginica"]);
/// let data = table.features(&["length", "width"], "x")?.rename("species", "y")?;
/// assert_eq!(data.batch(&[1])?.get("x")?.to_vec(), [6.3, 2.5]);
///
/// let error = Csv::new().read_bytes("flowers", text.as_bytes()).unwrap_err();
/// assert!(error.to_string().starts_with("flowers, line 3: column `width` has no value"), "{error}");
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    delimiter: u8,
    header: bool,
    missing_texts: Vec<String>,
    selection: Selection,
}

impl Default for Csv {
    fn default() -> Self {
        Self::new()
    }
}

impl Csv {
    /// Commas, a header with the names of the columns, and a missing value is an error.
    #[must_use]
    pub fn new() -> Self {
        Self {
            delimiter: b',',
            header: true,
            missing_texts: MISSING_TEXTS.map(str::to_owned).to_vec(),
            selection: Selection::default(),
        }
    }

    /// Another delimiter, such as `b';'` or `b'\t'`.
    #[must_use]
    pub const fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// The first line holds values: columns are named `column_1`, `column_2` and so on.
    #[must_use]
    pub const fn without_header(mut self) -> Self {
        self.header = false;
        self
    }

    /// What becomes of missing values.
    #[must_use]
    pub const fn missing(mut self, policy: Missing) -> Self {
        self.selection.missing = policy;
        self
    }

    /// What becomes of missing values in one column.
    #[must_use]
    pub fn missing_in(mut self, column: &str, policy: Missing) -> Self {
        self.selection.missing_in.insert(column.to_owned(), policy);
        self
    }

    /// The texts that stand for no value; without this call an empty cell, `NA`, `N/A`, `NaN`, `nan`, `null`, `NULL`, `None` and `?`.
    #[must_use]
    pub fn missing_texts(mut self, texts: &[&str]) -> Self {
        self.missing_texts = texts.iter().map(|&text| text.to_owned()).collect();
        self
    }

    /// What a column holds, where its first value says something else: `Kind::Category` for zip codes, `Kind::Float` for amounts that
    /// happen to be whole.
    #[must_use]
    pub fn kind(mut self, column: &str, kind: Kind) -> Self {
        self.selection.kinds.insert(column.to_owned(), kind);
        self
    }

    /// Makes numbers of a column categories.
    #[must_use]
    pub fn category(self, column: &str) -> Self {
        self.kind(column, Kind::Category)
    }

    /// Leaves out columns.
    #[must_use]
    pub fn without(mut self, columns: &[&str]) -> Self {
        self.selection.leave_out(columns);
        self
    }

    /// Reads these columns alone.
    #[must_use]
    pub fn only(mut self, columns: &[&str]) -> Self {
        self.selection.only(columns);
        self
    }

    /// Reads a file, unpacked where its name ends in `.gz`.
    ///
    /// # Errors
    /// When it cannot be read, has no rows, or has a row of more or fewer cells than the others, a column named twice, a setting for a column
    /// that it does not have, a missing value without a policy, or a text in a column of numbers; each with the line and the column.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        self.parse(Source::open(path.as_ref())?)
    }

    /// Reads a table from memory; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_bytes(&self, name: &str, bytes: &[u8]) -> Result<Table> {
        self.parse(Source::new(name.to_owned(), bytes, bytes.len() as u64, false))
    }

    fn parse(&self, source: Source<'_>) -> Result<Table> {
        let file = source.name.clone();
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .buffer_capacity(1 << 16)
            .from_reader(source.into_reader());
        let broken = |error: csv::Error| broken(&file, error);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).map_err(broken)? {
            return Err(fault(&file, "is empty: a table has a header and rows"));
        }
        let names = self.names(&file, &record)?;
        self.selection.check(&file, &names)?;
        let read = names.iter().enumerate().filter(|(_, name)| self.selection.reads(name));
        let mut builders: Vec<(usize, Builder)> =
            read.map(|(place, name)| (place, self.selection.builder(name, None))).collect();
        let mut is_row = !self.header || reader.read_byte_record(&mut record).map_err(broken)?;
        if !is_row {
            return Err(fault(&file, "holds a header, and no rows"));
        }
        while is_row {
            for (column, builder) in &mut builders {
                self.cell(&record[*column], builder).map_err(|what| {
                    let line = record.position().map_or(0, csv::Position::line);
                    fault(&file, format!("line {line}: column `{}` {what}", builder.name))
                })?;
            }
            is_row = reader.read_byte_record(&mut record).map_err(broken)?;
        }
        finish(&file, builders.into_iter().map(|(_, builder)| builder).collect())
    }

    fn cell(&self, cell: &[u8], builder: &mut Builder) -> Result<(), String> {
        let text = std::str::from_utf8(cell.trim_ascii()).map_err(|_| {
            format!("is `{}`, which is not UTF-8: convert the file", shown(&String::from_utf8_lossy(cell)))
        })?;
        if self.missing_texts.iter().any(|missing| missing == text) {
            builder.push_missing()
        } else {
            builder.push(text)
        }
    }

    /// The names of all columns, from the header where there is one.
    fn names(&self, file: &str, record: &ByteRecord) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::with_capacity(record.len());
        if !self.header {
            return Ok((1..=record.len()).map(|number| format!("column_{number}")).collect());
        }
        if record[0].starts_with(&[0xFF, 0xFE]) || record[0].starts_with(&[0xFE, 0xFF]) {
            return Err(fault(file, "is UTF-16 text, and UTF-8 is read: convert it"));
        }
        for (place, cell) in record.iter().enumerate() {
            let text = String::from_utf8_lossy(cell.trim_ascii()).into_owned();
            let name = if text.is_empty() { format!("column_{}", place + 1) } else { text };
            if let Some(other) = names.iter().position(|other| *other == name) {
                let (other, place) = (other + 1, place + 1);
                return Err(fault(
                    file,
                    format!("names columns {other} and {place} both `{}`: rename one", shown(&name)),
                ));
            }
            names.push(name);
        }
        if names.iter().all(|name| name.parse::<f64>().is_ok()) {
            let text = format!(
                "has numbers alone in its first line, `{}` and so on: is it a row? Then read it `without_header`",
                shown(&names[0])
            );
            return Err(fault(file, text));
        }
        Ok(names)
    }
}

/// What is wrong with the form of a table.
fn broken(file: &str, error: csv::Error) -> Error {
    let text = match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!(
                "line {line}: the row has {len} cells, and the first line {expected_len}: is a delimiter too many, or a quote not closed?"
            )
        }
        csv::ErrorKind::Io(error) => format!("could not be read, or is damaged: {error}"),
        _ => format!("cannot be read as a table: {error}"),
    };
    fault(file, text).caused_by(error)
}
