//! y = x r / (1 - p) with r = 0 with probability p, else 1; dx = g r / (1 - p), with the same r.
//!
//! r follows from the step's seed, the recording's stream number and the element's index, by a
//! counter-based generator: nothing is stored, and recomputing gives the same mask.
//! Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014.

use crate::base::{Real, Shape, TensorType, Value, threefry, unit_interval};
use crate::record::{
    Argument, Attributes, Case, CaseInput, Cotangents, Domain, DomainAxis, EvalContext, Follows, HostFunction,
    LowerContext, Lowering, Op, Parts, Pointwise, Reference, Tensor, Text, Vjp, libraries,
};
use ndarray::{ArrayD, IxDyn};
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
struct DropoutMask {
    shape: Shape,
    rate: f64,
    /// Tells the masks of one step apart. Fixed at recording.
    stream: u32,
    /// The place of the first element in the mask that this is a part of.
    first: u32,
}

impl Op for DropoutMask {
    fn name(&self) -> &'static str {
        "dropout_mask"
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
        let (rate, scale) = (Text::literal(self.rate), Text::literal(1.0 / (1.0 - self.rate)));
        let index = if self.first == 0 { "{1}".to_owned() } else { format!("{{1}} + {}u", self.first) };
        let expression = format!("dropout_element({{0}}, {}u, {index}, {rate}, {scale})", self.stream);
        let (stream, first) = (self.stream, self.first);
        let (rate, scale) = (self.rate as f32, (1.0 / (1.0 - self.rate)) as f32);
        let host = HostFunction::new(move |block, out| {
            pulp::Arch::new().dispatch(|| {
                for (y, &index) in out.iter_mut().zip(block.arguments[1]) {
                    let uniform = unit_interval(threefry(block.seed, [index + first, stream])[0]) as f32;
                    *y = if uniform < rate { 0.0f32 } else { scale }.to_bits();
                }
            });
        });
        let arguments = vec![Argument::Seed, Argument::Index];
        Lowering::Pointwise(Pointwise::new(expression, arguments, &[&libraries::RANDOM]).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("shape", &self.shape[..])
            .with("rate", self.rate)
            .with("stream", self.stream)
            .with("first", self.first)
    }
}

impl Reference for DropoutMask {
    fn eval<T: Real>(&self, _inputs: &[&Value<T>], cx: &EvalContext) -> Vec<Value<T>> {
        // Compared in single precision, as on the device: both then drop the same elements.
        let rate = self.rate as f32;
        let element = |index: usize| {
            let uniform = unit_interval(threefry(cx.seed, [index as u32 + self.first, self.stream])[0]) as f32;
            if uniform < rate { T::zero() } else { T::real(1.0 / (1.0 - self.rate)) }
        };
        let elements = (0..self.shape.elements()).map(element).collect();
        vec![Value::Real(
            ArrayD::from_shape_vec(IxDyn(&self.shape), elements).expect("one number was made per element"),
        )]
    }
}

impl Tensor<'_> {
    /// Sets a fraction `rate` of the elements to zero, others anew every step, and scales the rest by
    /// 1 / (1 - rate). For training only: leave it out of the graph that is recorded for evaluation.
    #[must_use]
    #[track_caller]
    pub fn dropout(self, rate: f64) -> Self {
        if !(0.0..1.0).contains(&rate) {
            return self.graph.fault(
                "dropout",
                &[self],
                format!("the rate must be at least 0 and below 1, and is {rate}"),
            );
        }
        let stream = self.graph.with_recording(|recording| recording.nodes.len() as u32);
        self * self.graph.record(DropoutMask { shape: self.shape(), rate, stream, first: 0 }, &[])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("half", vec![CaseInput::uniform([13, 17], 0.5, 1.5)], |x| x[0].dropout(0.5)),
        Case::new("two masks differ", vec![CaseInput::uniform([65], 0.5, 1.5)], |x| {
            x[0].dropout(0.2) * x[0].dropout(0.2)
        }),
    ]
}
