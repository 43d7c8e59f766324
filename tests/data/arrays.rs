//! IDX and the files of NumPy: whole, and malformed.

use crate::refused;
use proptest::prelude::*;
use retrograd::data::{Dataset, Elements, FileArray, idx, npy};
use std::io::Write as _;

/// A file of unsigned bytes with these extents.
fn idx_bytes(extents: &[u32], elements: &[u8]) -> Vec<u8> {
    let head = [0, 0, 8, extents.len() as u8];
    head.into_iter()
        .chain(extents.iter().flat_map(|extent| extent.to_be_bytes()))
        .chain(elements.iter().copied())
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_holds_elements_of_six_types() {
    let folder = tempfile::tempdir().unwrap();
    let arrays = [
        Elements::U8(vec![0, 1, 2, 3, 254, 255]),
        Elements::I8(vec![-128, 127, 0, 1, 2, 3]),
        Elements::I16(vec![-32768, 32767, 258, 1, 2, 3]),
        Elements::I32(vec![i32::MIN, i32::MAX, 16909060, 0, 1, 2]),
        Elements::F32(vec![1.5, -0.0, f32::MIN_POSITIVE, 3.0, 4.0, 5.0]),
        Elements::F64(vec![1e300, -0.5, 0.1, 1.0, 2.0, 3.0]),
    ];
    for (number, elements) in arrays.into_iter().enumerate() {
        let array = FileArray::new([3, 2], elements).unwrap();
        for ending in ["", ".gz"] {
            let path = folder.path().join(format!("{number}{ending}"));
            idx::write(&path, &array).unwrap();
            assert_eq!(idx::read(&path).unwrap(), array);
        }
    }
    // Two numbers of 16 bits, the highest byte first.
    let array = idx::read_bytes("two", &[0, 0, 11, 1, 0, 0, 0, 2, 1, 2, 255, 254], false).unwrap();
    assert_eq!(array.elements(), &Elements::I16(vec![258, -2]));
    refused(idx::write(folder.path().join("x"), &FileArray::new([1], Elements::U64(vec![1])).unwrap()), &["u64"]);
}

#[test]
fn malformed_idx_is_named_with_what_is_wrong() {
    let read = |bytes: &[u8]| idx::read_bytes("images", bytes, false);
    refused(read(&[]), &["images has 0 bytes"]);
    refused(read(&[0, 0, 8, 3, 0]), &["has 5 bytes, and its head alone takes 16"]);
    refused(read(b"\x89PNG\r\n"), &["begins with the bytes [137, 80, 78, 71]", "another format"]);
    refused(read(&[0, 0, 7, 1, 0, 0, 0, 0]), &["type 7"]);
    refused(read(&idx_bytes(&[2, 2, 3], &[0; 11])), &["[2, 2, 3]", "holds 11 elements"]);
    refused(read(&idx_bytes(&[2, 2, 3], &[0; 13])), &["[2, 2, 3]", "holds more"]);
    refused(read(&idx_bytes(&[u32::MAX; 3], &[0; 11])), &["no memory holds"]);
    refused(read(&idx_bytes(&[u32::MAX], &[0; 11])), &["4294967295 bytes are announced"]);
    let whole = gzip(&idx_bytes(&[2, 2, 3], &[7; 12]));
    assert!(idx::read_bytes("images", &whole, true).is_ok());
    refused(idx::read_bytes("images", &whole[..whole.len() - 9], true), &["damaged or truncated"]);
    refused(idx::read_bytes("images", &gzip(&idx_bytes(&[1 << 31], &[])), true), &["announced"]);
    refused(idx::read("/nowhere/images"), &["/nowhere/images could not be read"]);
    refused(idx::read("/"), &["folder"]);
}

#[test]
fn images_and_labels_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let read = || idx::images_and_labels(folder.path(), "train");
    refused(read(), &["holds neither train-images-idx3-ubyte nor"]);
    write("train-images-idx3-ubyte.gz", &gzip(&idx_bytes(&[2, 1, 3], &[0, 51, 255, 102, 0, 0])));
    refused(read(), &["holds neither train-labels-idx1-ubyte nor"]);
    write("train-labels-idx1-ubyte", &idx_bytes(&[3], &[1, 2, 3]));
    refused(read(), &["holds 3 labels, and", "2 images"]);
    write("train-labels-idx1-ubyte", &idx_bytes(&[2, 1], &[1, 2]));
    refused(read(), &["u8 elements along 2 axes, and u8 along 1"]);
    write("train-labels-idx1-ubyte", &idx_bytes(&[2], &[1, 2]));
    let batch = read().unwrap().batch(&[1, 0]).unwrap();
    assert_eq!(batch.get("image").unwrap().shape()[..], [2, 1, 3]);
    assert_eq!(batch.get("image").unwrap().to_vec(), [0.4, 0.0, 0.0, 0.0, 0.2, 1.0]);
    assert_eq!(batch.get("label").unwrap().to_vec(), [2.0, 1.0]);
    write("train-images-idx3-ubyte.gz", &gzip(&idx_bytes(&[0, 1, 3], &[])));
    refused(read(), &["holds nothing"]);
}

/// A file with this head.
fn npy_bytes(head: &str, data: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(head.len() as u16).to_le_bytes()[..], head.as_bytes(), data].concat()
}

#[test]
fn npy_is_read_in_either_order_of_bytes_and_axes() {
    let read = |descr: &str, fortran: &str, shape: &str, data: &[u8]| {
        npy::read_bytes(
            "a",
            &npy_bytes(&format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}  \n"), data),
        )
        .unwrap()
    };
    assert_eq!(
        read(">i4", "False", "(2,)", &[0, 0, 1, 2, 255, 255, 255, 255]).elements(),
        &Elements::I32(vec![258, -1])
    );
    assert_eq!(read("<i8", "False", "(1,)", &[2, 1, 0, 0, 0, 0, 0, 0]).elements(), &Elements::I64(vec![258]));
    assert_eq!(read("|b1", "False", "(3,)", &[1, 0, 2]).elements(), &Elements::Bool(vec![true, false, true]));
    assert_eq!(read(">f8", "False", "()", &1.5f64.to_be_bytes()).elements(), &Elements::F64(vec![1.5]));
    assert_eq!(read("|u1", "True", "(2, 3)", &[1, 2, 3, 4, 5, 6]).elements(), &Elements::U8(vec![1, 3, 5, 2, 4, 6]));
    assert_eq!(read("|u1", "True", "(2, 1, 2)", &[1, 2, 3, 4]).elements(), &Elements::U8(vec![1, 3, 2, 4]));
    assert!(read("<f4", "False", "(0, 3)", &[]).elements().is_empty());
    // Keys in another order, and other quotes.
    let head = "{\"shape\": (1, 2), \"fortran_order\": False, \"descr\": \"|u1\"}\n";
    assert_eq!(npy::read_bytes("a", &npy_bytes(head, &[7, 8])).unwrap().shape()[..], [1, 2]);
}

#[test]
fn malformed_npy_is_named_with_what_is_wrong() {
    let read = |head: &str, data: &[u8]| npy::read_bytes("a.npy", &npy_bytes(head, data));
    let of = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    refused(npy::read_bytes("a.npy", b""), &["a.npy does not begin"]);
    refused(npy::read_bytes("a.npy", b"PK\x03\x04aaaaaaaa"), &["another format"]);
    refused(npy::read_bytes("a.npy", b"\x93NUMPY\x09\x00\x01\x00{"), &["version 9"]);
    refused(npy::read_bytes("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"), &["head of 4294967295 bytes"]);
    refused(npy::read_bytes("a.npy", b"\x93NUMPY\x01\x00\x14\x00{'descr'"), &["ends within its head"]);
    refused(read(&of("(3,)"), &[0; 8]), &["shape [3]", "holds 2 elements"]);
    refused(read(&of("(3,)"), &[0; 13]), &["holds more"]);
    refused(read(&of("(1000000000000, 1000000000000)"), &[]), &["no memory holds"]);
    refused(read(&of("(-1,)"), &[]), &["extent `-1`"]);
    refused(read(&of("3"), &[]), &["no tuple"]);
    refused(read("(((((((((((((((((((((", &[]), &["no dictionary"]);
    refused(read("{}", &[]), &["does not tell the type"]);
    refused(read("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", &[0; 8]), &["`|O`", "astype"]);
    refused(read("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", &[0; 4]), &["records"]);
    refused(read("{'descr': '<f2', 'fortran_order': Maybe, 'shape': (1,), }", &[0; 2]), &["fortran_order is `Maybe`"]);
}

#[test]
fn npz_holds_arrays_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.npz");
    let x = FileArray::new([100, 3], Elements::F32((0..300).map(|x| x as f32 / 7.0).collect())).unwrap();
    let y = FileArray::new([100], Elements::I64((0..100).collect())).unwrap();
    npy::write_npz(&path, [("x", &x), ("y", &y)]).unwrap();
    let read = npy::read_npz(&path).unwrap();
    assert_eq!(read, [("x".to_owned(), x), ("y".to_owned(), y)]);
    assert_eq!(read[1].1.to_labels().unwrap().to_vec()[99], 99.0);
    let bytes = std::fs::read(&path).unwrap();
    refused(npy::read_npz_bytes("both", &bytes[..bytes.len() / 2]), &["both is no archive"]);
    refused(npy::read_npz_bytes("both", b"\x93NUMPY"), &["both is no archive"]);
    let big = FileArray::new([1], Elements::I64(vec![1 << 40])).unwrap();
    refused(big.to_labels(), &["element 0 is 1099511627776"]);
    refused(FileArray::new([1], Elements::F32(vec![0.5])).unwrap().to_labels(), &["f32"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_as_npy_is_read_again(shape in prop::collection::vec(0usize..5, 0..4), seed: u32, kind in 0..3) {
        let count: usize = shape.iter().product();
        let bits = (0..count as u32).map(|place| place.wrapping_mul(2_654_435_761) ^ seed);
        let elements = match kind {
            0 => Elements::F32(bits.map(|bits| f32::from_bits(bits & 0xBF7F_FFFF)).collect()),
            1 => Elements::U16(bits.map(|bits| bits as u16).collect()),
            _ => Elements::I64(bits.map(|bits| i64::from(bits) << 20).collect()),
        };
        let array = FileArray::new(shape, elements).unwrap();
        let bytes = npy::to_bytes(&array);
        prop_assert_eq!((bytes.len() - count * [4, 2, 8][kind as usize]) % 64, 0);
        prop_assert_eq!(npy::read_bytes("it", &bytes).unwrap(), array);
    }

    #[test]
    fn damaged_arrays_never_panic(at in 0usize..200, byte: u8, cut in 0usize..200) {
        let array = FileArray::new([4, 3], Elements::F32(vec![0.5; 12])).unwrap();
        let mut npy_bytes = npy::to_bytes(&array);
        let mut idx_bytes = idx_bytes(&[2, 2, 3], &[7; 12]);
        for bytes in [&mut npy_bytes, &mut idx_bytes] {
            let place = at % bytes.len();
            bytes[place] = byte;
            bytes.truncate(bytes.len() - cut % bytes.len());
        }
        let _ = (npy::read_bytes("it", &npy_bytes), idx::read_bytes("it", &idx_bytes, false), npy::read_npz_bytes("it", &npy_bytes));
    }
}
