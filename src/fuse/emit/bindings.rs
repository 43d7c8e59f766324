//! The bindings of a kernel in the making.

use super::image;
use crate::base::DType;
use crate::record::{NodeId, TensorId};
use serde::{Deserialize, Serialize};
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

/// How a kernel uses what is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Usage {
    /// It reads a buffer.
    Read,
    /// It reads and writes a buffer.
    Write,
    /// It reads a copy of the buffer as an image, four elements to a texel.
    Image(DType),
}

impl Usage {
    /// Whether the buffer is written.
    #[must_use]
    pub fn writes(self) -> bool {
        self == Self::Write
    }
}

/// One binding.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What it is bound to.
    pub place: Place,
    /// The variable.
    pub name: String,
    /// The type of an element.
    pub dtype: DType,
    /// How many elements one declared element holds: 1, or 4 (a `vec4`, or a texel).
    pub width: usize,
    /// How it is used.
    pub usage: Usage,
    /// Whether the text that declares it is generated here, so that programs may read by it, too.
    pub shared: bool,
}

impl Bound {
    fn reader(&self) -> Reader {
        Reader { name: self.name.clone(), width: self.width, is_image: matches!(self.usage, Usage::Image(_)) }
    }

    fn declaration(&self, number: usize) -> String {
        let name = &self.name;
        let access = match self.usage {
            Usage::Image(dtype) => return image::declaration(number, name, dtype),
            Usage::Write => "read_write",
            Usage::Read => "read",
        };
        let element = if self.width == 4 { format!("vec4<{}>", self.dtype) } else { self.dtype.to_string() };
        format!("@group(0) @binding({number}) var<storage, {access}> {name}: array<{element}>;\n")
    }
}

/// How the elements of a binding are read.
#[derive(Clone, Debug)]
pub struct Reader {
    name: String,
    width: usize,
    is_image: bool,
}

impl Reader {
    /// Whether it is an image that is read.
    pub const fn is_image(&self) -> bool {
        self.is_image
    }

    /// The expression of one element.
    pub fn one(&self, index: &str) -> String {
        match (self.is_image, self.width) {
            (true, _) => format!("{}_one({index})", self.name),
            (false, 1) => format!("{}[{index}]", self.name),
            (false, width) => format!("{}[({index}) / {width}u][({index}) % {width}u]", self.name),
        }
    }

    /// The expression of four neighbours, from an element on whose index is a multiple of four.
    pub fn four(&self, index: &str) -> String {
        if self.is_image {
            format!("{}_four(({index}) / 4u)", self.name)
        } else {
            format!("{}[({index}) / 4u]", self.name)
        }
    }
}

/// All bindings of a kernel, in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Bindings {
    list: Vec<Bound>,
    /// From how many loads on a tensor is read as an image.
    images: usize,
}

impl Bindings {
    /// No bindings yet. What is loaded `images` times or more is read as an image.
    pub const fn new(images: usize) -> Self {
        Self { list: Vec::new(), images }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How a tensor of `elements` of which `loads` are loaded is read.
    fn usage(&self, dtype: DType, elements: usize, loads: usize) -> Usage {
        let images = self.list.iter().filter(|bound| matches!(bound.usage, Usage::Image(_))).count();
        if loads >= self.images && images < image::MOST && elements <= image::LARGEST {
            Usage::Image(dtype)
        } else {
            Usage::Read
        }
    }

    fn add(&mut self, place: Place, name: &str, dtype: DType, width: usize, usage: Usage, shared: bool) -> Reader {
        let width = if matches!(usage, Usage::Image(_)) { 4 } else { width };
        let bound = Bound { place, name: name.to_owned(), dtype, width, usage, shared };
        let reader = bound.reader();
        self.list.push(bound);
        reader
    }

    /// How a program reads a place of `elements`, `loads` of them; bound where it is new.
    pub fn read(&mut self, place: Place, dtype: DType, width: usize, elements: usize, loads: usize) -> Reader {
        if let Some(bound) = self.shared(place) {
            return bound.reader();
        }
        let usage = self.usage(dtype, elements, loads);
        self.add(place, &format!("in{}", self.list.len()), dtype, width, usage, true)
    }

    /// An operand that the kernel reads under a name of its own; programs bind it once more. It is `of` a type and so
    /// many elements, of which `loads` are loaded.
    pub fn operand(&mut self, place: Place, name: &str, of: (DType, usize), width: usize, loads: usize) -> Reader {
        let (dtype, elements) = of;
        let usage = self.usage(dtype, elements, loads);
        self.add(place, name, dtype, width, usage, false)
    }

    /// What a kernel reads under a name of its own; programs read by it, too.
    pub fn source(&mut self, place: Place, name: &str, elements: usize, loads: usize) -> Reader {
        let usage = self.usage(DType::F32, elements, loads);
        self.add(place, name, DType::F32, 1, usage, true)
    }

    /// A new binding that is written.
    pub fn write(&mut self, place: Place, dtype: DType, width: usize) -> String {
        let name = format!("out{}", self.list.len());
        self.named(place, &name, dtype, width, true);
        name
    }

    /// A new binding under a given name.
    pub fn named(&mut self, place: Place, name: &str, dtype: DType, width: usize, written: bool) {
        let usage = if written { Usage::Write } else { Usage::Read };
        self.add(place, name, dtype, width, usage, true);
    }

    /// A new binding that only the kernel's own text knows: what a program reads of the place is bound once more.
    pub fn own(&mut self, place: Place, name: &str, dtype: DType, width: usize, written: bool) {
        let usage = if written { Usage::Write } else { Usage::Read };
        self.add(place, name, dtype, width, usage, false);
    }

    /// The binding by which programs read a place, if there is one.
    pub fn shared(&self, place: Place) -> Option<&Bound> {
        self.list.iter().find(|bound| bound.place == place && !bound.usage.writes() && bound.shared)
    }

    /// The declaration of one binding.
    #[must_use]
    pub fn declaration(&self, number: usize) -> String {
        self.list[number].declaration(number)
    }

    /// The declarations of the bindings from a number on.
    #[must_use]
    pub fn declarations(&self, from: usize) -> String {
        let mut text = String::new();
        for (number, bound) in self.list.iter().enumerate().skip(from) {
            let _ = write!(text, "{}", bound.declaration(number));
        }
        text
    }

    /// What every binding is bound to, and how it is used.
    #[must_use]
    pub fn places(&self) -> Vec<(Place, Usage)> {
        self.list.iter().map(|bound| (bound.place, bound.usage)).collect()
    }
}
