//! What ops that draw a random number for every element have in common.
//!
//! A number follows from the step's seed, the recording's stream number and the element's index, by a counter-based generator:
//! nothing is stored, it is the same on every device, and the same where it is computed again.

use crate::base::{Real, Shape, TensorType, Value, threefry, unit_interval};
use crate::record::{
    Argument, Attributes, Domain, DomainAxis, EvalContext, Follows, Graph, HostFunction, Lowering, Parts, Pointwise,
    libraries,
};
use ndarray::{ArrayD, IxDyn};
use std::ops::Range;

/// Random numbers from 0 to below 1 (multiples of 2^-24), one for every element of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Draws {
    shape: Shape,
    /// Tells the numbers of one step apart. Fixed at recording.
    stream: u32,
    /// The place of the first element in the tensor that this is a part of.
    first: u32,
}

impl Draws {
    /// Of a tensor that is recorded next, which no other draws.
    pub fn next(graph: &Graph, shape: Shape) -> Self {
        let stream = graph.with_recording(|recording| recording.nodes.len() as u32);
        Self { shape, stream, first: 0 }
    }

    pub fn outputs(&self) -> Vec<TensorType> {
        vec![TensorType::f32(&self.shape)]
    }

    /// Elements are known by their row-major place: parts are rows that follow one another.
    pub fn domain(&self) -> Option<Domain> {
        let cut = (0..self.shape.rank()).find(|&axis| self.shape[axis] > 1)?;
        let axis = |axis: usize| DomainAxis {
            extent: self.shape[axis],
            parts: if axis == cut { Parts::Join } else { Parts::None },
        };
        let follows = (0..self.shape.rank()).map(|axis| Some(Follows::same(axis)));
        let axes = (0..self.shape.rank()).map(axis).collect();
        Some(Domain { axes, inputs: Vec::new(), outputs: vec![follows.collect()] })
    }

    /// Those of a part of the domain.
    pub fn part(&self, ranges: &[Range<usize>]) -> Self {
        let place: usize =
            ranges.iter().zip(self.shape.strides()).map(|(range, step)| range.start * step as usize).sum();
        let shape = ranges.iter().map(Range::len).collect::<Vec<_>>().into();
        Self { shape, first: self.first + place as u32, stream: self.stream }
    }

    /// What is computed of each number: `expression` is given the WGSL for it, and `function` computes the same on the host.
    pub fn lower(
        &self,
        expression: impl FnOnce(&str) -> String,
        function: impl Fn(f32) -> f32 + Send + Sync + 'static,
    ) -> Lowering {
        let (stream, first) = (self.stream, self.first);
        let index = if first == 0 { "{1}".to_owned() } else { format!("{{1}} + {first}u") };
        let number = format!("uniform_element({{0}}, {stream}u, {index})");
        let host = HostFunction::new(move |block, out| {
            pulp::Arch::new().dispatch(|| {
                for (y, &index) in out.iter_mut().zip(block.arguments[1]) {
                    let number = unit_interval(threefry(block.seed, [index + first, stream])[0]) as f32;
                    *y = function(number).to_bits();
                }
            });
        });
        let arguments = vec![Argument::Seed, Argument::Index];
        Lowering::Pointwise(Pointwise::new(expression(&number), arguments, &[&libraries::RANDOM]).on_host(host))
    }

    /// What tells these numbers from others.
    pub fn attributes(&self) -> Attributes {
        Attributes::default().with("shape", &self.shape[..]).with("stream", self.stream).with("first", self.first)
    }

    /// What `function` makes of each number. They have 24 bits, so that single precision holds them.
    pub fn eval<T: Real>(&self, cx: EvalContext, function: impl Fn(f32) -> f64) -> Vec<Value<T>> {
        let element = |index: usize| {
            let number = unit_interval(threefry(cx.seed, [index as u32 + self.first, self.stream])[0]) as f32;
            T::real(function(number))
        };
        let elements = (0..self.shape.elements()).map(element).collect();
        let array = ArrayD::from_shape_vec(IxDyn(&self.shape), elements).expect("one number was made per element");
        vec![Value::Real(array)]
    }
}
