//! Images of digits: the 8x8 ones that come with the examples, or a folder with files in MNIST's format.

use crate::support::{self, Outcome};
use std::path::Path;

/// More images than this are left out.
const MOST_IMAGES: usize = 10_000;

/// Images with their labels, 0 to 9.
pub struct Images {
    /// Pixels per image.
    pub pixels: usize,
    /// All pixels, image by image, from 0 to 1.
    pub values: Vec<f64>,
    /// One label per image.
    pub labels: Vec<i32>,
}

/// The images that come with the examples.
pub fn bundled() -> Outcome<Images> {
    let digits = support::digits(None)?;
    Ok(Images {
        pixels: digits.width,
        values: digits.pixels.into_iter().map(f64::from).collect(),
        labels: digits.labels,
    })
}

/// The first 10,000 test images of a folder.
pub fn mnist(folder: &Path) -> Outcome<Images> {
    let images = support::idx::images(folder, "t10k")?;
    let taken = images.len().min(MOST_IMAGES);
    Ok(Images {
        pixels: images.width,
        values: images.pixels[..taken * images.width].iter().copied().map(f64::from).collect(),
        labels: images.labels[..taken].to_vec(),
    })
}
