//! Parquet files: every type that is read, nulls, and what is not read.

use crate::refused;
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
use ::parquet::schema::parser::parse_message_type;
use retrograd::DType;
use retrograd::data::{Dataset, Missing, Parquet, Table};
use std::path::Path;
use std::sync::Arc;

/// Two groups of rows with all that is read.
fn write(path: &Path) {
    let schema = "message m { required float f; optional double d; required int32 i; optional int64 l; \
                  required int32 u (UINT_32); required boolean b; optional binary s (UTF8); required int32 day (DATE); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::builder().build())).unwrap();
    for group in 0..2 {
        let mut rows = writer.next_row_group().unwrap();
        while let Some(mut column) = rows.next_column().unwrap() {
            match column.untyped() {
                ColumnWriter::FloatColumnWriter(w) => w.write_batch(&[0.5 + group as f32, 1.5], None, None),
                ColumnWriter::DoubleColumnWriter(w) => w.write_batch(&[3.0], Some(&[0, 1]), None),
                ColumnWriter::Int32ColumnWriter(w) => w.write_batch(&[-1, 7], None, None),
                ColumnWriter::Int64ColumnWriter(w) => w.write_batch(&[5, 6 + group], Some(&[1, 1]), None),
                ColumnWriter::BoolColumnWriter(w) => w.write_batch(&[true, false], None, None),
                ColumnWriter::ByteArrayColumnWriter(w) => {
                    w.write_batch(&[ByteArray::from("rome"), ByteArray::from("oslo")], Some(&[1, 1]), None)
                }
                _ => unreachable!("the schema has no other types"),
            }
            .unwrap();
            column.close().unwrap();
        }
        rows.close().unwrap();
    }
    writer.close().unwrap();
}

fn values(table: &Table, column: &str) -> Vec<f32> {
    table.all().unwrap().get(column).unwrap().to_vec()
}

#[test]
fn columns_of_every_type_and_nulls_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write(&path);
    let reader = Parquet::new().without(&["day"]);
    refused(reader.clone().read(&path), &["row 0: column `d` has no value"]);
    let table = reader.clone().missing(Missing::Value(-2.5)).read(&path).unwrap();
    assert_eq!(values(&table, "f"), [0.5, 1.5, 1.5, 1.5]);
    assert_eq!(values(&table, "d"), [-2.5, 3.0, -2.5, 3.0]);
    assert_eq!(values(&table, "i"), [-1.0, 7.0, -1.0, 7.0]);
    assert_eq!(values(&table, "l"), [5.0, 6.0, 5.0, 7.0]);
    assert_eq!(values(&table, "u"), [4294967295.0, 7.0, 4294967295.0, 7.0]);
    assert_eq!(values(&table, "b"), [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(values(&table, "s"), [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(table.labels("s").unwrap().names(), ["oslo", "rome"]);
    assert_eq!(table.columns().iter().find(|column| column.name == "i").unwrap().dtype, DType::I32);
    let dropped = reader.missing(Missing::DropRow).read(&path).unwrap();
    assert_eq!((dropped.len(), dropped.dropped()), (2, 2));
    let only = Parquet::new().only(&["l", "b"]).read(&path).unwrap();
    assert_eq!(only.columns().len(), 2);
}

#[test]
fn what_is_not_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write(&path);
    refused(Parquet::new().read(&path), &["column `day`", "not read", "without"]);
    refused(Parquet::new().without(&["x"]).read(&path), &["no column `x`"]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
    refused(Parquet::new().read(&path), &["t.parquet is no Parquet file, or a damaged one"]);
    std::fs::write(&path, b"a,b\n1,2\n").unwrap();
    refused(Parquet::new().read(&path), &["no Parquet file"]);
}
