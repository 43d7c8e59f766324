//! The format of MNIST (IDX), gzipped or plain.
//!
//! A file is two bytes of zero, the element type (8: `u8`, 9: `i8`, 11: `i16`, 12: `i32`, 13: `f32`, 14: `f64`), the number of axes,
//! the extent of every axis as four bytes with the highest first, and then the elements, the highest byte first.
//! Source: `LeCun`, Cortes, Burges, "The MNIST database of handwritten digits".
//!
//! ```no_run
//! use retrograd::data::{DataLoader, idx};
//! # fn main() -> retrograd::Result<()> {
//! let training = idx::images_and_labels("mnist", "train")?;    // image f32[28, 28] from 0 to 1, label i32[]
//! let loader = DataLoader::new(training.reshape("image", [1, 28, 28])?, 64).shuffle(1).drop_last();
//! # Ok(())
//! # }
//! ```

use super::arrays::all;
use super::source::{Source, fault};
use super::{Elements, FileArray, Tensors};
use crate::base::{Error, Result, Shape};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The array in a file, unpacked where its name ends in `.gz`.
///
/// # Errors
/// When it cannot be read, is not in this format, or holds more or less than its extents say.
pub fn read(path: impl AsRef<Path>) -> Result<FileArray> {
    parse(Source::open(path.as_ref())?)
}

/// The array in some bytes, packed by gzip or not; `name` is what errors call it.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(name: &str, bytes: &[u8], packed: bool) -> Result<FileArray> {
    parse(Source::new(name.to_owned(), bytes, bytes.len() as u64, packed))
}

fn parse(mut source: Source<'_>) -> Result<FileArray> {
    let head = source.up_to(4)?;
    let refuse = |source: &Source<'_>, what: String| Err(fault(&source.name, what));
    let &[0, 0, kind, rank] = &head[..] else {
        return refuse(
            &source,
            if head.len() < 4 {
                format!("has {} bytes, and the head of an IDX file alone takes 4 and more", head.len())
            } else {
                format!(
                    "begins with the bytes {head:?}, and an IDX file with two zeros: is it in another format, or packed?"
                )
            },
        );
    };
    let Some(width) = width(kind) else {
        return refuse(&source, format!("has elements of type {kind}, and IDX knows 8, 9, 11, 12, 13 and 14"));
    };
    let axes = source.up_to(4 * usize::from(rank))?;
    if axes.len() < 4 * usize::from(rank) {
        let (bytes, head) = (4 + axes.len(), 4 + 4 * usize::from(rank));
        return refuse(&source, format!("has {bytes} bytes, and its head alone takes {head} with {rank} axes"));
    }
    let shape = Shape::from(all::<u32>(&axes, true).into_iter().map(|extent| extent as usize).collect::<Vec<_>>());
    let Some(bytes) = shape.checked_elements().and_then(|elements| elements.checked_mul(width)) else {
        return refuse(&source, format!("has extents {shape}, whose product no memory holds"));
    };
    let held = source.up_to(bytes)?;
    if held.len() < bytes {
        return refuse(
            &source,
            format!(
                "has extents {shape}, and holds {} elements of {}: is it cut off?",
                held.len() / width,
                bytes / width
            ),
        );
    }
    if !source.is_over()? {
        return refuse(&source, format!("has extents {shape}, and holds more elements"));
    }
    let elements = match kind {
        8 => Elements::U8(held),
        9 => Elements::I8(all(&held, true)),
        11 => Elements::I16(all(&held, true)),
        12 => Elements::I32(all(&held, true)),
        13 => Elements::F32(all(&held, true)),
        _ => Elements::F64(all(&held, true)),
    };
    FileArray::new(shape, elements)
}

/// Bytes of an element.
const fn width(kind: u8) -> Option<usize> {
    match kind {
        8 | 9 => Some(1),
        11 => Some(2),
        12 | 13 => Some(4),
        14 => Some(8),
        _ => None,
    }
}

/// Writes an array, gzipped where the name ends in `.gz`.
///
/// # Errors
/// When the format has no such type, more than 255 axes or an extent beyond 32 bits were given, or the file cannot be written.
pub fn write(path: impl AsRef<Path>, array: &FileArray) -> Result<()> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let kind = match array.elements() {
        Elements::U8(_) => 8u8,
        Elements::I8(_) => 9,
        Elements::I16(_) => 11,
        Elements::I32(_) => 12,
        Elements::F32(_) => 13,
        Elements::F64(_) => 14,
        other => {
            let what = format!("was to hold {} elements, and IDX has u8, i8, i16, i32, f32 and f64", other.type_name());
            return Err(fault(&name, what));
        }
    };
    let shape = array.shape();
    let too_large = || fault(&name, format!("was to hold shape {shape}, and IDX has at most 255 axes of 32 bits"));
    let mut bytes = vec![0, 0, kind, u8::try_from(shape.rank()).map_err(|_| too_large())?];
    for &extent in shape.iter() {
        bytes.extend(u32::try_from(extent).map_err(|_| too_large())?.to_be_bytes());
    }
    match array.elements() {
        Elements::U8(data) => bytes.extend_from_slice(data),
        Elements::I8(data) => data.iter().for_each(|x| bytes.extend(x.to_be_bytes())),
        Elements::I16(data) => data.iter().for_each(|x| bytes.extend(x.to_be_bytes())),
        Elements::I32(data) => data.iter().for_each(|x| bytes.extend(x.to_be_bytes())),
        Elements::F32(data) => data.iter().for_each(|x| bytes.extend(x.to_be_bytes())),
        Elements::F64(data) => data.iter().for_each(|x| bytes.extend(x.to_be_bytes())),
        _ => {}
    }
    let unwritable = |error: std::io::Error| fault(&name, format!("could not be written: {error}")).caused_by(error);
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz")) {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(&bytes).map_err(unwritable)?;
        bytes = packer.finish().map_err(unwritable)?;
    }
    crate::base::write_whole(path, &bytes).map_err(unwritable)
}

/// Images with their labels from a folder with files of MNIST's names, gzipped or plain: `set` is `train` or `t10k`, for
/// `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`. The columns are `image`, `f32[height, width]` from 0 to 1 (held as bytes), and
/// `label`, `i32[]`.
///
/// # Errors
/// When a file is missing, damaged, of other types or numbers of axes, or the numbers of images and labels differ.
pub fn images_and_labels(folder: impl AsRef<Path>, set: &str) -> Result<Tensors> {
    let folder = folder.as_ref();
    let images_path = existing(folder, &format!("{set}-images-idx3-ubyte"))?;
    let images = of_bytes(&images_path, 3)?;
    let labels_path = existing(folder, &format!("{set}-labels-idx1-ubyte"))?;
    let labels = of_bytes(&labels_path, 1)?;
    if labels.shape()[0] != images.shape()[0] {
        let (count, of_images) = (labels.shape()[0], images.shape()[0]);
        let name = labels_path.display().to_string();
        return Err(fault(&name, format!("holds {count} labels, and {} {of_images} images", images_path.display())));
    }
    let labels = labels.to_labels()?;
    let (shape, elements) = images.into_parts();
    let Elements::U8(pixels) = elements else { return Err(no_bytes(&images_path, &shape, &elements, 3)) };
    Tensors::new().bytes("image", shape, pixels, 255.0)?.tensor("label", labels)
}

fn of_bytes(path: &Path, rank: usize) -> Result<FileArray> {
    let array = read(path)?;
    if array.shape().rank() != rank || !matches!(array.elements(), Elements::U8(_)) {
        return Err(no_bytes(path, array.shape(), array.elements(), rank));
    }
    if array.elements().is_empty() {
        return Err(fault(&path.display().to_string(), format!("holds nothing: its extents are {}", array.shape())));
    }
    Ok(array)
}

fn no_bytes(path: &Path, shape: &Shape, elements: &Elements, rank: usize) -> Error {
    let (kind, found) = (elements.type_name(), shape.rank());
    let what = format!("holds {kind} elements along {found} axes, and u8 along {rank} were expected");
    fault(&path.display().to_string(), what)
}

/// The file of this name in a folder, or with `.gz` behind it.
fn existing(folder: &Path, name: &str) -> Result<PathBuf> {
    let paths = [folder.join(name), folder.join(format!("{name}.gz"))];
    paths
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| fault(&folder.display().to_string(), format!("holds neither {name} nor {name}.gz")))
}
