//! y = random numbers from 0 to below 1, others every step; no gradient, having no inputs.
//!
//! They follow from the step's seed, the recording's stream number and the element's index, by a counter-based generator: the same on
//! every device, and the same where they are computed again.

use crate::base::{Real, Shape, TensorType, Value, threefry, unit_interval};
use crate::record::{
    Argument, Attributes, Case, CaseInput, Cotangents, Domain, DomainAxis, EvalContext, Follows, Graph, HostFunction,
    LowerContext, Lowering, Op, Parts, Pointwise, Reference, Tensor, Vjp, libraries,
};
use ndarray::{ArrayD, IxDyn};
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
struct Uniform {
    shape: Shape,
    /// Tells the numbers of one step apart. Fixed at recording.
    stream: u32,
    /// The place of the first element in the tensor that this is a part of.
    first: u32,
}

impl Op for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }
    fn outputs(&self, _inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        Ok(vec![TensorType::f32(&self.shape)])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(0)
    }
    fn domain(&self, _inputs: &[&TensorType]) -> Option<Domain> {
        // Its elements are known by their row-major place: parts are rows that follow one another.
        let cut = (0..self.shape.rank()).find(|&axis| self.shape[axis] > 1)?;
        let axis = |axis: usize| DomainAxis {
            extent: self.shape[axis],
            parts: if axis == cut { Parts::Join } else { Parts::None },
        };
        let follows = (0..self.shape.rank()).map(|axis| Some(Follows::same(axis)));
        let axes = (0..self.shape.rank()).map(axis).collect();
        Some(Domain { axes, inputs: Vec::new(), outputs: vec![follows.collect()] })
    }
    fn part(&self, _domain: &Domain, ranges: &[Range<usize>]) -> Option<Arc<dyn Op>> {
        let place: usize =
            ranges.iter().zip(self.shape.strides()).map(|(range, step)| range.start * step as usize).sum();
        let shape = ranges.iter().map(Range::len).collect::<Vec<_>>().into();
        Some(Arc::new(Self { shape, first: self.first + place as u32, ..*self }))
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let index = if self.first == 0 { "{1}".to_owned() } else { format!("{{1}} + {}u", self.first) };
        let expression = format!("unit_interval(threefry({{0}}, vec2<u32>({index}, {}u)).x)", self.stream);
        let (stream, first) = (self.stream, self.first);
        let host = HostFunction::new(move |block, out| {
            pulp::Arch::new().dispatch(|| {
                for (y, &index) in out.iter_mut().zip(block.arguments[1]) {
                    *y = (unit_interval(threefry(block.seed, [index + first, stream])[0]) as f32).to_bits();
                }
            });
        });
        let arguments = vec![Argument::Seed, Argument::Index];
        Lowering::Pointwise(Pointwise::new(expression, arguments, &[&libraries::RANDOM]).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("shape", &self.shape[..]).with("stream", self.stream).with("first", self.first)
    }
}

impl Reference for Uniform {
    fn eval<T: Real>(&self, _inputs: &[&Value<T>], cx: &EvalContext) -> Vec<Value<T>> {
        let element =
            |index: usize| T::real(unit_interval(threefry(cx.seed, [index as u32 + self.first, self.stream])[0]));
        let elements = (0..self.shape.elements()).map(element).collect();
        vec![Value::Real(
            ArrayD::from_shape_vec(IxDyn(&self.shape), elements).expect("one number was made per element"),
        )]
    }
}

impl Graph {
    /// Random numbers from 0 to below 1 (multiples of 2^-24), others in every step: made on the device, from the step's seed.
    #[must_use]
    #[track_caller]
    pub fn uniform(&self, shape: impl Into<Shape>) -> Tensor<'_> {
        let stream = self.with_recording(|recording| recording.nodes.len() as u32);
        self.record(Uniform { shape: shape.into(), stream, first: 0 }, &[])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([13, 17], 0.5, 1.5)];
    vec![
        Case::new("times numbers", input(), |x| x[0] * x[0].graph().uniform([13, 17])),
        Case::new("two streams differ", input(), |x| {
            let g = x[0].graph();
            x[0] * (g.uniform([13, 1]) - g.uniform([13, 1]))
        }),
    ]
}
