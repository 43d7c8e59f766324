//! Images of digits: the 8x8 ones that come with the examples, or a folder with files in MNIST's format.

use crate::support::{self, Outcome};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;

/// More images than this are left out.
const MOST_IMAGES: usize = 10_000;
/// Larger files than this are no digits.
const MOST_BYTES: u64 = 1 << 28;

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
    let (images, images_name) = read(folder, "t10k-images-idx3-ubyte")?;
    let (labels, labels_name) = read(folder, "t10k-labels-idx1-ubyte")?;
    let ([count, height, width], pixels) = idx::<3>(&images, &images_name)?;
    let ([label_count], labels) = idx::<1>(&labels, &labels_name)?;
    if count != label_count || count == 0 || height * width == 0 {
        return Err(format!(
            "{images_name} has {count} images of {height}x{width} pixels and {labels_name} {label_count} labels"
        )
        .into());
    }
    if let Some(label) = labels.iter().find(|label| **label > 9) {
        return Err(format!("{labels_name} has the label {label}, and digits are 0 to 9").into());
    }
    let (taken, pixels_each) = (count.min(MOST_IMAGES), height * width);
    Ok(Images {
        pixels: pixels_each,
        values: pixels[..taken * pixels_each].iter().map(|&pixel| f64::from(pixel) / 255.0).collect(),
        labels: labels[..taken].iter().map(|&label| i32::from(label)).collect(),
    })
}

/// The bytes of a file, unpacked, from its plain or its compressed form, and the name it was found under.
fn read(folder: &Path, name: &str) -> Outcome<(Vec<u8>, String)> {
    let (plain, packed) = (folder.join(name), folder.join(format!("{name}.gz")));
    let path = if plain.is_file() { &plain } else { &packed };
    let place = path.display().to_string();
    let describe = |error: std::io::Error| format!("{place} could not be read: {error}");
    if !path.is_file() {
        return Err(format!("neither {name} nor {name}.gz is in {}", folder.display()).into());
    }
    let file = std::fs::File::open(path).map_err(describe)?;
    let mut source: Box<dyn Read> = if plain.is_file() { Box::new(file) } else { Box::new(GzDecoder::new(file)) };
    let mut bytes = Vec::new();
    source.by_ref().take(MOST_BYTES).read_to_end(&mut bytes).map_err(describe)?;
    Ok((bytes, place))
}

/// The extents and the elements of a file in the IDX format: two zero bytes, 8 for bytes as elements, the
/// number of axes, their extents as big-endian words, the elements.
fn idx<'a, const AXES: usize>(bytes: &'a [u8], name: &str) -> Outcome<([usize; AXES], &'a [u8])> {
    let header = 4 + 4 * AXES;
    if bytes.len() < header {
        return Err(format!(
            "{name} is truncated: its header alone takes {header} bytes and there are {}",
            bytes.len()
        )
        .into());
    }
    if bytes[..4] != [0, 0, 8, AXES as u8] {
        return Err(format!("{name} is no IDX file of bytes with {AXES} axes: it starts with {:?}", &bytes[..4]).into());
    }
    let word = |axis: usize| {
        bytes[4 + 4 * axis..8 + 4 * axis].iter().fold(0usize, |word, &byte| word << 8 | usize::from(byte))
    };
    let extents: [usize; AXES] = std::array::from_fn(word);
    let elements = extents.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    match elements {
        Some(elements) if elements == bytes.len() - header => Ok((extents, &bytes[header..])),
        _ => {
            let got = bytes.len() - header;
            Err(format!(
                "{name} is truncated or damaged: its header announces extents {extents:?}, and {got} elements follow"
            )
            .into())
        }
    }
}
