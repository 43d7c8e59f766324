//! Tensors of ONNX files as numbers, and what stands in the way of running a test.

use crate::proto;
use retrograd::{HostData, HostTensor};

/// Why a test is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It asks for what the crate does not offer; tests are listed by this reason.
    Lacks(String),
    /// The crate refused what it should accept, or the loader is wrong: the test fails.
    Fails(String),
}

/// A reason why the crate cannot say what a test asks for.
pub fn lacks<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Lacks(reason.into()))
}

/// What elements are, whatever their width. The crate has one type of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Float,
    Int,
    Bool,
}

/// Names of ONNX's element types, by number.
const TYPES: [&str; 27] = [
    "undefined",
    "float32",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "string",
    "bool",
    "float16",
    "float64",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
    "bfloat16",
    "float8",
    "float8",
    "float8",
    "float8",
    "uint4",
    "int4",
    "float4",
    "float8",
    "uint2",
    "int2",
];

/// What elements of an ONNX type are, where the crate can hold them. Numbers of 64 bits are converted to those of 32.
pub fn kind(element_type: i32) -> Result<Kind, Stop> {
    match usize::try_from(element_type).ok().and_then(|number| TYPES.get(number)).copied() {
        Some("float32" | "float64") => Ok(Kind::Float),
        Some("int32" | "int64") => Ok(Kind::Int),
        Some("bool") => Ok(Kind::Bool),
        Some(name) => lacks(format!("elements of type {name}")),
        None => lacks("elements of an unknown type"),
    }
}

/// Whether elements of an ONNX type lose bits on their way into the crate: those of `float64` do. All integers here fit.
pub fn is_narrowed(element_type: i32) -> bool {
    element_type == 11
}

/// The elements of a tensor, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Data {
    pub fn new(kind: Kind, shape: Vec<usize>, values: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "as many elements as the shape {shape:?} says");
        Self { kind, shape, values }
    }

    /// Integers along one axis, such as the extents of a shape.
    pub fn ints(values: impl IntoIterator<Item = i64>) -> Self {
        let values: Vec<f64> = values.into_iter().map(|value| value as f64).collect();
        Self::new(Kind::Int, vec![values.len()], values)
    }

    /// Reads a tensor, whose elements lie in raw bytes or in the field of their type.
    pub fn from_proto(tensor: &proto::Tensor) -> Result<Self, Stop> {
        let kind = kind(tensor.element_type)?;
        let shape: Vec<usize> = tensor.extents.iter().map(|&extent| extent as usize).collect();
        let raw = tensor.raw.as_deref();
        let values: Vec<f64> = match (TYPES[tensor.element_type as usize], raw) {
            ("float32", Some(raw)) => numbers(raw, |bytes| f32::from_le_bytes(bytes).into()),
            ("float64", Some(raw)) => numbers(raw, f64::from_le_bytes),
            ("int32", Some(raw)) => numbers(raw, |bytes| i32::from_le_bytes(bytes).into()),
            ("int64", Some(raw)) => numbers(raw, |bytes| i64::from_le_bytes(bytes) as f64),
            (_, Some(raw)) => raw.iter().map(|&byte| byte.into()).collect(),
            ("float32", None) => tensor.floats.iter().map(|&value| value.into()).collect(),
            ("float64", None) => tensor.doubles.clone(),
            ("int64", None) => tensor.int64s.iter().map(|&value| value as f64).collect(),
            (_, None) => tensor.int32s.iter().map(|&value| value.into()).collect(),
        };
        if values.len() != shape.iter().product::<usize>() {
            return Err(Stop::Fails(format!("{}: {} elements for shape {shape:?}", tensor.name, values.len())));
        }
        Ok(Self { kind, shape, values })
    }

    /// The elements as the crate's tensor of their kind. Integers beyond 32 bits, such as the end of a slice that means all
    /// there is, become the nearest.
    pub fn to_host(&self) -> HostTensor {
        let data = match self.kind {
            Kind::Float => HostData::F32(self.values.iter().map(|&value| value as f32).collect()),
            Kind::Int => HostData::I32(self.values.iter().map(|&value| value as i32).collect()),
            Kind::Bool => HostData::U32(self.values.iter().map(|&value| u32::from(value != 0.0)).collect()),
        };
        HostTensor::new(self.shape.clone(), data).expect("the constructor compared length and shape")
    }

    /// The elements as floats, whatever they are.
    pub fn to_floats(&self) -> HostTensor {
        Self { kind: Kind::Float, ..self.clone() }.to_host()
    }

    /// The elements as integers.
    pub fn to_ints(&self) -> Vec<i64> {
        self.values.iter().map(|&value| value as i64).collect()
    }
}

fn numbers<const N: usize>(raw: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    raw.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
}
