//! One node while it is recorded: its inputs in the form that an op needs, and its attributes.

use crate::data::{Data, Kind, Stop, lacks};
use crate::proto;
use crate::recorder::{Names, Outcome, Recorder, Val};
use retrograd::{DType, Graph, Tensor};
use std::rc::Rc;

/// One node while it is recorded.
pub struct Call<'a, 'g> {
    pub g: &'g Graph,
    pub recorder: &'a Recorder<'g>,
    /// What bodies of control flow see.
    pub names: &'a Names<'g>,
    pub node: &'a proto::Node,
    pub inputs: Vec<Option<Val<'g>>>,
}

impl<'g> Call<'_, 'g> {
    /// The version of the operator set that the node belongs to.
    pub fn version(&self) -> i64 {
        let of = |domain: &str| self.recorder.versions.get(domain).copied();
        of(&self.node.domain).or_else(|| of("ai.onnx")).unwrap_or(1)
    }

    /// Whether the test is about this node, rather than about an op to whose body it belongs.
    pub fn is_single(&self) -> bool {
        self.recorder.single.as_ref() == Some(&self.node.op)
    }

    /// How many inputs are given, optional ones that are left out included.
    pub fn count(&self) -> usize {
        self.inputs.len()
    }

    /// How many outputs the node has.
    pub fn wanted(&self) -> usize {
        self.node.outputs.len()
    }

    /// Whether the output of this number is read by anything.
    pub fn wants(&self, number: usize) -> bool {
        self.node.outputs.get(number).is_some_and(|name| !name.is_empty())
    }

    /// An input, where it is given.
    pub fn optional(&self, number: usize) -> Option<&Val<'g>> {
        self.inputs.get(number).and_then(Option::as_ref)
    }

    /// An input.
    pub fn value(&self, number: usize) -> Result<&Val<'g>, Stop> {
        self.optional(number)
            .ok_or_else(|| Stop::Fails(format!("{} has no input {number}, which it needs", self.node.op)))
    }

    /// The kind of the first input's elements.
    pub fn kind(&self) -> Kind {
        self.optional(0).map_or(Kind::Float, |value| value.kind)
    }

    /// A value as floats.
    pub fn floats(&self, value: &Val<'g>) -> Result<Tensor<'g>, Stop> {
        match (value.tensor(), value.data()) {
            (Some(tensor), _) if tensor.dtype() == DType::F32 => Ok(tensor),
            (Some(tensor), _) => Ok(tensor.to_f32()),
            (None, Some(data)) if data.values.is_empty() => lacks("tensors without elements"),
            (None, Some(data)) => Ok(self.g.constant(data.to_floats())),
            (None, None) => Err(Stop::Fails("a value without tensor or data".into())),
        }
    }

    /// An input as floats.
    pub fn float(&self, number: usize) -> Result<Tensor<'g>, Stop> {
        self.floats(self.value(number)?)
    }

    /// An input as floats, where it is given.
    pub fn optional_float(&self, number: usize) -> Result<Option<Tensor<'g>>, Stop> {
        self.optional(number).map(|value| self.floats(value)).transpose()
    }

    /// An input as indices (`i32`), negative ones counted from the end of an axis of this extent.
    pub fn index(&self, number: usize, extent: usize) -> Result<Tensor<'g>, Stop> {
        let value = self.value(number)?;
        let data = self.recorder.known(value)?;
        if data.values.is_empty() {
            return lacks("tensors without elements");
        }
        if data.values.iter().any(|&index| index < 0.0) {
            let index = self.floats(value)?;
            let zero = self.g.scalar(0.0);
            return Ok(index.lt(zero).where_cond(index + extent as f64, index).to_i32());
        }
        match value.tensor() {
            Some(tensor) if tensor.dtype() == DType::I32 => Ok(tensor),
            Some(tensor) => Ok(tensor.to_f32().to_i32()),
            None => Ok(self.g.constant(Data { kind: Kind::Int, ..(*data).clone() }.to_host())),
        }
    }

    /// A value as a mask (`u32`).
    pub fn masks(&self, value: &Val<'g>) -> Result<Tensor<'g>, Stop> {
        match value.tensor() {
            Some(tensor) if tensor.dtype() == DType::U32 => Ok(tensor),
            _ => Ok(self.floats(value)?.ne(self.g.scalar(0.0))),
        }
    }

    /// An input as a mask.
    pub fn mask(&self, number: usize) -> Result<Tensor<'g>, Stop> {
        self.masks(self.value(number)?)
    }

    /// The elements of an input, which shapes depend on.
    pub fn known(&self, number: usize) -> Result<Rc<Data>, Stop> {
        self.recorder.known(self.value(number)?)
    }

    /// The elements of an input as integers, where it is given.
    pub fn optional_ints(&self, number: usize) -> Result<Option<Vec<i64>>, Stop> {
        self.optional(number).map(|value| Ok(self.recorder.known(value)?.to_ints())).transpose()
    }

    /// The one element of an input.
    pub fn scalar(&self, number: usize) -> Result<f64, Stop> {
        let data = self.known(number)?;
        data.values.first().copied().ok_or_else(|| Stop::Fails("an empty tensor where a number is needed".into()))
    }

    /// Integers that are an attribute in older versions of an op, and an input in newer ones.
    pub fn attribute_or_input(&self, name: &str, number: usize) -> Result<Option<Vec<i64>>, Stop> {
        match self.ints(name) {
            Some(ints) => Ok(Some(ints)),
            None => self.optional_ints(number),
        }
    }

    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&proto::Attribute> {
        self.node.attributes.iter().find(|attribute| attribute.name == name)
    }
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.int)
    }
    pub fn number(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).map_or(default, |attribute| attribute.float.into())
    }
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|attribute| attribute.ints.clone())
    }
    pub fn extents(&self, name: &str) -> Option<Vec<usize>> {
        self.ints(name).map(|ints| ints.into_iter().map(|int| int as usize).collect())
    }
    pub fn text(&self, name: &str, default: &str) -> String {
        self.attribute(name)
            .map_or_else(|| default.to_owned(), |attribute| String::from_utf8_lossy(&attribute.string).into_owned())
    }

    /// An axis of the first input, from an attribute.
    pub fn axis(&self, name: &str, default: i64) -> Result<isize, Stop> {
        let rank = self.value(0)?.shape().len() as i64;
        let axis = self.int(name, default);
        Ok((if axis < 0 { axis + rank } else { axis }) as isize)
    }

    /// One output with elements of the first input's kind.
    #[allow(clippy::unnecessary_wraps)] // what a node gives
    pub fn same(&self, tensor: Tensor<'g>) -> Outcome<'g> {
        Ok(vec![Val::of(self.kind(), tensor)])
    }

    /// Refuses to compute with integers where the test is about that: the crate computes with floats alone.
    pub fn computes(&self) -> Result<(), Stop> {
        if self.is_single() && self.kind() == Kind::Int {
            return lacks("arithmetic of integers");
        }
        Ok(())
    }
}

/// One float output.
#[allow(clippy::unnecessary_wraps)] // what a node gives
pub fn one(tensor: Tensor<'_>) -> Outcome<'_> {
    Ok(vec![Val::float(tensor)])
}
