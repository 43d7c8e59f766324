//! Features brought to one scale.

use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result, Shape};
use crate::data::Dataset;
use crate::nn::Normalize;
use crate::record::{Params, Tensor};
use serde::{Deserialize, Serialize};

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Argument, message))
}

/// Rows of a dataset that are read at a time.
const ROWS: usize = 4096;

/// y = (x - shift) / scale, feature by feature, as fitted with the samples of a dataset: those of the training split alone, since else the
/// test split shows through.
///
/// As a [`layer`](Self::layer) it is saved with the network, which then takes what was measured as it is.
///
/// ```
/// use retrograd::data::{Dataset, Scale, Tensors};
///
/// let data = Tensors::new().column("x", [4, 2], vec![1.0f32, 5.0, 3.0, 5.0, 1.0, 5.0, 3.0, 5.0])?;
/// let scale = Scale::standardize(&data, "x")?;
/// assert_eq!((scale.shift(), scale.scale()), (&[2.0, 5.0][..], &[1.0, 1.0][..]));
/// assert_eq!(scale.constant_features(), [1]);
/// let data = data.map(move |batch| { let x = scale.apply(batch.get("x")?)?; batch.with("x", x) })?;
/// assert_eq!(data.batch(&[0, 1])?.get("x")?.to_vec(), [-1.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Scale {
    shape: Vec<usize>,
    shift: Vec<f32>,
    divisor: Vec<f32>,
    constant: Vec<usize>,
}

impl Scale {
    /// To a mean of 0 and a standard deviation of 1: shift is the mean of every feature, scale its standard deviation (the root of the mean
    /// square distance from the mean). A feature that is the same in all samples is only shifted: it becomes 0 there. Mean and variance are
    /// computed in double precision, in one pass by the method of Welford (1962).
    ///
    /// # Errors
    /// When there is no such column of floats, no samples, or an element is NaN or infinite; and where reading fails.
    pub fn standardize(dataset: &dyn Dataset, column: &str) -> Result<Self> {
        let seen = Seen::of(dataset, column)?;
        let deviation = |(place, square): (usize, &f64)| {
            let deviation = (square / seen.count).sqrt() as f32;
            // One that single precision cannot hold cannot be divided by either.
            if seen.is_constant(place) || deviation == 0.0 { 1.0 } else { deviation }
        };
        let scale = seen.squares.iter().enumerate().map(deviation).collect();
        let shift = seen.mean.iter().map(|&mean| mean as f32).collect();
        Ok(seen.scale(column, shift, scale))
    }

    /// To values from 0 to 1 in these samples; others may leave the range. Shift is the least of every feature, scale the distance from there to
    /// the greatest. A feature that is the same in all samples becomes 0 there.
    ///
    /// # Errors
    /// As [`standardize`](Self::standardize), and when single precision does not hold the distance.
    pub fn min_max(dataset: &dyn Dataset, column: &str) -> Result<Self> {
        let seen = Seen::of(dataset, column)?;
        let distance = |place: usize| if seen.is_constant(place) { 1.0 } else { seen.high[place] - seen.low[place] };
        let scale: Vec<f32> = (0..seen.low.len()).map(distance).collect();
        if let Some(place) = scale.iter().position(|distance| !distance.is_finite()) {
            return refuse(format!(
                "column `{column}`, feature {place}, reaches from {:e} to {:e}: single precision does not hold the distance",
                seen.low[place], seen.high[place]
            ));
        }
        let shift = seen.low.clone();
        Ok(seen.scale(column, shift, scale))
    }

    /// What is taken from every feature.
    #[must_use]
    pub fn shift(&self) -> &[f32] {
        &self.shift
    }

    /// What every feature is divided by: 1 where it is constant.
    #[must_use]
    pub fn scale(&self) -> &[f32] {
        &self.divisor
    }

    /// The features that were the same in all samples.
    #[must_use]
    pub fn constant_features(&self) -> &[usize] {
        &self.constant
    }

    /// Samples, or one, scaled: `[.., features]`.
    ///
    /// # Errors
    /// When the last axes are not those of a sample, or the elements are no floats.
    pub fn apply(&self, samples: &HostTensor) -> Result<HostTensor> {
        self.each(samples, |x, shift, scale| (x - shift) / scale)
    }

    /// What [`apply`](Self::apply) was given: y * scale + shift.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn undo(&self, samples: &HostTensor) -> Result<HostTensor> {
        self.each(samples, |y, shift, scale| y * scale + shift)
    }

    /// The same recorded in a graph, with shift and scale as constants: `[.., features]`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, samples: Tensor<'g>) -> Tensor<'g> {
        let g = samples.graph();
        if samples.is_valid() && !samples.shape().ends_with(&self.shape) {
            let reason =
                format!("the scale was fitted for samples of shape {:?}, which must be the last axes", self.shape);
            return g.fault("scale", &[samples], reason);
        }
        (samples - g.constant(self.tensor(&self.shift))) / g.constant(self.tensor(&self.divisor))
    }

    /// The same as a layer, with shift and scale as cells of the state: they are saved and loaded with the network's weights.
    #[must_use]
    #[track_caller]
    pub fn layer(&self, params: &mut Params, name: &str) -> Normalize {
        Normalize::with(params, name, self.tensor(&self.shift), self.tensor(&self.divisor))
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
        super::from_json("scale", text)
    }

    /// Numbers of features in the shape of a sample.
    fn tensor(&self, values: &[f32]) -> HostTensor {
        HostTensor::new(self.shape.as_slice(), HostData::F32(values.to_vec()))
            .expect("there are as many as the shape has elements: fitting and reading see to it")
    }

    fn each(&self, data: &HostTensor, change: impl Fn(f32, f32, f32) -> f32) -> Result<HostTensor> {
        let HostData::F32(elements) = data.data() else {
            return refuse(format!("{} are scaled as floats: convert them first", data.tensor_type()));
        };
        let rank = self.shape.len();
        if data.shape().rank() < rank || data.shape()[data.shape().rank() - rank..] != self.shape[..] {
            return refuse(format!(
                "the scale was fitted for samples of shape {:?}, and was given {}",
                self.shape,
                data.tensor_type()
            ));
        }
        let width = self.shift.len().max(1);
        let row = |row: &[f32]| {
            let changed =
                row.iter().zip(&self.shift).zip(&self.divisor).map(|((&x, &shift), &scale)| change(x, shift, scale));
            changed.collect::<Vec<f32>>()
        };
        let changed = elements.chunks(width).flat_map(row).collect();
        HostTensor::new(data.shape(), HostData::F32(changed))
    }
}

/// A scale as it is written, by whomever.
#[derive(Deserialize)]
#[serde(expecting = "its shape, shift, divisor and constant")]
struct Written {
    shape: Vec<usize>,
    shift: Vec<f32>,
    divisor: Vec<f32>,
    constant: Vec<usize>,
}

impl TryFrom<Written> for Scale {
    type Error = &'static str;

    fn try_from(Written { shape, shift, divisor, constant }: Written) -> Result<Self, Self::Error> {
        let elements = Shape::from(shape.as_slice()).checked_elements();
        let usable = |values: &[f32]| Some(values.len()) == elements && values.iter().all(|value| value.is_finite());
        let in_place = constant.iter().all(|&place| place < divisor.len());
        if usable(&shift) && usable(&divisor) && divisor.iter().all(|&divisor| divisor > 0.0) && in_place {
            Ok(Self { shape, shift, divisor, constant })
        } else {
            Err("its numbers do not fit together")
        }
    }
}

/// What was seen of every feature.
#[derive(Default)]
struct Seen {
    shape: Vec<usize>,
    count: f64,
    mean: Vec<f64>,
    /// Sums of squared distances from the mean.
    squares: Vec<f64>,
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Seen {
    fn of(dataset: &dyn Dataset, column: &str) -> Result<Self> {
        let mut seen = Self::default();
        seen.shape = each_sample(dataset, column, |row, sample| {
            check_finite(row, column, sample)?;
            seen.add(sample);
            Ok(())
        })?;
        Ok(seen)
    }

    fn add(&mut self, sample: &[f32]) {
        if self.mean.is_empty() {
            (self.mean, self.squares) = (vec![0.0; sample.len()], vec![0.0; sample.len()]);
            (self.low, self.high) = (sample.to_vec(), sample.to_vec());
        }
        self.count += 1.0;
        for (place, &x) in sample.iter().enumerate() {
            let distance = f64::from(x) - self.mean[place];
            self.mean[place] += distance / self.count;
            self.squares[place] += distance * (f64::from(x) - self.mean[place]);
            self.low[place] = self.low[place].min(x);
            self.high[place] = self.high[place].max(x);
        }
    }

    fn is_constant(&self, place: usize) -> bool {
        self.low[place] == self.high[place]
    }

    fn scale(self, column: &str, shift: Vec<f32>, scale: Vec<f32>) -> Scale {
        let constant: Vec<usize> = (0..shift.len()).filter(|&place| self.is_constant(place)).collect();
        if !constant.is_empty() {
            log::warn!(
                "column `{column}`: {} of {} features are the same in all samples, and become 0: {:?}",
                constant.len(),
                shift.len(),
                &constant[..constant.len().min(20)]
            );
        }
        Scale { shape: self.shape, shift, divisor: scale, constant }
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
        let names: Vec<String> = columns.iter().map(ToString::to_string).collect();
        return refuse(format!("there is no column `{column}` to fit: there are {}", names.join(", ")));
    };
    if found.dtype != DType::F32 {
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
            "column `{column}` has {} in sample {row}, element {place}: nothing is fitted with that, so leave the sample out or replace the value",
            sample[place]
        )),
        None => Ok(()),
    }
}
