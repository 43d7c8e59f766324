//! Images and labels in the format of MNIST (IDX), gzipped or plain.
//!
//! A file is two bytes of zero, the element type (8: unsigned bytes), the number of axes, the extent of every axis as
//! four bytes with the highest first, and then the elements. Source: `LeCun`, Cortes, Burges, "The MNIST database".

use super::{Images, Outcome};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// More elements than this are no digits.
const MOST_BYTES: u64 = 1 << 30;

/// Training and test images of a folder: its `train` and `t10k` files; or, where it has the latter alone, nine tenths and
/// one tenth of those, drawn by the seed.
pub fn training_and_test(folder: &Path, seed: u64) -> Outcome<(Images, Images)> {
    let test = images(folder, "t10k")?;
    if find(folder, "train-images-idx3-ubyte").is_none() {
        return Ok(test.split(0.9, seed));
    }
    let training = images(folder, "train")?;
    if training.extents != test.extents {
        let (of_training, of_test) = (training.extents, test.extents);
        return Err(format!(
            "{}: the images for training are {of_training:?} and those for testing {of_test:?}",
            folder.display()
        )
        .into());
    }
    Ok((training, test))
}

/// One set of images, `train` or `t10k`, with their labels; pixels from 0 to 1.
pub fn images(folder: &Path, set: &str) -> Outcome<Images> {
    let path = existing(folder, &format!("{set}-images-idx3-ubyte"))?;
    let (extents, pixels) = read(&path, 3)?;
    let labels_path = existing(folder, &format!("{set}-labels-idx1-ubyte"))?;
    let (count, labels) = read(&labels_path, 1)?;
    if count[0] != extents[0] {
        let (labels_path, path) = (labels_path.display(), path.display());
        return Err(format!("{labels_path} holds {} labels, and {path} {} images", count[0], extents[0]).into());
    }
    if let Some(place) = labels.iter().position(|&label| label > 9) {
        let path = labels_path.display();
        return Err(format!("{path}: label {place} is {}, and digits are 0 to 9", labels[place]).into());
    }
    Ok(Images {
        width: extents[1] * extents[2],
        extents: [extents[1], extents[2]],
        pixels: pixels.into_iter().map(|pixel| f32::from(pixel) / 255.0).collect(),
        labels: labels.into_iter().map(i32::from).collect(),
    })
}

/// The file of this name, or with `.gz` behind it.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

fn existing(folder: &Path, name: &str) -> Outcome<PathBuf> {
    find(folder, name).ok_or_else(|| format!("{} holds neither {name} nor {name}.gz", folder.display()).into())
}

/// The extents and elements of a file of unsigned bytes with so many axes.
fn read(path: &Path, rank: usize) -> Outcome<(Vec<usize>, Vec<u8>)> {
    let name = path.display();
    let file = std::fs::File::open(path).map_err(|error| format!("{name} could not be read: {error}"))?;
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    parse(&name.to_string(), file, packed, rank)
}

/// The extents and elements of what is read from a file, packed or not; `name` is what messages call it. No more is unpacked
/// than the head says that there is.
pub fn parse(name: &str, file: impl Read, packed: bool, rank: usize) -> Outcome<(Vec<usize>, Vec<u8>)> {
    let mut source: Box<dyn Read + '_> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let damaged = |error: std::io::Error| format!("{name} is damaged or truncated: {error}");
    let head = 4 + 4 * rank;
    let mut bytes = Vec::new();
    source.by_ref().take(head as u64).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() < head {
        return Err(format!("{name} has {} bytes, and its head alone takes {head}", bytes.len()).into());
    }
    if bytes[..4] != [0, 0, 8, rank as u8] {
        return Err(format!(
            "{name} begins with the bytes {:?}: unsigned bytes along {rank} axes (IDX) begin with {:?}",
            &bytes[..4],
            [0, 0, 8, rank]
        )
        .into());
    }
    let extents: Vec<usize> = bytes[4..head]
        .chunks_exact(4)
        .map(|extent| extent.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
        .collect();
    let elements = extents.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    if elements == Some(0) {
        return Err(format!("{name} holds nothing: its extents are {extents:?}").into());
    }
    let Some(elements) = elements.filter(|&elements| elements as u64 <= MOST_BYTES) else {
        return Err(format!("{name} has extents {extents:?}, and at most {MOST_BYTES} elements are read").into());
    };
    let mut held = Vec::new();
    source.take(elements as u64 + 1).read_to_end(&mut held).map_err(damaged)?;
    if held.len() > elements {
        return Err(format!("{name} has extents {extents:?}, and holds more elements").into());
    }
    if held.len() < elements {
        return Err(format!("{name} has extents {extents:?}, and holds {} elements", held.len()).into());
    }
    Ok((extents, held))
}
