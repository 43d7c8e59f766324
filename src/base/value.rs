use super::{DType, HostData, HostTensor, Real, Shape};
use ndarray::{ArrayD, IxDyn};

/// A tensor during evaluation on the host: floats in the precision of the evaluation, integers
/// as they are.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<T> {
    /// Floats.
    Real(ArrayD<T>),
    /// Signed integers.
    I32(ArrayD<i32>),
    /// Unsigned integers and masks.
    U32(ArrayD<u32>),
}

/// What [`Value::real`] unwinds with on integers.
pub(crate) struct MetIntegers;

impl<T: Real> Value<T> {
    /// The extent of every axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Real(array) => array.shape(),
            Self::I32(array) => array.shape(),
            Self::U32(array) => array.shape(),
        }
    }

    /// The floats. The shape rules have checked the element types before any evaluation.
    ///
    /// # Panics
    /// On integers, which the op's shape rule should have refused. What evaluates the op turns that into an error with its
    /// name.
    #[must_use]
    pub fn real(&self) -> &ArrayD<T> {
        match self {
            Self::Real(array) => array,
            // Unwinding that is caught needs no message on standard error.
            _ if cfg!(panic = "unwind") => std::panic::resume_unwind(Box::new(MetIntegers)),
            _ => panic!("a reference expected floats and met integers: its shape rule must refuse them"),
        }
    }

    /// Every element as a signed integer: labels, indices and masks.
    #[must_use]
    pub fn integers(&self) -> ArrayD<i64> {
        match self {
            Self::Real(array) => array.mapv(|x| x.double() as i64),
            Self::I32(array) => array.mapv(i64::from),
            Self::U32(array) => array.mapv(i64::from),
        }
    }

    /// Every element as a float.
    #[must_use]
    pub fn to_real(&self) -> ArrayD<T> {
        match self {
            Self::Real(array) => array.clone(),
            Self::I32(array) => array.mapv(|x| T::real(f64::from(x))),
            Self::U32(array) => array.mapv(|x| T::real(f64::from(x))),
        }
    }

    /// Host data in the precision of the evaluation.
    #[must_use]
    pub fn from_host(tensor: &HostTensor) -> Self {
        Self::from_data(tensor.shape(), tensor.data())
    }

    /// Host data of this shape in the precision of the evaluation.
    ///
    /// # Panics
    /// When length and shape differ; callers have checked that.
    #[must_use]
    pub fn from_data(shape: &Shape, data: &HostData) -> Self {
        let dim = IxDyn(shape);
        let message = "host data was checked against its shape before it came here";
        match data {
            HostData::F32(data) => Self::Real(
                ArrayD::from_shape_vec(dim, data.iter().map(|&x| T::real(f64::from(x))).collect()).expect(message),
            ),
            HostData::I32(data) => Self::I32(ArrayD::from_shape_vec(dim, data.clone()).expect(message)),
            HostData::U32(data) => Self::U32(ArrayD::from_shape_vec(dim, data.clone()).expect(message)),
        }
    }

    /// The value as host data, floats rounded to single precision.
    ///
    /// # Panics
    /// Never: an array holds as many elements as its shape says.
    #[must_use]
    pub fn to_host(&self) -> HostTensor {
        let data = match self {
            Self::Real(array) => HostData::F32(array.iter().map(|x| x.double() as f32).collect()),
            Self::I32(array) => HostData::I32(array.iter().copied().collect()),
            Self::U32(array) => HostData::U32(array.iter().copied().collect()),
        };
        HostTensor::new(self.shape(), data).expect("an array holds as many elements as its shape says")
    }

    /// The element type on a device.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self {
            Self::Real(_) => DType::F32,
            Self::I32(_) => DType::I32,
            Self::U32(_) => DType::U32,
        }
    }
}

/// Applies an expression to the array inside a value, whatever its element type, and wraps the
/// result in the same variant.
macro_rules! map_value {
    ($value:expr, $array:ident => $body:expr) => {
        match $value {
            $crate::base::Value::Real($array) => $crate::base::Value::Real($body),
            $crate::base::Value::I32($array) => $crate::base::Value::I32($body),
            $crate::base::Value::U32($array) => $crate::base::Value::U32($body),
        }
    };
}
pub(crate) use map_value;
