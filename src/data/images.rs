//! Folders of images (PNG and JPEG), one subfolder for each class.

use super::source::fault;
use super::{Column, Dataset, Labels, dataset::check_rows};
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result};
use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, Limits};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// No image of a data set takes more memory unpacked, and a hostile one asks for it.
const MOST_BYTES: u64 = 1 << 30;

/// What becomes of a file that cannot be read as an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corrupt {
    /// It is an error that names it.
    #[default]
    Error,
    /// It is left out, with a warning in the log and a line in [`ImageFolder::skipped`].
    Skip,
}

/// How a folder of images is read.
///
/// ```no_run
/// use retrograd::data::{Corrupt, DataLoader, Images};
/// # fn main() -> retrograd::Result<()> {
/// // pets/cat/1.png, pets/dog/7.jpg and so on
/// let pets = Images::new().resize([64, 64]).corrupt(Corrupt::Skip).read("pets")?;    // image f32[3, 64, 64], label i32[]
/// println!("{:?}, without {:?}", pets.labels().names(), pets.skipped());
/// let loader = DataLoader::new(pets, 32).shuffle(1).drop_last().threads(4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Images {
    size: Option<[u32; 2]>,
    grey: bool,
    corrupt: Corrupt,
}

impl Images {
    /// Three channels (red, green, blue), all images of the same size, and a corrupt file is an error.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Images of any size, brought to this height and width by straight lines between pixels (averaged where it is smaller); the ratio of the
    /// sides is not kept.
    #[must_use]
    pub const fn resize(mut self, size: [u32; 2]) -> Self {
        self.size = Some(size);
        self
    }

    /// One channel: the luminance by ITU-R BT.709.
    #[must_use]
    pub const fn grey(mut self) -> Self {
        self.grey = true;
        self
    }

    /// What becomes of files that cannot be read.
    #[must_use]
    pub const fn corrupt(mut self, policy: Corrupt) -> Self {
        self.corrupt = policy;
        self
    }

    /// Lists a folder, whose subfolders are the classes, in alphabetical order. Every image is decoded once to find those that are corrupt, and
    /// again when it is taken: the data set needs the memory of a batch, not of all images. See
    /// [`Tensors::collect`](super::Tensors::collect) for having them all in memory.
    ///
    /// # Errors
    /// When the folder cannot be listed, holds no subfolder with images, images of different sizes without [`resize`](Self::resize), or a
    /// corrupt one where that is an error.
    pub fn read(&self, folder: impl AsRef<Path>) -> Result<ImageFolder> {
        let folder = folder.as_ref();
        let name = folder.display().to_string();
        if let Some([height, width]) = self.size.filter(|size| size.contains(&0)) {
            let message =
                format!("images cannot be resized to {height} x {width} pixels: `Images::resize` needs at least 1 x 1");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let mut classes: Vec<(String, PathBuf)> = Vec::new();
        for path in listed(folder)?.into_iter().filter(|path| path.is_dir()) {
            let Some(class) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                return Err(fault(&path.display().to_string(), "has a name that is no UTF-8, and names a class"));
            };
            if !class.starts_with('.') {
                classes.push((class, path));
            }
        }
        let labels = Labels::fit(classes.iter().map(|(class, _)| class.as_str()));
        let mut files: Vec<(PathBuf, i32)> = Vec::new();
        for (class, path) in &classes {
            let label = labels.number(class).unwrap_or(-1);
            files.extend(listed(path)?.into_iter().filter(|path| is_image(path)).map(|path| (path, label)));
        }
        if files.is_empty() {
            return Err(fault(&name, "holds no subfolder with .png, .jpg or .jpeg files: each subfolder is a class"));
        }
        let sizes: Vec<Result<[u32; 2]>> =
            files.par_iter().map(|(path, _)| open(path).map(|image| size_of(&image))).collect();
        let (mut kept, mut skipped) = (Vec::new(), Vec::new());
        let mut first: Option<([u32; 2], PathBuf)> = None;
        for ((path, label), size) in files.into_iter().zip(sizes) {
            match size {
                Ok(size) => {
                    let (wanted, of) = first.get_or_insert_with(|| (size, path.clone()));
                    if self.size.is_none() && *wanted != size {
                        let ([h, w], [height, width]) = (size, *wanted);
                        let what = format!(
                            "is an image of {h} x {w} pixels, and {} one of {height} x {width}: give a size by `resize`",
                            of.display()
                        );
                        return Err(fault(&path.display().to_string(), what));
                    }
                    kept.push((path, label));
                }
                Err(error) if self.corrupt == Corrupt::Error => return Err(error),
                Err(error) => {
                    log::warn!("left out: {error}");
                    skipped.push((path, error.to_string()));
                }
            }
        }
        let Some((found, _)) = first else {
            let why = skipped.first().map_or("", |(_, why)| why.as_str());
            return Err(fault(&name, format!("holds {} images, and all of them are corrupt: {why}", skipped.len())));
        };
        let size = self.size.unwrap_or(found);
        let shape = [if self.grey { 1 } else { 3 }, size[0] as usize, size[1] as usize];
        let columns = [Column::new("image", DType::F32, shape), Column::new("label", DType::I32, [])];
        Ok(ImageFolder { files: kept, labels, skipped, size, grey: self.grey, columns })
    }
}

/// Images on disk: a [`Dataset`] with the columns `image`, `f32[channels, height, width]` from 0 to 1, and `label`, `i32[]`.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    files: Vec<(PathBuf, i32)>,
    labels: Labels,
    skipped: Vec<(PathBuf, String)>,
    size: [u32; 2],
    grey: bool,
    columns: [Column; 2],
}

impl ImageFolder {
    /// The names of the classes.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The files that were left out, and why.
    #[must_use]
    pub fn skipped(&self) -> &[(PathBuf, String)] {
        &self.skipped
    }

    /// The file of a sample.
    #[must_use]
    pub fn path(&self, row: usize) -> Option<&Path> {
        self.files.get(row).map(|(path, _)| path.as_path())
    }

    fn load(&self, path: &Path, pixels: &mut [f32]) -> Result<()> {
        let mut image = open(path)?;
        let [height, width] = self.size;
        if size_of(&image) != self.size {
            image = image.resize_exact(width, height, FilterType::Triangle);
        }
        if self.grey {
            let bytes = image.into_luma8().into_raw();
            pixels.iter_mut().zip(bytes).for_each(|(pixel, byte)| *pixel = f32::from(byte) / 255.0);
            return Ok(());
        }
        // From pixel by pixel to channel by channel.
        let area = (height * width) as usize;
        for (place, colour) in image.into_rgb8().into_raw().chunks_exact(3).enumerate() {
            colour
                .iter()
                .enumerate()
                .for_each(|(channel, &byte)| pixels[channel * area + place] = f32::from(byte) / 255.0);
        }
        Ok(())
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }
    fn columns(&self) -> &[Column] {
        &self.columns
    }
    fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
        check_rows(rows, self.files.len())?;
        let width = self.columns[0].shape.elements();
        let mut pixels = vec![0f32; rows.len() * width];
        pixels.par_chunks_mut(width).zip(rows).try_for_each(|(pixels, &row)| self.load(&self.files[row].0, pixels))?;
        let labels: Vec<i32> = rows.iter().map(|&row| self.files[row].1).collect();
        Ok(vec![HostTensor::new(self.columns[0].stacked(rows.len()).shape, HostData::F32(pixels))?, labels.into()])
    }
}

/// What a folder holds, in alphabetical order: that of the file system differs from machine to machine.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: std::io::Error| {
        fault(&folder.display().to_string(), format!("could not be listed: {error}")).caused_by(error)
    };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    path.is_file() && ending.is_some_and(|ending| ["png", "jpg", "jpeg"].contains(&ending.as_str()))
}

fn size_of(image: &DynamicImage) -> [u32; 2] {
    [image.height(), image.width()]
}

/// Decodes a file by what it holds, whatever its name says.
fn open(path: &Path) -> Result<DynamicImage> {
    let name = || path.display().to_string();
    let unreadable = |error: std::io::Error| fault(&name(), format!("could not be read: {error}")).caused_by(error);
    let mut reader = ImageReader::open(path).map_err(unreadable)?.with_guessed_format().map_err(unreadable)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    reader.decode().map_err(|error| fault(&name(), format!("cannot be read as an image: {error}")).caused_by(error))
}
