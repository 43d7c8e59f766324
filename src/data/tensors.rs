//! A dataset in memory.

use super::dataset::check_rows;
use super::{Batch, Column, Dataset};
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result, Shape};
use std::sync::Arc;

/// Elements as they lie in memory.
#[derive(Clone, Debug)]
enum Stored {
    /// As tensors hold them.
    Elements(Arc<HostData>),
    /// Bytes that are read as floats, each by this table.
    Bytes(Arc<[u8]>, Arc<[f32; 256]>),
}

impl Stored {
    /// Whether there are integers of which single precision cannot tell all apart.
    fn has_coarse_integers(&self) -> bool {
        const EXACT: u32 = 1 << 24;
        match self {
            Self::Elements(data) => match data.as_ref() {
                HostData::I32(data) => data.iter().any(|x| x.unsigned_abs() > EXACT),
                HostData::U32(data) => data.iter().any(|&x| x > EXACT),
                HostData::F32(_) => false,
            },
            Self::Bytes(..) => false,
        }
    }

    /// Some elements as floats.
    fn floats(&self, range: std::ops::Range<usize>, targets: &mut [f32]) {
        match self {
            Self::Elements(data) => match data.as_ref() {
                HostData::F32(data) => targets.copy_from_slice(&data[range]),
                HostData::I32(data) => targets.iter_mut().zip(&data[range]).for_each(|(target, &x)| *target = x as f32),
                HostData::U32(data) => targets.iter_mut().zip(&data[range]).for_each(|(target, &x)| *target = x as f32),
            },
            Self::Bytes(bytes, table) => {
                targets.iter_mut().zip(&bytes[range]).for_each(|(target, &byte)| *target = table[usize::from(byte)]);
            }
        }
    }
}

/// Columns in memory; cloning shares them.
///
/// ```
/// use retrograd::data::{Dataset, Tensors};
///
/// let images = Tensors::new()
///     .bytes("image", [2, 2, 2], vec![0, 51, 102, 153, 204, 255, 0, 0], 255.0)?    // a quarter of the memory of floats
///     .column("label", [2], vec![3, 8])?;
/// assert_eq!(images.batch(&[1])?.get("image")?.to_vec(), [0.8, 1.0, 0.0, 0.0]);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tensors {
    columns: Vec<Column>,
    stored: Vec<Stored>,
    rows: usize,
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Argument, message))
}

impl Tensors {
    /// No columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All samples of a dataset, read once.
    ///
    /// # Errors
    /// Those of [`Dataset::all`].
    pub fn collect(dataset: &(impl Dataset + ?Sized)) -> Result<Self> {
        Self::from_batch(dataset.batch(&(0..dataset.len()).collect::<Vec<_>>())?)
    }

    /// The columns of a batch.
    ///
    /// # Errors
    /// None: a batch has columns of as many rows under different names.
    pub fn from_batch(batch: Batch) -> Result<Self> {
        batch.into_columns().into_iter().try_fold(Self::new(), |tensors, (name, tensor)| tensors.tensor(&name, tensor))
    }

    fn add(mut self, name: &str, shape: Shape, dtype: DType, stored: Stored, elements: usize) -> Result<Self> {
        let Some((&rows, sample)) = shape.split_first() else {
            return refuse(format!(
                "column `{name}` has no axis, and the first one is that of the samples: one sample has the shape [1]"
            ));
        };
        if shape.checked_elements() != Some(elements) {
            let needs = shape
                .checked_elements()
                .map_or_else(|| "more than can be counted".to_owned(), |count| count.to_string());
            return refuse(format!(
                "column `{name}` was given {elements} elements, and its shape {shape} needs {needs}"
            ));
        }
        if !self.columns.is_empty() && rows != self.rows {
            return refuse(format!(
                "column `{name}` has {rows} samples, and `{}` has {}",
                self.columns[0].name, self.rows
            ));
        }
        if self.columns.iter().any(|column| column.name == name) {
            return refuse(format!("there is a column `{name}` already: every column needs a name of its own"));
        }
        self.rows = rows;
        self.columns.push(Column::new(name, dtype, sample));
        self.stored.push(stored);
        Ok(self)
    }

    /// A column of floats or integers, whose `shape` begins with the number of samples.
    ///
    /// # Errors
    /// When the number of elements is not the shape's, other columns have another number of samples, or one has that name.
    pub fn column(self, name: &str, shape: impl Into<Shape>, elements: Vec<impl crate::base::Element>) -> Result<Self> {
        let data = crate::base::Element::wrap(elements);
        let (dtype, count) = (data.dtype(), data.len());
        self.add(name, shape.into(), dtype, Stored::Elements(Arc::new(data)), count)
    }

    /// A column from an `ndarray` array or a [`HostTensor`], whose first axis is that of the samples.
    ///
    /// # Errors
    /// As [`column`](Self::column).
    pub fn tensor(self, name: &str, tensor: impl Into<HostTensor>) -> Result<Self> {
        let (shape, data) = tensor.into().into_parts();
        let (dtype, count) = (data.dtype(), data.len());
        self.add(name, shape, dtype, Stored::Elements(Arc::new(data)), count)
    }

    /// A column of floats that is held as bytes and read as `byte / divisor`: images in a quarter of the memory.
    ///
    /// # Errors
    /// As [`column`](Self::column), and when the divisor is 0 or not finite.
    pub fn bytes(self, name: &str, shape: impl Into<Shape>, bytes: Vec<u8>, divisor: f32) -> Result<Self> {
        if divisor == 0.0 || !divisor.is_finite() {
            return refuse(format!("column `{name}`: bytes cannot be divided by {divisor}: by 255 they become 0 to 1"));
        }
        let count = bytes.len();
        let table = std::array::from_fn(|byte| byte as f32 / divisor);
        self.add(name, shape.into(), DType::F32, Stored::Bytes(bytes.into(), Arc::new(table)), count)
    }

    /// The same without these columns.
    ///
    /// # Errors
    /// When there is none of such a name.
    pub fn without(mut self, names: &[&str]) -> Result<Self> {
        for &name in names {
            let place = self.place(name)?;
            self.columns.remove(place);
            self.stored.remove(place);
        }
        Ok(self)
    }

    /// The same with another name for a column.
    ///
    /// # Errors
    /// When there is none of that name, or one of the new name.
    pub fn rename(mut self, name: &str, new: &str) -> Result<Self> {
        let place = self.place(name)?;
        if name != new && self.columns.iter().any(|column| column.name == new) {
            return refuse(format!("column `{name}` cannot be called `{new}`: there is one of that name"));
        }
        new.clone_into(&mut self.columns[place].name);
        Ok(self)
    }

    /// The same with a column in another shape of one sample: `[784]` for images that come as `[28, 28]`.
    ///
    /// # Errors
    /// When there is none of that name, or the number of elements is another.
    pub fn reshape(mut self, name: &str, sample: impl Into<Shape>) -> Result<Self> {
        let (place, sample) = (self.place(name)?, sample.into());
        if sample.checked_elements() != Some(self.columns[place].shape.elements()) {
            let column = &self.columns[place];
            let elements = column.shape.elements();
            return refuse(format!(
                "column {column} has {elements} elements per sample, which do not fill the shape {sample} exactly"
            ));
        }
        self.columns[place].shape = sample;
        Ok(self)
    }

    /// The whole column of this name, `[samples, ..]`.
    ///
    /// # Errors
    /// When there is none.
    pub fn read_column(&self, name: &str) -> Result<HostTensor> {
        let place = self.place(name)?;
        let only = Self {
            columns: vec![self.columns[place].clone()],
            stored: vec![self.stored[place].clone()],
            rows: self.rows,
        };
        let (_, tensor) = only.all()?.into_columns().remove(0);
        Ok(tensor)
    }

    /// The same with other values of a column, in its place.
    ///
    /// # Errors
    /// When there is none of that name, or they are for another number of samples.
    pub fn replace(mut self, name: &str, tensor: impl Into<HostTensor>) -> Result<Self> {
        let place = self.place(name)?;
        let (shape, data) = tensor.into().into_parts();
        let Some((&rows, sample)) = shape.split_first().filter(|(rows, _)| **rows == self.rows) else {
            return refuse(format!(
                "column `{name}` was to be replaced by one of shape {shape}, and there are {} samples",
                self.rows
            ));
        };
        self.rows = rows;
        self.columns[place] = Column::new(name, data.dtype(), sample);
        self.stored[place] = Stored::Elements(Arc::new(data));
        Ok(self)
    }

    /// Columns of numbers and of vectors as one column of vectors, `f32[features]`, one after another and in place of them: the features
    /// that a network takes. Integers are converted.
    ///
    /// # Errors
    /// When there is none of such a name, it has more than one axis, a name comes twice, or the new name is taken.
    pub fn stack(self, names: &[&str], new: &str) -> Result<Self> {
        if names.is_empty() {
            return refuse(format!("column `{new}` was to be made of no columns"));
        }
        let places = names.iter().map(|name| self.place(name)).collect::<Result<Vec<usize>>>()?;
        if let Some(&place) = places.iter().find(|&&place| self.columns[place].shape.rank() > 1) {
            return refuse(format!(
                "column {} is neither a number nor a vector: make it a vector by `reshape` before it is stacked",
                self.columns[place]
            ));
        }
        if let Some((at, _)) = places.iter().enumerate().find(|&(at, place)| places[..at].contains(place)) {
            return refuse(format!("column `{}` was to be stacked twice", names[at]));
        }
        let width: usize = places.iter().map(|&place| self.columns[place].shape.elements()).sum();
        let mut stacked = vec![0f32; self.rows * width];
        let mut start = 0;
        for &place in &places {
            let own = self.columns[place].shape.elements();
            let stored = &self.stored[place];
            if stored.has_coarse_integers() {
                log::warn!(
                    "column `{}` holds integers beyond 16777216, of which single precision cannot tell all apart",
                    self.columns[place].name
                );
            }
            for (row, targets) in stacked.chunks_mut(width.max(1)).enumerate() {
                stored.floats(row * own..(row + 1) * own, &mut targets[start..start + own]);
            }
            start += own;
        }
        let shape = [self.rows, width];
        self.without(names)?.column(new, shape, stacked)
    }

    fn place(&self, name: &str) -> Result<usize> {
        self.columns.iter().position(|column| column.name == name).map_or_else(
            || {
                let list: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
                let list = if list.is_empty() { "no columns at all".to_owned() } else { list.join(", ") };
                refuse(format!("there is no column `{name}`: there are {list}"))
            },
            Ok,
        )
    }
}

fn gather<T: Copy>(data: &[T], rows: &[usize], width: usize) -> Vec<T> {
    if width == 1 {
        return rows.iter().map(|&row| data[row]).collect();
    }
    let mut gathered = Vec::with_capacity(rows.len() * width);
    for &row in rows {
        gathered.extend_from_slice(&data[row * width..(row + 1) * width]);
    }
    gathered
}

impl Dataset for Tensors {
    fn len(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
        check_rows(rows, self.rows)?;
        let read = |(column, stored): (&Column, &Stored)| {
            let width = column.shape.elements();
            let data = match stored {
                Stored::Elements(data) => match data.as_ref() {
                    HostData::F32(data) => HostData::F32(gather(data, rows, width)),
                    HostData::I32(data) => HostData::I32(gather(data, rows, width)),
                    HostData::U32(data) => HostData::U32(gather(data, rows, width)),
                },
                Stored::Bytes(bytes, table) => {
                    let mut floats = Vec::with_capacity(rows.len() * width);
                    for &row in rows {
                        floats
                            .extend(bytes[row * width..(row + 1) * width].iter().map(|&byte| table[usize::from(byte)]));
                    }
                    HostData::F32(floats)
                }
            };
            HostTensor::new(column.stacked(rows.len()).shape, data)
        };
        self.columns.iter().zip(&self.stored).map(read).collect()
    }
}
