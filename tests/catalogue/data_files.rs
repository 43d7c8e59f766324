//! Files of data: tables, arrays, images.

use super::Catalogue;
use retrograd::ErrorKind;
use retrograd::data::{Csv, Elements, FileArray, Kind, Missing, idx, npy};

const FLOWERS: &str = "length,width,species\n5.1,3,setosa\n6.3,2,virginica\n";

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "texts of the operating system are those of Linux")]
fn tables() {
    let mut texts = Catalogue::new(ErrorKind::File);
    let read = |csv: Csv, text: &str| csv.read_bytes("flowers.csv", text.as_bytes());
    let plain = |text: &str| read(Csv::new(), text);
    texts.fails("a missing value", plain("length,width\n5.1,3\n6.3,\n"));
    texts.fails("a text among numbers", plain("length,width\n5.1,3\n6.3,wide\n"));
    texts.fails("a row that is too short", plain("length,width\n5.1,3\n6.3\n"));
    texts.fails("a number that single precision does not hold", plain("length\n5.1\n1e300\n"));
    texts.fails("a fraction among integers", read(Csv::new().kind("width", Kind::Integer), "width\n3\n2.5\n"));
    texts.fails("a name twice", plain("length,width,length\n1,2,3\n"));
    texts.fails("numbers where names are expected", plain("5.1,3\n6.3,2\n"));
    texts.fails("an empty table", plain(""));
    texts.fails("a table without rows", plain("length,width\n"));
    texts.fails("a setting for another column", read(Csv::new().category("kind"), FLOWERS));
    texts.fails("no column left", read(Csv::new().only(&[]), FLOWERS));
    texts.fails("text that is not closed", plain(&format!("note\n\"{}", "word ".repeat(300))));
    let many: String = (0..=65536).map(|row| format!("id{row}\n")).collect();
    texts.fails("a column of names", plain(&format!("id\n{many}")));
    texts.fails("text that is not UTF-8", Csv::new().read_bytes("flowers.csv", b"species\nros\xe9\n"));
    texts.fails("text in UTF-16", Csv::new().read_bytes("flowers.csv", b"\xff\xfea\0,\0b\0\n\0"));
    let holes = "length,width\n,3\n5.1,\n";
    texts.fails("a row dropped for every hole", read(Csv::new().missing(Missing::DropRow), holes));
    texts.fails("the mean of nothing", read(Csv::new().missing(Missing::Mean), "length,width\n,3\n,2\n"));
    texts.fails("a file that is not there", Csv::new().read(texts.path("flowers.csv")));
    let folder = texts.path("flowers");
    std::fs::create_dir(&folder).unwrap();
    texts.fails("a folder", Csv::new().read(folder));
    let packed = texts.file("flowers.csv.gz", FLOWERS);
    texts.fails("a file that is not packed, though its name says so", Csv::new().read(packed));
    texts.compare("data_table_file");

    let mut texts = Catalogue::new(ErrorKind::Argument);
    let table = || plain(FLOWERS).unwrap();
    texts.fails("the categories of numbers", table().labels("width").map(drop));
    texts.fails("the categories of a column that is not there", table().labels("kind").map(drop));
    texts.fails("the categories of a table without any", plain("length\n5.1\n").unwrap().labels("length").map(drop));
    texts.fails("categories as features", table().features(&["width", "species"], "x"));
    texts.fails("features but for a column that is not there", table().features_except(&["kind"], "x"));
    texts.compare("data_table");
}

/// An IDX file of this type, extents and elements.
fn idx_bytes(kind: u8, extents: &[u32], elements: &[u8]) -> Vec<u8> {
    let extents_bytes: Vec<u8> = extents.iter().flat_map(|extent| extent.to_be_bytes()).collect();
    [&[0, 0, kind, extents.len() as u8], &extents_bytes[..], elements].concat()
}

/// A file of NumPy with this head and elements.
fn npy_bytes(head: &str, elements: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(head.len() as u16).to_le_bytes()[..], head.as_bytes(), elements].concat()
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "texts of the operating system are those of Linux")]
fn arrays() {
    let mut texts = Catalogue::new(ErrorKind::File);
    let bytes = |bytes: &[u8]| idx::read_bytes("images", bytes, false);
    texts.fails("IDX: two bytes", bytes(&[0, 0]));
    texts.fails("IDX: another format", bytes(b"PK\x03\x04"));
    texts.fails("IDX: an unknown type", bytes(&idx_bytes(7, &[1], &[0])));
    texts.fails("IDX: a head that was cut", bytes(&idx_bytes(8, &[2, 3], &[])[..8]));
    texts.fails("IDX: extents of more than there can be", bytes(&idx_bytes(14, &[u32::MAX; 3], &[])));
    texts.fails("IDX: extents of far more than there is", bytes(&idx_bytes(8, &[60_000, 28, 28], &[0; 9])));
    texts.fails("IDX: elements that were cut", bytes(&idx_bytes(8, &[2, 3], &[0; 5])));
    texts.fails("IDX: elements too many", bytes(&idx_bytes(8, &[2, 3], &[0; 7])));
    let truths = FileArray::new([2], Elements::Bool(vec![true, false])).unwrap();
    texts.fails("IDX: truth values", idx::write("truths", &truths));
    let empty = texts.path("mnist");
    std::fs::create_dir(&empty).unwrap();
    texts.fails("MNIST: files that are not there", idx::images_and_labels(&empty, "train"));
    texts.file("mnist/train-images-idx3-ubyte", idx_bytes(8, &[2, 1, 1], &[0, 255]));
    let labels = texts.file("mnist/train-labels-idx1-ubyte", idx_bytes(8, &[3], &[0, 1, 2]));
    texts.fails("MNIST: more labels than images", idx::images_and_labels(&empty, "train"));
    std::fs::write(labels, idx_bytes(12, &[2], &[0; 8])).unwrap();
    texts.fails("MNIST: labels of another type", idx::images_and_labels(&empty, "train"));

    let bytes = |bytes: &[u8]| npy::read_bytes("x.npy", bytes);
    let head = |head: &str| bytes(&npy_bytes(head, &[0; 8]));
    texts.fails("NumPy: another format", bytes(b"x,y\n1,2\n"));
    texts.fails("NumPy: a version to come", bytes(b"\x93NUMPY\x09\x00"));
    texts.fails("NumPy: a head that was cut", bytes(b"\x93NUMPY\x01\x00\x76\x00{'descr'"));
    texts.fails("NumPy: a hostile head", bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"));
    texts.fails("NumPy: no dictionary", head("[]"));
    texts.fails("NumPy: an unknown key", head("{'order': 1}"));
    texts.fails("NumPy: no shape", head("{'descr': '<f4', 'fortran_order': False}"));
    texts.fails("NumPy: complex numbers", head("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}"));
    texts.fails("NumPy: records", head("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"));
    texts.fails("NumPy: elements that were cut", head("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"));
    texts.fails("NumPy: elements too many", head("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}"));
    texts.fails("NumPy: no archive", npy::read_npz_bytes("x.npz", b"no archive"));
    texts.fails("NumPy: two arrays of one name", npy::write_npz("x.npz", [("a", &truths), ("a", &truths)]));
    let nowhere = texts.file("flat", "").join("x.npy");
    texts.fails("NumPy: a place that is no folder", npy::write(nowhere, &truths));
    texts.compare("data_array_file");

    let mut texts = Catalogue::new(ErrorKind::Argument);
    texts.fails("elements that do not fill an array", FileArray::new([2, 3], Elements::U8(vec![0; 5])));
    let labels = |elements: Elements| FileArray::new([2], elements).unwrap().to_labels();
    texts.fails("labels beyond `i32`", labels(Elements::I64(vec![3, 1 << 40])));
    texts.fails("labels that are fractions", labels(Elements::F64(vec![0.0, 0.5])));
    texts.compare("data_array");
}

#[cfg(feature = "parquet")]
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "texts of the operating system are those of Linux")]
fn parquet() {
    use ::parquet::column::writer::ColumnWriter;
    use ::parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    use ::parquet::schema::parser::parse_message_type;
    use retrograd::data::Parquet;
    use std::sync::Arc;

    let mut texts = Catalogue::new(ErrorKind::File);
    let path = texts.path("flights.parquet");
    let schema = parse_message_type("message m { optional double delay; required int32 day (DATE); }").unwrap();
    let (file, settings) = (std::fs::File::create(&path).unwrap(), WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(settings)).unwrap();
    let mut rows = writer.next_row_group().unwrap();
    while let Some(mut column) = rows.next_column().unwrap() {
        match column.untyped() {
            ColumnWriter::DoubleColumnWriter(out) => out.write_batch(&[3.0], Some(&[1, 0]), None).unwrap(),
            ColumnWriter::Int32ColumnWriter(out) => out.write_batch(&[1, 2], None, None).unwrap(),
            _ => unreachable!("the schema has no other types"),
        };
        column.close().unwrap();
    }
    rows.close().unwrap();
    writer.close().unwrap();
    texts.fails("a column of a type that is not read", Parquet::new().read(&path));
    texts.fails("a null", Parquet::new().without(&["day"]).read(&path));
    texts.fails("a setting for another column", Parquet::new().kind("delays", Kind::Float).read(&path));
    texts.fails("no column left", Parquet::new().without(&["day", "delay"]).read(&path));
    texts.fails("a file that is not there", Parquet::new().read(texts.path("trains.parquet")));
    let other = texts.file("trains.parquet", "delay,day\n1,2\n");
    texts.fails("a file of another format", Parquet::new().read(other));
    texts.compare("data_parquet");
}

#[cfg(feature = "images")]
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "texts of the operating system are those of Linux")]
fn images() {
    use retrograd::data::{Corrupt, Images};

    let mut texts = Catalogue::new(ErrorKind::File);
    let folder = texts.path("pets");
    texts.fails("a folder that is not there", Images::new().read(&folder));
    std::fs::create_dir_all(folder.join("cat")).unwrap();
    std::fs::create_dir_all(folder.join("dog")).unwrap();
    texts.fails("a folder without images", Images::new().read(&folder));
    texts.file("pets/dog/2.png", b"no image");
    texts.fails("a file that is no image", Images::new().read(&folder));
    texts.fails("nothing but such files", Images::new().corrupt(Corrupt::Skip).read(&folder));
    image::RgbImage::new(6, 4).save(texts.path("pets/cat/1.png")).unwrap();
    image::RgbImage::new(8, 8).save(texts.path("pets/dog/2.png")).unwrap();
    texts.fails("images of two sizes", Images::new().read(&folder));
    texts.compare("data_images");

    let mut texts = Catalogue::new(ErrorKind::Argument);
    texts.fails("images of no pixels", Images::new().resize([64, 0]).read(&folder));
    texts.compare("data_images_argument");
}
