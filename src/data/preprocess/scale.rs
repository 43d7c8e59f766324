//! Features brought to one scale.

use crate::base::{Error, ErrorKind, HostData, HostTensor, Result, Shape};
use crate::data::Dataset;
use crate::record::Tensor;
use serde::{Deserialize, Serialize};

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Argument, message))
}

/// Rows of a dataset that are read at a time.
const ROWS: usize = 4096;

/// y = (x - shift) / scale, element by element of a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Affine {
    shape: Vec<usize>,
    shift: Vec<f32>,
    scale: Vec<f32>,
}

impl Affine {
    fn check(self, what: &str) -> Result<Self> {
        let elements = Shape::from(self.shape.as_slice()).checked_elements();
        let usable = |values: &[f32]| Some(values.len()) == elements && values.iter().all(|value| value.is_finite());
        if usable(&self.shift) && usable(&self.scale) && self.scale.iter().all(|&scale| scale > 0.0) {
            Ok(self)
        } else {
            Err(Error::new(ErrorKind::File, format!("this is no saved {what}: its numbers do not fit together")))
        }
    }

    fn each(&self, data: &HostTensor, change: impl Fn(f32, f32, f32) -> f32) -> Result<HostTensor> {
        let HostData::F32(elements) = data.data() else {
            return refuse(format!("{} are scaled as floats: convert them first", data.tensor_type()));
        };
        let rank = self.shape.len();
        if data.shape().rank() < rank || data.shape()[data.shape().rank() - rank..] != self.shape[..] {
            return refuse(format!(
                "the scaling was fitted for samples of shape {:?}, and was given {}",
                self.shape,
                data.tensor_type()
            ));
        }
        let width = self.shift.len().max(1);
        let row = |row: &[f32]| {
            let changed =
                row.iter().zip(&self.shift).zip(&self.scale).map(|((&x, &shift), &scale)| change(x, shift, scale));
            changed.collect::<Vec<f32>>()
        };
        let changed = elements.chunks(width).flat_map(row).collect();
        HostTensor::new(data.shape(), HostData::F32(changed))
    }

    #[track_caller]
    fn record<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let g = x.graph();
        let constant = |values: &[f32]| {
            g.constant(
                HostTensor::new(Shape::from(self.shape.as_slice()), HostData::F32(values.to_vec()))
                    .expect("it was checked"),
            )
        };
        (x - constant(&self.shift)) / constant(&self.scale)
    }
}

/// Calls a function with every sample of a column of floats, flattened.
fn each_sample(
    dataset: &dyn Dataset,
    column: &str,
    mut visit: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<Vec<usize>> {
    let columns = dataset.columns();
    let Some(found) = columns.iter().find(|found| found.name == column) else {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        return refuse(format!("there is no column `{column}` to fit: there are {}", names.join(", ")));
    };
    if found.dtype != crate::DType::F32 {
        return refuse(format!("column {found} holds no floats, which alone are scaled"));
    }
    if dataset.is_empty() {
        return refuse(format!("column {found} has no samples to fit"));
    }
    let (shape, width) = (found.shape.to_vec(), found.shape.elements());
    for start in (0..dataset.len()).step_by(ROWS) {
        let rows: Vec<usize> = (start..(start + ROWS).min(dataset.len())).collect();
        let batch = dataset.batch(&rows)?;
        let HostData::F32(data) = batch.get(column)?.data() else { continue };
        if width > 0 {
            data.chunks(width).zip(&rows).try_for_each(|(sample, &row)| visit(row, sample))?;
        }
    }
    Ok(shape)
}

fn check_finite(row: usize, column: &str, sample: &[f32]) -> Result<()> {
    match sample.iter().position(|x| !x.is_finite()) {
        Some(place) => refuse(format!(
            "column `{column}` has {} in sample {row}, element {place}: nothing is fitted with that",
            sample[place]
        )),
        None => Ok(()),
    }
}

/// y = (x - mean) / deviation, with the mean and the standard deviation of every feature (the root of the mean square distance from the mean)
/// over the samples that it was fitted with: those of the training split alone, since else the test split shows through. A feature
/// that is the same in all of them is only shifted: it becomes 0 there.
///
/// ```
/// use retrograd::data::{Dataset, Standardize, Tensors};
///
/// let data = Tensors::new().column("x", [4, 2], vec![1.0f32, 5.0, 3.0, 5.0, 1.0, 5.0, 3.0, 5.0])?;
/// let scale = Standardize::fit(&data, "x")?;
/// assert_eq!((scale.mean(), scale.deviation()), (&[2.0, 5.0][..], &[1.0, 1.0][..]));
/// assert_eq!(scale.constant_features(), [1]);
/// let data = data.map(move |batch| { let x = scale.apply(batch.get("x")?)?; batch.with("x", x) })?;
/// assert_eq!(data.batch(&[0, 1])?.get("x")?.to_vec(), [-1.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standardize {
    affine: Affine,
    constant: Vec<usize>,
}

impl Standardize {
    /// Fits a column of floats. Mean and variance are computed in double precision, in one pass by the method of Welford (1962).
    ///
    /// # Errors
    /// When there is no such column of floats, no samples, or an element is NaN or infinite; and where reading fails.
    pub fn fit(dataset: &dyn Dataset, column: &str) -> Result<Self> {
        let (mut mean, mut squares, mut count) = (Vec::<f64>::new(), Vec::<f64>::new(), 0f64);
        let (mut low, mut high) = (Vec::<f32>::new(), Vec::<f32>::new());
        let shape = each_sample(dataset, column, |row, sample| {
            check_finite(row, column, sample)?;
            if mean.is_empty() {
                (mean, squares) = (vec![0.0; sample.len()], vec![0.0; sample.len()]);
                (low, high) = (sample.to_vec(), sample.to_vec());
            }
            count += 1.0;
            for (place, &x) in sample.iter().enumerate() {
                let distance = f64::from(x) - mean[place];
                mean[place] += distance / count;
                squares[place] += distance * (f64::from(x) - mean[place]);
                low[place] = low[place].min(x);
                high[place] = high[place].max(x);
            }
            Ok(())
        })?;
        let constant: Vec<usize> = (0..mean.len()).filter(|&place| low[place] == high[place]).collect();
        let deviation = |(place, square): (usize, &f64)| {
            let deviation = (square / count).sqrt() as f32;
            // One that single precision cannot hold cannot be divided by either.
            if low[place] == high[place] || deviation == 0.0 { 1.0 } else { deviation }
        };
        let scale = squares.iter().enumerate().map(deviation).collect();
        let shift = mean.iter().map(|&mean| mean as f32).collect();
        if !constant.is_empty() {
            log::warn!(
                "column `{column}`: {} of {} features are the same in all samples, and become 0: {:?}",
                constant.len(),
                mean.len(),
                &constant[..constant.len().min(20)]
            );
        }
        let affine = Affine { shape, shift, scale };
        Ok(Self { affine, constant })
    }

    /// The mean of every feature.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        &self.affine.shift
    }

    /// What every feature is divided by: its standard deviation, or 1 where it is constant.
    #[must_use]
    pub fn deviation(&self) -> &[f32] {
        &self.affine.scale
    }

    /// The features that were the same in all samples.
    #[must_use]
    pub fn constant_features(&self) -> &[usize] {
        &self.constant
    }

    /// Samples, or one, standardised: `[.., features]`.
    ///
    /// # Errors
    /// When the last axes are not those of a sample, or the elements are no floats.
    pub fn apply(&self, samples: &HostTensor) -> Result<HostTensor> {
        self.affine.each(samples, |x, mean, deviation| (x - mean) / deviation)
    }

    /// What [`apply`](Self::apply) was given: y * deviation + mean.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn undo(&self, samples: &HostTensor) -> Result<HostTensor> {
        self.affine.each(samples, |y, mean, deviation| y * deviation + mean)
    }

    /// The same recorded in a graph, so that a network takes what is not standardised: `[.., features]`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, samples: Tensor<'g>) -> Tensor<'g> {
        self.affine.record(samples)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::to_json(self)
    }

    /// From [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// When the text is something else.
    pub fn from_json(text: &str) -> Result<Self> {
        let read: Self = super::from_json("standardisation", text)?;
        Ok(Self { affine: read.affine.check("standardisation")?, constant: read.constant })
    }
}

/// y = (x - least) / (greatest - least): every feature from 0 to 1 in the samples that it was fitted with. A feature that is the same in all of
/// them becomes 0 there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinMax {
    affine: Affine,
    constant: Vec<usize>,
}

impl MinMax {
    /// Fits a column of floats.
    ///
    /// # Errors
    /// When there is no such column of floats, no samples, or an element is NaN or infinite; and where reading fails.
    pub fn fit(dataset: &dyn Dataset, column: &str) -> Result<Self> {
        let (mut low, mut high) = (Vec::<f32>::new(), Vec::<f32>::new());
        let shape = each_sample(dataset, column, |row, sample| {
            check_finite(row, column, sample)?;
            if low.is_empty() {
                (low, high) = (sample.to_vec(), sample.to_vec());
            }
            for (place, &x) in sample.iter().enumerate() {
                low[place] = low[place].min(x);
                high[place] = high[place].max(x);
            }
            Ok(())
        })?;
        let constant: Vec<usize> = (0..low.len()).filter(|&place| low[place] == high[place]).collect();
        if let Some(place) = (0..low.len()).find(|&place| !(high[place] - low[place]).is_finite()) {
            return refuse(format!(
                "column `{column}`, feature {place}, reaches from {} to {}: single precision does not hold the distance",
                low[place], high[place]
            ));
        }
        let scale = low.iter().zip(&high).map(|(low, high)| if low == high { 1.0 } else { high - low }).collect();
        Ok(Self { affine: Affine { shape, shift: low, scale }, constant })
    }

    /// The features that were the same in all samples.
    #[must_use]
    pub fn constant_features(&self) -> &[usize] {
        &self.constant
    }

    /// Samples, or one, scaled: `[.., features]`. Others than those it was fitted with may leave the range.
    ///
    /// # Errors
    /// When the last axes are not those of a sample, or the elements are no floats.
    pub fn apply(&self, samples: &HostTensor) -> Result<HostTensor> {
        self.affine.each(samples, |x, low, range| (x - low) / range)
    }

    /// What [`apply`](Self::apply) was given.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn undo(&self, samples: &HostTensor) -> Result<HostTensor> {
        self.affine.each(samples, |y, low, range| y * range + low)
    }

    /// The same recorded in a graph: `[.., features]`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, samples: Tensor<'g>) -> Tensor<'g> {
        self.affine.record(samples)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::to_json(self)
    }

    /// From [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// When the text is something else.
    pub fn from_json(text: &str) -> Result<Self> {
        let read: Self = super::from_json("scaling", text)?;
        Ok(Self { affine: read.affine.check("scaling")?, constant: read.constant })
    }
}
