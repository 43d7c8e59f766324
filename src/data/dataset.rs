//! What a dataset is.

use super::{Batch, Concat, Map, Subset};
use crate::base::{DType, Error, ErrorKind, HostTensor, Result, Shape, TensorType};
use std::fmt;
use std::sync::Arc;

/// One column of a dataset: what every sample has under this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name, by which it is matched with the input of a graph.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The shape of one sample: `[]` for a number, `[28, 28]` for an image.
    pub shape: Shape,
}

impl Column {
    /// A column of this name, element type and shape of one sample.
    #[must_use]
    pub fn new(name: impl Into<String>, dtype: DType, shape: impl Into<Shape>) -> Self {
        Self { name: name.into(), dtype, shape: shape.into() }
    }

    /// Shape and element type of so many samples, stacked along a first axis.
    #[must_use]
    pub fn stacked(&self, samples: usize) -> TensorType {
        let extents: Vec<usize> = std::iter::once(samples).chain(self.shape.iter().copied()).collect();
        TensorType { shape: extents.into(), dtype: self.dtype }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}{}", self.name, self.dtype, self.shape)
    }
}

/// A number of samples with named columns, of which any rows can be read, by several threads at once.
///
/// In memory it is [`Tensors`](super::Tensors), and the readers make that. One that reads its samples from elsewhere when they
/// are asked for implements the three methods without a body.
///
/// ```
/// use retrograd::data::{Column, Dataset};
/// use retrograd::{DType, HostData, HostTensor, Result};
///
/// /// The numbers and their squares.
/// struct Squares([Column; 2]);
///
/// impl Dataset for Squares {
///     fn len(&self) -> usize { 1_000_000 }
///     fn columns(&self) -> &[Column] { &self.0 }
///     fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
///         let x: Vec<f32> = rows.iter().map(|&row| row as f32).collect();
///         let y = x.iter().map(|x| x * x).collect();
///         [x, y].into_iter().map(|data| HostTensor::new([rows.len()], HostData::F32(data))).collect()
///     }
/// }
///
/// let squares = Squares([Column::new("x", DType::F32, []), Column::new("y", DType::F32, [])]);
/// assert_eq!(squares.batch(&[3, 5])?.get("y")?.to_vec(), [9.0, 25.0]);
/// # Ok::<(), retrograd::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// What every sample has. No two columns have the same name.
    fn columns(&self) -> &[Column];

    /// These samples in this order, one tensor for every column, stacked along a first axis of `rows.len()`.
    ///
    /// # Errors
    /// When a row is not below [`len`](Self::len), or cannot be read.
    fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>>;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These samples in this order, by the names of the columns.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), and where it does not give what [`columns`](Self::columns) says.
    fn batch(&self, rows: &[usize]) -> Result<Batch> {
        let (columns, tensors) = (self.columns(), self.read(rows)?);
        let refuse = |what: String| Err(Error::new(ErrorKind::Argument, format!("the dataset is wrong: {what}")));
        if tensors.len() != columns.len() {
            return refuse(format!("it has {} columns and read {} tensors", columns.len(), tensors.len()));
        }
        for (column, tensor) in columns.iter().zip(&tensors) {
            let (wanted, read) = (column.stacked(rows.len()), tensor.tensor_type());
            if wanted != read {
                return refuse(format!("{} rows of column {column} are {wanted}, and it read {read}", rows.len()));
            }
        }
        let names = columns.iter().map(|column| column.name.clone());
        Batch::new(names.zip(tensors))
    }

    /// All samples, by the names of the columns.
    ///
    /// # Errors
    /// Those of [`batch`](Self::batch).
    fn all(&self) -> Result<Batch> {
        self.batch(&(0..self.len()).collect::<Vec<_>>())
    }

    /// Only these samples, in this order.
    ///
    /// # Errors
    /// When a row is not below [`len`](Self::len).
    fn subset(self, rows: Vec<usize>) -> Result<Subset<Self>>
    where
        Self: Sized,
    {
        Subset::new(Arc::new(self), rows)
    }

    /// Parts that share no sample, of these fractions of all, such as `[0.8, 0.1, 0.1]` for training, validation and test; the
    /// seed draws which sample falls into which, the same on every machine. Fractions that add up to 1 leave no sample out.
    ///
    /// # Errors
    /// When a fraction is not above 0, they add up to more than 1, or a part would be empty.
    fn split<const N: usize>(self, fractions: [f64; N], seed: u64) -> Result<[Subset<Self>; N]>
    where
        Self: Sized,
    {
        Subset::split(Arc::new(self), fractions, seed)
    }

    /// Every batch changed by a function: columns are replaced, added, left out. What the columns are is found by one call with the
    /// first sample. For randomness of each sample see [`DataLoader::augment`](super::DataLoader::augment).
    ///
    /// # Errors
    /// When there are no samples, or the function fails for the first one.
    fn map<F>(self, change: F) -> Result<Map<Self, F>>
    where
        Self: Sized,
        F: Fn(Batch) -> Result<Batch> + Send + Sync,
    {
        Map::new(self, change)
    }

    /// The samples of this one, and then those of another with the same columns.
    ///
    /// # Errors
    /// When the columns differ.
    fn concat<D: Dataset>(self, other: D) -> Result<Concat<Self, D>>
    where
        Self: Sized,
    {
        Concat::new(self, other)
    }
}

macro_rules! through_a_pointer {
    ($($pointer:ty),*) => {$(
        impl<D: Dataset + ?Sized> Dataset for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }
            fn columns(&self) -> &[Column] {
                (**self).columns()
            }
            fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
                (**self).read(rows)
            }
        }
    )*};
}

through_a_pointer!(&D, Box<D>, Arc<D>);

/// The error where a row is asked for that a dataset does not have.
pub(super) fn check_rows(rows: &[usize], len: usize) -> Result<()> {
    match rows.iter().find(|&&row| row >= len) {
        Some(row) => {
            let message = format!("row {row} was asked for, and the dataset has {len} samples, which count from 0");
            Err(Error::new(ErrorKind::Argument, message))
        }
        None => Ok(()),
    }
}
