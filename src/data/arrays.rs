//! Arrays as files hold them, and what tensors become of them.

use crate::base::{Error, ErrorKind, HostData, HostTensor, Result, Shape};

/// Elements of the types that files hold.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Elements {
    /// Truth values.
    Bool(Vec<bool>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// 16-bit unsigned integers.
    U16(Vec<u16>),
    /// 16-bit signed integers.
    I16(Vec<i16>),
    /// 32-bit unsigned integers.
    U32(Vec<u32>),
    /// 32-bit signed integers.
    I32(Vec<i32>),
    /// 64-bit unsigned integers.
    U64(Vec<u64>),
    /// 64-bit signed integers.
    I64(Vec<i64>),
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

/// Evaluates an expression for the elements of whatever type.
macro_rules! each {
    ($elements:expr, $data:ident => $work:expr) => {
        match $elements {
            Elements::Bool($data) => $work,
            Elements::U8($data) => $work,
            Elements::I8($data) => $work,
            Elements::U16($data) => $work,
            Elements::I16($data) => $work,
            Elements::U32($data) => $work,
            Elements::I32($data) => $work,
            Elements::U64($data) => $work,
            Elements::I64($data) => $work,
            Elements::F32($data) => $work,
            Elements::F64($data) => $work,
        }
    };
}
pub(super) use each;

impl Elements {
    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(self, data => data.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the type, such as `u8`.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16(_) => "u16",
            Self::I16(_) => "i16",
            Self::U32(_) => "u32",
            Self::I32(_) => "i32",
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
        }
    }
}

/// A dense array of any of the types that files hold, row-major: what [`idx`](super::idx) and [`npy`](super::npy) read.
#[derive(Clone, Debug, PartialEq)]
pub struct FileArray {
    shape: Shape,
    elements: Elements,
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Argument, message))
}

impl FileArray {
    /// An array of this shape.
    ///
    /// # Errors
    /// When the number of elements is another than the shape's.
    pub fn new(shape: impl Into<Shape>, elements: Elements) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_elements() != Some(elements.len()) {
            let needs = shape
                .checked_elements()
                .map_or_else(|| "more than can be counted".to_owned(), |count| count.to_string());
            return refuse(format!(
                "an array of shape {shape} needs {needs} elements, and was given {}",
                elements.len()
            ));
        }
        Ok(Self { shape, elements })
    }

    /// The extent of every axis.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The elements, row-major.
    #[must_use]
    pub const fn elements(&self) -> &Elements {
        &self.elements
    }

    /// Shape and elements.
    #[must_use]
    pub fn into_parts(self) -> (Shape, Elements) {
        (self.shape, self.elements)
    }

    /// As a tensor of floats. Double precision and long integers are rounded to the nearest float; truth values become 0 and 1.
    #[must_use]
    pub fn to_floats(&self) -> HostTensor {
        let floats = match &self.elements {
            Elements::Bool(data) => data.iter().map(|&x| f32::from(u8::from(x))).collect(),
            Elements::U8(data) => data.iter().map(|&x| f32::from(x)).collect(),
            Elements::I8(data) => data.iter().map(|&x| f32::from(x)).collect(),
            Elements::U16(data) => data.iter().map(|&x| f32::from(x)).collect(),
            Elements::I16(data) => data.iter().map(|&x| f32::from(x)).collect(),
            Elements::U32(data) => data.iter().map(|&x| x as f32).collect(),
            Elements::I32(data) => data.iter().map(|&x| x as f32).collect(),
            Elements::U64(data) => data.iter().map(|&x| x as f32).collect(),
            Elements::I64(data) => data.iter().map(|&x| x as f32).collect(),
            Elements::F32(data) => data.clone(),
            Elements::F64(data) => data.iter().map(|&x| x as f32).collect(),
        };
        self.tensor(HostData::F32(floats))
    }

    /// As a tensor of `i32`: labels and indices.
    ///
    /// # Errors
    /// When an element does not fit, or the elements are no integers.
    pub fn to_labels(&self) -> Result<HostTensor> {
        fn all<T: Copy + TryInto<i32> + std::fmt::Display>(data: &[T]) -> Result<Vec<i32>> {
            let label = |(place, &x): (usize, &T)| {
                x.try_into().or_else(|_| {
                    refuse(format!("element {place} is {x}, which does not fit an i32: take it by `to_floats`"))
                })
            };
            data.iter().enumerate().map(label).collect()
        }
        let labels = match &self.elements {
            Elements::Bool(data) => data.iter().map(|&x| i32::from(x)).collect(),
            Elements::U8(data) => all(data)?,
            Elements::I8(data) => all(data)?,
            Elements::U16(data) => all(data)?,
            Elements::I16(data) => all(data)?,
            Elements::U32(data) => all(data)?,
            Elements::I32(data) => data.clone(),
            Elements::U64(data) => all(data)?,
            Elements::I64(data) => all(data)?,
            Elements::F32(_) | Elements::F64(_) => {
                let of = self.elements.type_name();
                return refuse(format!("labels are integers, and these elements are {of}: round them first"));
            }
        };
        Ok(self.tensor(HostData::I32(labels)))
    }

    /// As the tensor that suits the type: floats stay floats, `u32` and truth values become `u32`, and other integers `i32`.
    ///
    /// # Errors
    /// When an integer does not fit an `i32`, or a number in double precision is beyond what single precision holds.
    pub fn to_tensor(&self) -> Result<HostTensor> {
        match &self.elements {
            Elements::F64(data) => match data.iter().position(|&x| x.is_finite() && !(x as f32).is_finite()) {
                Some(place) => refuse(format!(
                    "element {place} is {:e}, which single precision does not hold: scale the elements first, or make it infinite by \
                     `to_floats`",
                    data[place]
                )),
                None => Ok(self.to_floats()),
            },
            Elements::F32(_) => Ok(self.to_floats()),
            Elements::U32(data) => Ok(self.tensor(HostData::U32(data.clone()))),
            Elements::Bool(data) => Ok(self.tensor(HostData::U32(data.iter().map(|&x| u32::from(x)).collect()))),
            _ => self.to_labels(),
        }
    }

    fn tensor(&self, data: HostData) -> HostTensor {
        HostTensor::new(&self.shape, data).expect("the array has as many elements as its shape")
    }
}

impl From<&HostTensor> for FileArray {
    fn from(tensor: &HostTensor) -> Self {
        let elements = match tensor.data() {
            HostData::F32(data) => Elements::F32(data.clone()),
            HostData::I32(data) => Elements::I32(data.clone()),
            HostData::U32(data) => Elements::U32(data.clone()),
        };
        Self { shape: tensor.shape().clone(), elements }
    }
}

/// A type whose elements lie in files, highest or lowest byte first.
pub(super) trait Stored: Sized {
    const BYTES: usize;
    /// One element from [`BYTES`](Self::BYTES) bytes.
    fn read(bytes: &[u8], big_endian: bool) -> Self;
    /// Adds its bytes, the lowest first.
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! stored {
    ($($type:ty)*) => {$(
        impl Stored for $type {
            const BYTES: usize = size_of::<Self>();
            fn read(bytes: &[u8], big_endian: bool) -> Self {
                let mut own = [0; size_of::<Self>()];
                own.copy_from_slice(bytes);
                if big_endian { Self::from_be_bytes(own) } else { Self::from_le_bytes(own) }
            }
            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    )*};
}

stored!(u8 i8 u16 i16 u32 i32 u64 i64 f32 f64);

impl Stored for bool {
    const BYTES: usize = 1;
    fn read(bytes: &[u8], _big_endian: bool) -> Self {
        bytes[0] != 0
    }
    fn append(self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self));
    }
}

/// All elements of some bytes.
pub(super) fn all<T: Stored>(bytes: &[u8], big_endian: bool) -> Vec<T> {
    bytes.chunks_exact(T::BYTES).map(|element| T::read(element, big_endian)).collect()
}
