//! Parquet files with flat columns: floats, integers, truth values, and texts as categories.
//!
//! Source: Apache Parquet, "File format"; decoded by the crate `parquet`, without Arrow.

use super::column::{Builder, finish};
use super::selection::Selection;
use super::{Kind, Missing, Table};
use crate::base::Result;
use crate::data::source::fault;
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use std::path::Path;

/// Values that are decoded at a time.
const CHUNK: usize = 8192;

/// How a Parquet file is read: as a [`Csv`](super::Csv), with the same policies for nulls.
///
/// ```no_run
/// use retrograd::data::{Missing, Parquet};
/// # fn main() -> retrograd::Result<()> {
/// let table = Parquet::new().missing(Missing::Mean).without(&["id"]).read("flights.parquet")?;
/// let data = table.features_except(&["delayed"], "x")?.rename("delayed", "y")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parquet {
    selection: Selection,
}

impl Parquet {
    /// All columns, and a null is an error.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of nulls, and of NaN in columns of floats.
    #[must_use]
    pub const fn missing(mut self, policy: Missing) -> Self {
        self.selection.missing = policy;
        self
    }

    /// What becomes of nulls in one column.
    #[must_use]
    pub fn missing_in(mut self, column: &str, policy: Missing) -> Self {
        self.selection.missing_in.insert(column.to_owned(), policy);
        self
    }

    /// What a column is to hold, where the file says something else.
    #[must_use]
    pub fn kind(mut self, column: &str, kind: Kind) -> Self {
        self.selection.kinds.insert(column.to_owned(), kind);
        self
    }

    /// Leaves out columns.
    #[must_use]
    pub fn without(mut self, columns: &[&str]) -> Self {
        self.selection.leave_out(columns);
        self
    }

    /// Reads these columns alone; the others are not even decoded.
    #[must_use]
    pub fn only(mut self, columns: &[&str]) -> Self {
        self.selection.only(columns);
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, has no rows, a setting is for a column that it does not have, a column that is read is nested or of a type that
    /// is not read (dates, decimals), or a value is null without a policy; with the row and the column.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        let name = path.as_ref().display().to_string();
        let file = std::fs::File::open(path)
            .map_err(|error| fault(&name, format!("could not be read: {error}")).caused_by(error))?;
        self.parse(&name, file)
    }

    fn parse(&self, file: &str, source: impl ChunkReader + 'static) -> Result<Table> {
        let damaged = |error: ParquetError| {
            fault(file, format!("is no Parquet file, or a damaged one: {error}")).caused_by(error)
        };
        let reader = SerializedFileReader::new(source).map_err(damaged)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        self.selection.check(file, &names)?;
        let mut builders = Vec::new();
        for (place, name) in names.iter().enumerate().filter(|(_, name)| self.selection.reads(name)) {
            let own = Form::of(&schema.column(place))
                .map_err(|what| fault(file, format!("has the column `{name}`, {what}: leave it out by `without`")))?;
            builders.push((place, own, self.selection.builder(name, own.kind)));
        }
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(damaged)?;
            for (place, own, builder) in &mut builders {
                let column = group.get_column_reader(*place).map_err(damaged)?;
                own.decode(column, builder).map_err(|error| match error {
                    Trouble::File(error) => damaged(error),
                    Trouble::Value(what) => {
                        fault(file, format!("row {}: column `{}` {what}", builder.len(), builder.name))
                    }
                })?;
            }
        }
        let rows = builders[0].2.len();
        if let Some((_, _, other)) = builders.iter().find(|(_, _, builder)| builder.len() != rows) {
            let (name, count) = (&other.name, other.len());
            return Err(fault(file, format!("is damaged: column `{name}` has {count} values, and another {rows}")));
        }
        if rows == 0 {
            return Err(fault(file, "holds no rows"));
        }
        finish(file, builders.into_iter().map(|(_, _, builder)| builder).collect())
    }
}

/// What stopped the decoding of a column.
enum Trouble {
    File(ParquetError),
    Value(String),
}

/// How the values of a column are to be understood.
#[derive(Clone, Copy)]
struct Form {
    /// What it holds, also where all values are null.
    kind: Option<Kind>,
    unsigned: bool,
    nullable: bool,
}

impl Form {
    /// The reason as text when it cannot be read.
    fn of(column: &ColumnDescriptor) -> Result<Self, String> {
        if column.max_rep_level() > 0 || column.path().parts().len() != 1 {
            return Err("which is a list or a part of a record".into());
        }
        let (logical, converted) = (column.logical_type_ref(), column.converted_type());
        let plain = matches!(logical, None | Some(LogicalType::String | LogicalType::Enum | LogicalType::Integer(_)))
            && matches!(
                converted,
                ConvertedType::NONE
                    | ConvertedType::UTF8
                    | ConvertedType::ENUM
                    | ConvertedType::INT_8
                    | ConvertedType::INT_16
                    | ConvertedType::INT_32
                    | ConvertedType::INT_64
                    | ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64
            );
        let kind = match column.physical_type() {
            Type::FLOAT | Type::DOUBLE => Some(Kind::Float),
            Type::BOOLEAN => Some(Kind::Integer),
            // Those that fit no i32 make it floats.
            Type::INT32 | Type::INT64 => None,
            Type::BYTE_ARRAY => Some(Kind::Category),
            other => return Err(format!("whose type {other} is not read")),
        };
        if !plain {
            return Err(match logical {
                Some(logical) => format!("whose type {logical:?} is not read"),
                None => format!("whose type {converted} is not read"),
            });
        }
        let unsigned = matches!(logical, Some(LogicalType::Integer(integer)) if !integer.is_signed)
            || matches!(
                converted,
                ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
            );
        Ok(Self { kind, unsigned, nullable: column.max_def_level() > 0 })
    }

    /// Adds all values of a chunk to a column.
    fn decode(self, reader: ColumnReader, to: &mut Builder) -> Result<(), Trouble> {
        match reader {
            ColumnReader::BoolColumnReader(reader) => self.each(reader, to, |to, x| to.push_integer(i32::from(*x))),
            ColumnReader::Int32ColumnReader(reader) if self.unsigned => {
                self.each(reader, to, |to, x| whole(to, i128::from(x.cast_unsigned())))
            }
            ColumnReader::Int32ColumnReader(reader) => self.each(reader, to, |to, x| to.push_integer(*x)),
            ColumnReader::Int64ColumnReader(reader) if self.unsigned => {
                self.each(reader, to, |to, x| whole(to, i128::from(x.cast_unsigned())))
            }
            ColumnReader::Int64ColumnReader(reader) => self.each(reader, to, |to, x| whole(to, i128::from(*x))),
            ColumnReader::FloatColumnReader(reader) => self.each(reader, to, |to, x| real(to, f64::from(*x))),
            ColumnReader::DoubleColumnReader(reader) => self.each(reader, to, |to, x| real(to, *x)),
            ColumnReader::ByteArrayColumnReader(reader) => self.each(reader, to, |to, x| {
                to.push(std::str::from_utf8(x.data()).map_err(|_| "is a text that is not UTF-8".to_owned())?)
            }),
            _ => Err(Trouble::Value("is of a type that is not read".into())),
        }
    }

    fn each<T: DataType>(
        self,
        mut reader: ColumnReaderImpl<T>,
        to: &mut Builder,
        push: impl Fn(&mut Builder, &T::T) -> Result<(), String>,
    ) -> Result<(), Trouble> {
        let (mut values, mut levels) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
        loop {
            values.clear();
            levels.clear();
            let (rows, _, _) = reader
                .read_records(CHUNK, self.nullable.then_some(&mut levels), None, &mut values)
                .map_err(Trouble::File)?;
            if rows == 0 {
                return Ok(());
            }
            if !self.nullable {
                values.iter().try_for_each(|value| push(to, value)).map_err(Trouble::Value)?;
                continue;
            }
            let mut values = values.iter();
            for level in &levels {
                match values.as_slice().first().filter(|_| *level > 0) {
                    Some(value) => {
                        values.next();
                        push(to, value).map_err(Trouble::Value)?;
                    }
                    None => to.push_missing().map_err(Trouble::Value)?,
                }
            }
        }
    }
}

fn whole(to: &mut Builder, value: i128) -> Result<(), String> {
    match i32::try_from(value) {
        Ok(value) => to.push_integer(value),
        Err(_) => to.push_float(value as f64),
    }
}

fn real(to: &mut Builder, value: f64) -> Result<(), String> {
    if value.is_nan() {
        return to.push_missing();
    }
    to.push_float(value).map_err(|what| format!("is {value}, {what}"))
}
