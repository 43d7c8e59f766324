//! The formats of `NumPy`: `.npy`, one array, and `.npz`, a zip archive of them by name.
//!
//! A `.npy` file is the bytes `\x93NUMPY`, two bytes of version, the length of a head (two bytes, or four from version 2 on), the head as a
//! Python dictionary such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, and the elements.
//! Source: `NumPy` Enhancement Proposal 1, "A simple file format for `NumPy` arrays".
//!
//! The head is read here, not by a Python parser: it has three fixed keys, and a general one would take memory and stack as a hostile head
//! tells it to.

use super::arrays::{Stored as _, all, each};
use super::source::{Source, fault};
use super::{Elements, FileArray};
use crate::base::{Error, Result, Shape};
use std::fmt::Write as _;
use std::io::{Read, Seek, Write};
use std::path::Path;
use zip::ZipArchive;
use zip::write::SimpleFileOptions;

const MAGIC: &[u8] = b"\x93NUMPY";
/// A longer head is refused, as by `NumPy` itself.
const MOST_HEAD: usize = 10_000;

/// The array of a `.npy` file.
///
/// Truth values, integers of 8 to 64 bits, and floats of 32 and 64 bits are read, in either order of bytes and of axes (Fortran's is turned
/// into the row-major one).
///
/// # Errors
/// When it cannot be read, is not in this format, has elements of another type, or holds more or less than its shape says.
pub fn read(path: impl AsRef<Path>) -> Result<FileArray> {
    parse(&mut Source::open(path.as_ref())?)
}

/// The array in the bytes of a `.npy` file; `name` is what errors call it.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(name: &str, bytes: &[u8]) -> Result<FileArray> {
    parse(&mut Source::new(name.to_owned(), bytes, bytes.len() as u64, false))
}

/// All arrays of a `.npz` file with their names, in the order of the file.
///
/// # Errors
/// As [`read`], for each of its arrays.
pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, FileArray)>> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let file = std::fs::File::open(path)
        .map_err(|error| fault(&name, format!("could not be read: {error}")).caused_by(error))?;
    unzip(&name, std::io::BufReader::new(file))
}

/// All arrays in the bytes of a `.npz` file; `name` is what errors call it.
///
/// # Errors
/// As [`read_npz`].
pub fn read_npz_bytes(name: &str, bytes: &[u8]) -> Result<Vec<(String, FileArray)>> {
    unzip(name, std::io::Cursor::new(bytes))
}

fn unzip(name: &str, reader: impl Read + Seek + Send) -> Result<Vec<(String, FileArray)>> {
    let damaged = |error: zip::result::ZipError| {
        fault(name, format!("is no archive, or a damaged one: {error}")).caused_by(error)
    };
    let mut archive = ZipArchive::new(reader).map_err(damaged)?;
    let mut arrays: Vec<(String, FileArray)> = Vec::new();
    for place in 0..archive.len() {
        let entry = archive.by_index(place).map_err(damaged)?;
        let entry_name = entry.name().map_err(damaged)?.into_owned();
        let Some(array) = entry_name.strip_suffix(".npy") else { continue };
        if arrays.iter().any(|(other, _)| other == array) {
            return Err(fault(name, format!("holds two arrays named `{array}`")));
        }
        let packed = entry.compressed_size();
        // Nothing unpacks to more than its size says, nor to more than it can.
        let most = entry.size().min(packed.saturating_mul(super::source::BEST_PACKING));
        let mut source = Source::new(format!("{name}, array `{array}`"), entry, most, false).growing();
        arrays.push((array.to_owned(), parse(&mut source)?));
    }
    Ok(arrays)
}

fn parse(source: &mut Source<'_>) -> Result<FileArray> {
    let head = Head::read(source)?;
    let elements = head.shape.checked_elements();
    let Some(bytes) = elements.and_then(|elements| elements.checked_mul(head.kind.width())) else {
        return Err(fault(&source.name, format!("has shape {}, which no memory holds", head.shape)));
    };
    let held = source.up_to(bytes)?;
    if held.len() < bytes {
        let found = held.len() / head.kind.width();
        let wanted = bytes / head.kind.width();
        let what = format!("has shape {}, and holds {found} elements of {wanted}: is it cut off?", head.shape);
        return Err(fault(&source.name, what));
    }
    if !source.is_over()? {
        return Err(fault(&source.name, format!("has shape {}, and holds more elements", head.shape)));
    }
    let elements = head.kind.elements(&held, head.big_endian);
    FileArray::new(head.shape.clone(), if head.fortran { row_major(&head.shape, &elements) } else { elements })
}

/// What the head of a file says.
struct Head {
    kind: Kind,
    big_endian: bool,
    fortran: bool,
    shape: Shape,
}

/// The type of elements.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Kind {
    fn of(code: &str) -> Option<Self> {
        Some(match code {
            "b1" => Self::Bool,
            "u1" => Self::U8,
            "i1" => Self::I8,
            "u2" => Self::U16,
            "i2" => Self::I16,
            "u4" => Self::U32,
            "i4" => Self::I32,
            "u8" => Self::U64,
            "i8" => Self::I64,
            "f4" => Self::F32,
            "f8" => Self::F64,
            _ => return None,
        })
    }

    const fn width(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    fn elements(self, bytes: &[u8], big_endian: bool) -> Elements {
        match self {
            Self::Bool => Elements::Bool(all(bytes, big_endian)),
            Self::U8 => Elements::U8(bytes.to_vec()),
            Self::I8 => Elements::I8(all(bytes, big_endian)),
            Self::U16 => Elements::U16(all(bytes, big_endian)),
            Self::I16 => Elements::I16(all(bytes, big_endian)),
            Self::U32 => Elements::U32(all(bytes, big_endian)),
            Self::I32 => Elements::I32(all(bytes, big_endian)),
            Self::U64 => Elements::U64(all(bytes, big_endian)),
            Self::I64 => Elements::I64(all(bytes, big_endian)),
            Self::F32 => Elements::F32(all(bytes, big_endian)),
            Self::F64 => Elements::F64(all(bytes, big_endian)),
        }
    }
}

impl Head {
    fn read(source: &mut Source<'_>) -> Result<Self> {
        let start = source.up_to(8)?;
        if start.len() < 8 || !start.starts_with(MAGIC) {
            return Err(fault(&source.name, "does not begin as a .npy file does: is it in another format?"));
        }
        let width = match start[6] {
            1 => 2,
            2 | 3 => 4,
            version => {
                return Err(fault(&source.name, format!("has version {version} of the format, and 1 to 3 are known")));
            }
        };
        let truncated = |source: &Source<'_>| fault(&source.name, "ends within its head");
        let length = source.up_to(width)?;
        if length.len() < width {
            return Err(truncated(source));
        }
        let length = length.iter().rev().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
        if length > MOST_HEAD {
            return Err(fault(&source.name, format!("has a head of {length} bytes, and at most {MOST_HEAD} are read")));
        }
        let text = source.up_to(length)?;
        if text.len() < length {
            return Err(truncated(source));
        }
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text).map_err(|what| fault(&source.name, format!("has the head `{}`: {what}", text.trim())))
    }

    /// The dictionary of a head, whose keys may come in any order.
    fn parse(text: &str) -> Result<Self, String> {
        let mut rest =
            text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or("it is no dictionary")?.trim();
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, value) = quoted(rest).ok_or("a key is missing")?;
            let value =
                value.trim_start().strip_prefix(':').ok_or_else(|| format!("`{key}` has no value"))?.trim_start();
            rest = match key {
                "descr" => {
                    let (code, after) = quoted(value).ok_or("its elements are records, and plain numbers are read")?;
                    descr = Some(code);
                    after
                }
                "fortran_order" => {
                    let (word, after) = value.split_at(value.find([',', ' ', '}']).unwrap_or(value.len()));
                    fortran = Some(match word {
                        "True" => true,
                        "False" => false,
                        _ => return Err(format!("fortran_order is `{word}`")),
                    });
                    after
                }
                "shape" => {
                    let (extents, after) = value
                        .strip_prefix('(')
                        .and_then(|value| value.split_once(')'))
                        .ok_or("its shape is no tuple")?;
                    let extent = |text: &str| {
                        let digits = text.trim().trim_end_matches('L');
                        digits.parse::<usize>().map_err(|_| format!("its shape has the extent `{digits}`"))
                    };
                    let parts = extents.split(',').filter(|part| !part.trim().is_empty());
                    shape = Some(parts.map(extent).collect::<Result<Vec<usize>, String>>()?);
                    after
                }
                _ => return Err(format!("the key `{key}` is unknown")),
            };
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        let (descr, fortran, shape) = (
            descr.ok_or("it does not tell the type (descr)")?,
            fortran.ok_or("it does not tell the order (fortran_order)")?,
            shape.ok_or("it does not tell the shape")?,
        );
        let order = descr.chars().next().filter(|order| "<>|=".contains(*order));
        let code = &descr[order.map_or(0, char::len_utf8)..];
        let kind = Kind::of(code).ok_or_else(|| {
            format!("elements of type `{descr}` are not read, but b1, i1 to i8, u1 to u8, f4 and f8: convert them with astype")
        })?;
        let big_endian = order == Some('>') || (cfg!(target_endian = "big") && order != Some('<'));
        Ok(Self { kind, big_endian, fortran, shape: shape.into() })
    }
}

/// What stands in quotes at the front, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| "'\"".contains(*quote))?;
    text[1..].split_once(quote)
}

/// Elements in Fortran's order, the first axis fastest, in row-major order.
fn row_major(shape: &Shape, elements: &Elements) -> Elements {
    fn turned<T: Copy>(shape: &Shape, data: &[T]) -> Vec<T> {
        let mut strides = vec![1; shape.rank()];
        for axis in 1..shape.rank() {
            strides[axis] = strides[axis - 1] * shape[axis - 1];
        }
        let mut place = vec![0; shape.rank()];
        let mut from = 0;
        let mut turned = Vec::with_capacity(data.len());
        for _ in 0..data.len() {
            turned.push(data[from]);
            for axis in (0..shape.rank()).rev() {
                place[axis] += 1;
                from += strides[axis];
                if place[axis] < shape[axis] {
                    break;
                }
                from -= strides[axis] * shape[axis];
                place[axis] = 0;
            }
        }
        turned
    }
    match elements {
        Elements::Bool(data) => Elements::Bool(turned(shape, data)),
        Elements::U8(data) => Elements::U8(turned(shape, data)),
        Elements::I8(data) => Elements::I8(turned(shape, data)),
        Elements::U16(data) => Elements::U16(turned(shape, data)),
        Elements::I16(data) => Elements::I16(turned(shape, data)),
        Elements::U32(data) => Elements::U32(turned(shape, data)),
        Elements::I32(data) => Elements::I32(turned(shape, data)),
        Elements::U64(data) => Elements::U64(turned(shape, data)),
        Elements::I64(data) => Elements::I64(turned(shape, data)),
        Elements::F32(data) => Elements::F32(turned(shape, data)),
        Elements::F64(data) => Elements::F64(turned(shape, data)),
    }
}

/// The bytes of a `.npy` file: version 1, row-major, lowest byte first.
#[must_use]
pub fn to_bytes(array: &FileArray) -> Vec<u8> {
    let code = match array.elements() {
        Elements::Bool(_) => "|b1",
        Elements::U8(_) => "|u1",
        Elements::I8(_) => "|i1",
        Elements::U16(_) => "<u2",
        Elements::I16(_) => "<i2",
        Elements::U32(_) => "<u4",
        Elements::I32(_) => "<i4",
        Elements::U64(_) => "<u8",
        Elements::I64(_) => "<i8",
        Elements::F32(_) => "<f4",
        Elements::F64(_) => "<f8",
    };
    // A tuple of one has a comma behind it.
    let mut extents = String::new();
    array.shape().iter().for_each(|extent| {
        let _ = write!(extents, "{extent}, ");
    });
    let mut head = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': ({}), }}", extents.trim_end());
    // The elements begin at a multiple of 64 bytes, so that a mapped file is aligned.
    let before = MAGIC.len() + 4;
    head.push_str(&" ".repeat(63 - (before + head.len()) % 64));
    head.push('\n');
    let length = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let mut bytes = [MAGIC, &[1, 0], &length.to_le_bytes(), head.as_bytes()].concat();
    each!(array.elements(), data => data.iter().for_each(|element| element.append(&mut bytes)));
    bytes
}

/// Writes a `.npy` file, in one piece.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: impl AsRef<Path>, array: &FileArray) -> Result<()> {
    let path = path.as_ref();
    crate::base::write_whole(path, &to_bytes(array)).map_err(|error| unwritable(path, error))
}

/// Writes a `.npz` file, in one piece, packed as `numpy.savez_compressed` does.
///
/// # Errors
/// When a name comes twice, or it cannot be written.
pub fn write_npz<'a>(path: impl AsRef<Path>, arrays: impl IntoIterator<Item = (&'a str, &'a FileArray)>) -> Result<()> {
    let path = path.as_ref();
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let refused = |error: zip::result::ZipError| {
        fault(&path.display().to_string(), format!("could not be packed: {error}")).caused_by(error)
    };
    let mut names: Vec<&str> = Vec::new();
    for (name, array) in arrays {
        if names.contains(&name) {
            return Err(fault(
                &path.display().to_string(),
                format!("was to hold two arrays named `{name}`: rename one"),
            ));
        }
        names.push(name);
        let bytes = to_bytes(array);
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .large_file(u32::try_from(bytes.len()).is_err());
        archive.start_file(format!("{name}.npy"), options).map_err(refused)?;
        archive.write_all(&bytes).map_err(|error| unwritable(path, error))?;
    }
    let bytes = archive.finish().map_err(refused)?.into_inner();
    crate::base::write_whole(path, &bytes).map_err(|error| unwritable(path, error))
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    fault(&path.display().to_string(), format!("could not be written: {error}")).caused_by(error)
}
