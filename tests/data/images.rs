//! Folders of images, one of them corrupt.

use crate::refused;
use retrograd::data::{Corrupt, DataLoader, Dataset, Images};
use std::path::Path;

/// An image of one colour, but for its first pixel, which is black.
fn write(path: &Path, size: [u32; 2], colour: [u8; 3]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixel = |x: u32, y: u32| image::Rgb(if (x, y) == (0, 0) { [0; 3] } else { colour });
    image::RgbImage::from_fn(size[1], size[0], pixel).save(path).unwrap();
}

#[test]
fn subfolders_are_classes_and_channels_come_first() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("dog/1.png"), [2, 3], [255, 51, 0]);
    write(&folder.path().join("cat/b.png"), [2, 3], [0, 0, 255]);
    write(&folder.path().join("cat/a.PNG"), [2, 3], [0, 255, 0]);
    std::fs::write(folder.path().join("cat/notes.txt"), "no image").unwrap();
    let images = Images::new().read(folder.path()).unwrap();
    assert_eq!((images.labels().names(), images.len()), (&["cat".to_owned(), "dog".to_owned()][..], 3));
    let all = images.all().unwrap();
    assert_eq!(all.get("label").unwrap().to_vec(), [0.0, 0.0, 1.0]);
    assert_eq!(all.get("image").unwrap().shape()[..], [3, 3, 2, 3]);
    let dog = images.batch(&[2]).unwrap().get("image").unwrap().to_vec();
    assert_eq!(dog[..6], [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(dog[6..9], [0.0, 0.2, 0.2]);
    assert!(images.path(0).unwrap().ends_with("cat/a.PNG"));
    let grey = Images::new().grey().read(folder.path()).unwrap();
    assert_eq!(grey.batch(&[0]).unwrap().get("image").unwrap().shape()[..], [1, 1, 2, 3]);
    let loader = DataLoader::new(images, 2).threads(2).pad();
    assert_eq!(loader.epoch().map(Result::unwrap).map(|batch| batch.rows()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn sizes_and_corrupt_files_are_errors_unless_there_is_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    refused(Images::new().read(folder.path()), &["holds no subfolder"]);
    refused(Images::new().read(folder.path().join("nowhere")), &["nowhere could not be listed"]);
    write(&folder.path().join("a/1.png"), [4, 4], [9, 9, 9]);
    write(&folder.path().join("b/2.jpg"), [8, 6], [200, 100, 50]);
    refused(Images::new().read(folder.path()), &["b/2.jpg is an image of 8 x 6", "a/1.png one of 4 x 4", "resize"]);
    let resized = Images::new().resize([5, 7]).read(folder.path()).unwrap();
    assert_eq!(resized.all().unwrap().get("image").unwrap().shape()[..], [2, 3, 5, 7]);

    let whole = std::fs::read(folder.path().join("b/2.jpg")).unwrap();
    let corrupt = folder.path().join("b/3.png");
    std::fs::write(&corrupt, &whole[..20]).unwrap();
    refused(Images::new().resize([4, 4]).read(folder.path()), &["b/3.png cannot be read as an image"]);
    let left = Images::new().resize([4, 4]).corrupt(Corrupt::Skip).read(folder.path()).unwrap();
    assert_eq!((left.len(), left.skipped().len()), (2, 1));
    assert!(left.skipped()[0].0.ends_with("b/3.png") && left.skipped()[0].1.contains("b/3.png"));
    // One that is damaged later is an error at its batch.
    std::fs::write(folder.path().join("a/1.png"), b"").unwrap();
    let error = DataLoader::new(left, 1).epoch().next().unwrap();
    refused(error, &["batch 0 of epoch 0", "a/1.png cannot be read as an image"]);
}
