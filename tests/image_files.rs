//! Files in MNIST's format, as the examples read them: plain and gzipped, whole and malformed.

#[path = "../examples/support/mod.rs"]
mod support;

use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;
use std::path::Path;
use support::idx::{images, training_and_test};

/// A file of unsigned bytes with these extents.
fn bytes_of(extents: &[u32], elements: &[u8]) -> Vec<u8> {
    let head = [0, 0, 8, extents.len() as u8];
    head.into_iter()
        .chain(extents.iter().flat_map(|extent| extent.to_be_bytes()))
        .chain(elements.iter().copied())
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes `count` images of 2 x 3 pixels, whose pixels are 51 times their label, as plain files.
fn write_set(folder: &Path, set: &str, count: u8) {
    let labels: Vec<u8> = (0..count).map(|number| number % 10).collect();
    let pixels: Vec<u8> = labels.iter().flat_map(|&label| [(label % 6) * 51; 6]).collect();
    let count = u32::from(count);
    std::fs::write(folder.join(format!("{set}-images-idx3-ubyte")), bytes_of(&[count, 2, 3], &pixels)).unwrap();
    std::fs::write(folder.join(format!("{set}-labels-idx1-ubyte")), bytes_of(&[count], &labels)).unwrap();
}

#[test]
fn files_are_read_plain_or_gzipped_and_split_where_there_is_one_set() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), "t10k", 40);
    let plain = images(folder.path(), "t10k").unwrap();
    assert_eq!((plain.len(), plain.extents, plain.width), (40, [2, 3], 6));
    assert_eq!(plain.pixels[6..18], [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]);
    assert_eq!(plain.labels[38..], [8, 9]);
    for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        let path = folder.path().join(name);
        std::fs::write(folder.path().join(format!("{name}.gz")), gzip(&std::fs::read(&path).unwrap())).unwrap();
        std::fs::remove_file(path).unwrap();
    }
    let packed = images(folder.path(), "t10k").unwrap();
    assert_eq!((packed.pixels, packed.labels), (plain.pixels, plain.labels));

    let sizes =
        |seed| training_and_test(folder.path(), seed).map(|(training, test)| (training.len(), test.len())).unwrap();
    assert_eq!(sizes(1), (36, 4));
    let of = |seed| training_and_test(folder.path(), seed).unwrap().0.labels;
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    write_set(folder.path(), "train", 60);
    assert_eq!(sizes(1), (60, 40));
}

#[test]
fn malformed_files_are_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |parts: &[&str]| {
        let text = training_and_test(folder.path(), 1).unwrap_err().to_string();
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
    };
    let (pixels, labels) = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    refused(&["holds neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz"]);
    write(pixels, &[0, 0, 8, 3, 0]);
    refused(&[pixels, "has 5 bytes, and its head alone takes 16"]);
    write(pixels, &bytes_of(&[64], &[0; 64]));
    refused(&[pixels, "holds u8 elements along 1 axes, and u8 along 3"]);
    write(pixels, &bytes_of(&[2, 0, 3], &[]));
    refused(&[pixels, "holds nothing: its extents are [2, 0, 3]"]);
    write(pixels, &bytes_of(&[2, 2, 3], &[0; 11]));
    refused(&[pixels, "has extents [2, 2, 3], and holds 11 elements"]);
    write(pixels, &bytes_of(&[u32::MAX, u32::MAX, u32::MAX], &[0; 11]));
    refused(&[pixels, "has extents [4294967295, 4294967295, 4294967295], whose product no memory holds"]);
    write(pixels, &bytes_of(&[2, 2, 3], &[0; 12]));
    refused(&["holds neither t10k-labels-idx1-ubyte nor"]);
    write(labels, &bytes_of(&[3], &[1, 2, 3]));
    refused(&[labels, "holds 3 labels, and", pixels, "2 images"]);
    write(labels, &bytes_of(&[2], &[1, 12]));
    refused(&["label 1 of t10k-labels is 12, and digits are 0 to 9"]);
    write(labels, &bytes_of(&[2], &[1, 2]));
    let whole = gzip(&bytes_of(&[2, 2, 3], &[7; 12]));
    std::fs::remove_file(folder.path().join(pixels)).unwrap();
    write(&format!("{pixels}.gz"), &whole[..whole.len() - 9]);
    refused(&[pixels, ".gz is damaged or truncated"]);
    write(&format!("{pixels}.gz"), &whole);
    write("train-images-idx3-ubyte", &bytes_of(&[2, 3, 3], &[0; 18]));
    write("train-labels-idx1-ubyte", &bytes_of(&[2], &[0, 1]));
    refused(&["the images for training are [3, 3] and those for testing [2, 3]"]);
}
