//! The storage bindings of a kernel in the making.

use crate::base::DType;
use crate::record::{NodeId, TensorId};
use std::fmt::Write as _;

/// Memory that a kernel is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A tensor.
    Tensor(TensorId),
    /// Sums of runs of elements, which the sum of this node adds up.
    Partial(NodeId),
    /// Memory that only the kernels of one group use.
    Scratch(usize),
}

/// One storage binding.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What it is bound to.
    pub place: Place,
    /// The variable.
    pub name: String,
    /// The type of an element.
    pub dtype: DType,
    /// How many elements one declared element holds: 1, 4 (`vec4` of them), or 8 (`vec4<u64>`, pairs of words).
    pub width: usize,
    /// Whether the kernel writes it.
    pub written: bool,
    /// Whether the text that declares it is generated here, so that programs may read by it, too.
    pub shared: bool,
}

/// All storage bindings of a kernel, in the order of their numbers.
#[derive(Clone, Debug, Default)]
pub struct Bindings(pub Vec<Bound>);

impl Bindings {
    /// The binding of a place that is read, which is made where it is new.
    pub fn read(&mut self, place: Place, dtype: DType, width: usize) -> String {
        if let Some(bound) = self.shared(place) {
            return bound.name.clone();
        }
        let name = format!("in{}", self.0.len());
        self.0.push(Bound { place, name: name.clone(), dtype, width, written: false, shared: true });
        name
    }

    /// A new binding that is written.
    pub fn write(&mut self, place: Place, dtype: DType, width: usize) -> String {
        let name = format!("out{}", self.0.len());
        self.named(place, &name, dtype, width, true);
        name
    }

    /// A new binding under a given name.
    pub fn named(&mut self, place: Place, name: &str, dtype: DType, width: usize, written: bool) {
        self.0.push(Bound { place, name: name.to_owned(), dtype, width, written, shared: true });
    }

    /// A new binding that only the kernel's own text knows: what a program reads of the place is bound once more.
    pub fn own(&mut self, place: Place, name: &str, dtype: DType, width: usize, written: bool) {
        self.0.push(Bound { place, name: name.to_owned(), dtype, width, written, shared: false });
    }

    /// The binding by which programs read a place, if there is one.
    pub fn shared(&self, place: Place) -> Option<&Bound> {
        self.0.iter().find(|bound| bound.place == place && !bound.written && bound.shared)
    }

    /// The declarations of the bindings from a number on.
    #[must_use]
    pub fn declarations(&self, from: usize) -> String {
        let mut text = String::new();
        for (number, bound) in self.0.iter().enumerate().skip(from) {
            let access = if bound.written { "read_write" } else { "read" };
            let element = match bound.width {
                8 => "vec4<u64>".to_owned(),
                4 => format!("vec4<{}>", bound.dtype),
                _ => bound.dtype.to_string(),
            };
            let _ =
                writeln!(text, "@group(0) @binding({number}) var<storage, {access}> {}: array<{element}>;", bound.name);
        }
        text
    }

    /// What every binding is bound to, and whether it is written.
    #[must_use]
    pub fn places(&self) -> Vec<(Place, bool)> {
        self.0.iter().map(|bound| (bound.place, bound.written)).collect()
    }
}
