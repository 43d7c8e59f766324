//! What the examples share: data, and how results are printed.
#![allow(dead_code)] // every example uses another part

pub mod idx;

use flate2::read::GzDecoder;
use retrograd::Generator;
use std::error::Error;
use std::io::Read;
use std::path::Path;

/// More text than this is no table of digits.
const MOST_TEXT: u64 = 1 << 26;

/// Any failure of an example, as a text.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Images as rows of pixels, with their classes.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Pixels per image.
    pub width: usize,
    /// Their height and width.
    pub extents: [usize; 2],
    /// All pixels, image by image.
    pub pixels: Vec<f32>,
    /// The class of every image.
    pub labels: Vec<i32>,
}

impl Images {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The images at these places, in this order.
    pub fn select(&self, places: &[usize]) -> Self {
        let row = |&place: &usize| self.pixels[place * self.width..(place + 1) * self.width].iter().copied();
        Self {
            width: self.width,
            extents: self.extents,
            pixels: places.iter().flat_map(row).collect(),
            labels: places.iter().map(|&place| self.labels[place]).collect(),
        }
    }

    /// A random part for training and the rest for testing.
    pub fn split(&self, training: f64, seed: u64) -> (Self, Self) {
        let mut places: Vec<usize> = (0..self.len()).collect();
        Generator::named(seed, "split").shuffle(&mut places);
        let (train, test) = places.split_at((self.len() as f64 * training) as usize);
        (self.select(train), self.select(test))
    }
}

/// The UCI digits, 8 x 8 pixels from 0 to 1: `digits.csv.gz` in `folder`, or else the bundled ones.
pub fn digits(folder: Option<&Path>) -> Outcome<Images> {
    let bundled: &[u8] = include_bytes!("../data/digits.csv.gz");
    let (bytes, name) = match folder {
        None => (bundled.to_vec(), "the bundled digits".to_owned()),
        Some(folder) => {
            let path = folder.join("digits.csv.gz");
            let bytes =
                std::fs::read(&path).map_err(|error| format!("{} could not be read: {error}", path.display()))?;
            (bytes, path.display().to_string())
        }
    };
    table(&name, &bytes)
}

/// The digits of a packed table, a row of 64 pixels and a class for each; `name` is what messages call it.
pub fn table(name: &str, packed: &[u8]) -> Outcome<Images> {
    let mut text = String::new();
    GzDecoder::new(packed)
        .take(MOST_TEXT + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("{name} is damaged or truncated: {error}"))?;
    if text.len() as u64 > MOST_TEXT {
        return Err(format!("{name} holds more than {MOST_TEXT} bytes, which are no digits").into());
    }
    let mut images = Images { width: 64, extents: [8, 8], ..Images::default() };
    for (number, record) in
        csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes()).deserialize().enumerate()
    {
        let values: Vec<f32> = record.map_err(|error| format!("{name}, line {}: {error}", number + 1))?;
        let [pixels @ .., label] = &values[..] else {
            return Err(format!("{name}, line {} is empty", number + 1).into());
        };
        let is_digit = (0.0..10.0).contains(label) && label.fract() == 0.0;
        if pixels.len() != 64 || !is_digit || !pixels.iter().all(|pixel| pixel.is_finite()) {
            return Err(format!("{name}, line {}: expected 64 pixels and a digit", number + 1).into());
        }
        images.pixels.extend(pixels.iter().map(|pixel| pixel / 16.0));
        images.labels.push(*label as i32);
    }
    if images.is_empty() { Err(format!("{name} holds no images").into()) } else { Ok(images) }
}

/// The numbers of a table with one column; `name` is what messages call it.
pub fn series(name: &str, table: &[u8]) -> Outcome<Vec<f64>> {
    let mut values = Vec::new();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(table);
    for (number, record) in reader.deserialize::<(f64,)>().enumerate() {
        let (value,) = record.map_err(|error| format!("{name}: line {}: {error}", number + 1))?;
        // Sums of such numbers stay far inside double precision.
        if !(value as f32).is_finite() {
            return Err(format!("{name}: line {} is {value}, which is no number to learn", number + 1).into());
        }
        values.push(value);
    }
    Ok(values)
}

/// The place of the greatest of every `width` numbers.
pub fn argmax_rows(values: &[f32], width: usize) -> Vec<usize> {
    let greatest = |row: &[f32]| {
        row.iter().enumerate().fold(0, |best, (place, value)| if *value > row[best] { place } else { best })
    };
    values.chunks(width).map(greatest).collect()
}

/// Mean and least of some numbers.
pub fn mean_and_least(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    (mean, values.iter().copied().fold(f64::INFINITY, f64::min))
}

/// Runs an example: prints what went wrong in one line instead of a debug form.
pub fn run(example: impl FnOnce() -> Outcome<()>) -> std::process::ExitCode {
    env_logger::init();
    match example() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
