use super::{DType, Error, ErrorKind, Result, Shape, TensorType};
use ndarray::{ArrayD, IxDyn};

/// Elements on the host, by type.
#[derive(Clone, Debug, PartialEq)]
pub enum HostData {
    /// Floats.
    F32(Vec<f32>),
    /// Signed integers.
    I32(Vec<i32>),
    /// Unsigned integers.
    U32(Vec<u32>),
}

impl HostData {
    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::I32(_) => DType::I32,
            Self::U32(_) => DType::U32,
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::I32(data) => data.len(),
            Self::U32(data) => data.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as bytes in the machine's order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(data) => bytemuck::cast_slice(data),
            Self::I32(data) => bytemuck::cast_slice(data),
            Self::U32(data) => bytemuck::cast_slice(data),
        }
    }

    /// Elements of this type from bytes in the machine's order.
    #[must_use]
    pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Self {
        match dtype {
            DType::F32 => Self::F32(bytemuck::pod_collect_to_vec(bytes)),
            DType::I32 => Self::I32(bytemuck::pod_collect_to_vec(bytes)),
            DType::U32 => Self::U32(bytemuck::pod_collect_to_vec(bytes)),
        }
    }
}

/// An element type that tensors hold: `f32`, `i32` or `u32`.
pub trait Element: bytemuck::Pod {
    /// The matching [`DType`].
    const DTYPE: DType;
    /// Wraps owned elements.
    fn wrap(data: Vec<Self>) -> HostData;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
    fn wrap(data: Vec<Self>) -> HostData {
        HostData::F32(data)
    }
}

impl Element for i32 {
    const DTYPE: DType = DType::I32;
    fn wrap(data: Vec<Self>) -> HostData {
        HostData::I32(data)
    }
}

impl Element for u32 {
    const DTYPE: DType = DType::U32;
    fn wrap(data: Vec<Self>) -> HostData {
        HostData::U32(data)
    }
}

/// A dense tensor in host memory: what a read returns and a constant is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    shape: Shape,
    data: HostData,
}

impl HostTensor {
    /// A tensor of this shape.
    ///
    /// # Errors
    /// When the number of elements differs from the shape's.
    pub fn new(shape: impl Into<Shape>, data: HostData) -> Result<Self> {
        let shape = shape.into();
        match shape.checked_elements() {
            Some(elements) if elements == data.len() => Ok(Self { shape, data }),
            Some(elements) => {
                let message = format!("{} elements were given for shape {shape}, which has {elements}", data.len());
                Err(Error::new(ErrorKind::Argument, message))
            }
            None => {
                let message = format!("shape {shape} has more elements than can be counted");
                Err(Error::new(ErrorKind::Argument, message))
            }
        }
    }

    /// The extent of every axis.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The elements.
    #[must_use]
    pub const fn data(&self) -> &HostData {
        &self.data
    }

    /// The elements, to be changed in place.
    pub(crate) const fn data_mut(&mut self) -> &mut HostData {
        &mut self.data
    }

    /// Shape and elements.
    #[must_use]
    pub fn into_parts(self) -> (Shape, HostData) {
        (self.shape, self.data)
    }

    /// These rows along the first axis, in this order.
    ///
    /// # Errors
    /// When it has no axis, or a row is not below the extent of the first one.
    pub fn rows(&self, rows: &[usize]) -> Result<Self> {
        fn taken<T: Copy>(data: &[T], rows: &[usize], width: usize) -> Vec<T> {
            let mut taken = Vec::with_capacity(rows.len() * width);
            for &row in rows {
                taken.extend_from_slice(&data[row * width..(row + 1) * width]);
            }
            taken
        }
        let refuse = |why: String| Err(Error::new(ErrorKind::Argument, why));
        let Some((&extent, row_shape)) = self.shape.split_first() else {
            return refuse("rows were asked for of a tensor without axes".into());
        };
        if let Some(row) = rows.iter().find(|&&row| row >= extent) {
            return refuse(format!("row {row} was asked for of a tensor of shape {}", self.shape));
        }
        let width = row_shape.iter().product();
        let shape: Vec<usize> = std::iter::once(rows.len()).chain(row_shape.iter().copied()).collect();
        let data = match &self.data {
            HostData::F32(data) => HostData::F32(taken(data, rows, width)),
            HostData::I32(data) => HostData::I32(taken(data, rows, width)),
            HostData::U32(data) => HostData::U32(taken(data, rows, width)),
        };
        Self::new(shape, data)
    }

    /// This tensor and another along the first axis.
    ///
    /// # Errors
    /// When the element types or another extent than the first differ, or there is no axis.
    pub fn joined(self, other: Self) -> Result<Self> {
        let (first, second) = (self.tensor_type(), other.tensor_type());
        if first.shape.rank() == 0 || first.dtype != second.dtype || first.shape.get(1..) != second.shape.get(1..) {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("{first} and {second} cannot be joined along the first axis"),
            ));
        }
        let mut shape = first.shape.to_vec();
        shape[0] += second.shape[0];
        let data = match (self.data, other.data) {
            (HostData::F32(one), HostData::F32(two)) => HostData::F32([one, two].concat()),
            (HostData::I32(one), HostData::I32(two)) => HostData::I32([one, two].concat()),
            (HostData::U32(one), HostData::U32(two)) => HostData::U32([one, two].concat()),
            (one, _) => one,
        };
        Self::new(shape, data)
    }

    /// Shape and element type.
    #[must_use]
    pub fn tensor_type(&self) -> TensorType {
        TensorType { shape: self.shape.clone(), dtype: self.data.dtype() }
    }

    /// The first element as a float: the value of a scalar such as a loss.
    #[must_use]
    pub fn item(&self) -> f32 {
        match &self.data {
            HostData::F32(data) => data.first().copied(),
            HostData::I32(data) => data.first().map(|&value| value as f32),
            HostData::U32(data) => data.first().map(|&value| value as f32),
        }
        .unwrap_or(f32::NAN)
    }

    /// All elements as floats, row-major; integers are converted.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        match &self.data {
            HostData::F32(data) => data.clone(),
            HostData::I32(data) => data.iter().map(|&value| value as f32).collect(),
            HostData::U32(data) => data.iter().map(|&value| value as f32).collect(),
        }
    }

    /// All elements as an `ndarray` array of floats; integers are converted.
    #[must_use]
    pub fn to_array(&self) -> ArrayD<f32> {
        // The constructor checked that length and shape agree, so the fallback is never taken.
        ArrayD::from_shape_vec(IxDyn(&self.shape), self.to_vec()).unwrap_or_default()
    }
}

impl<T: Element> From<Vec<T>> for HostTensor {
    fn from(elements: Vec<T>) -> Self {
        Self { shape: [elements.len()].into(), data: T::wrap(elements) }
    }
}

impl<T: Element, const N: usize> From<[T; N]> for HostTensor {
    fn from(elements: [T; N]) -> Self {
        elements.to_vec().into()
    }
}

impl<T: Element, D: ndarray::Dimension> From<&ndarray::Array<T, D>> for HostTensor {
    fn from(array: &ndarray::Array<T, D>) -> Self {
        Self { shape: array.shape().into(), data: T::wrap(array.iter().copied().collect()) }
    }
}
