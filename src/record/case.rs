use super::{Graph, Tensor};
use crate::base::{DType, Generator, HostData, HostTensor, Shape};

/// How the elements of a case's input are drawn.
#[derive(Clone, Debug)]
pub enum Draw {
    /// Evenly from `[low, high)`.
    Uniform {
        /// Least value.
        low: f64,
        /// Bound above.
        high: f64,
    },
    /// Evenly from `[low, high)`, at least `margin` away from every point where the function has
    /// a kink: central differences across a kink are not the derivative.
    Avoiding {
        /// Least value.
        low: f64,
        /// Bound above.
        high: f64,
        /// The kinks.
        points: &'static [f64],
        /// The distance to keep.
        margin: f64,
    },
    /// Evenly spread distinct values in random order: no two are closer than their spacing, so a
    /// maximum stays the maximum under a small change.
    Distinct {
        /// Least value.
        low: f64,
        /// Bound above.
        high: f64,
    },
    /// Positive rows along the last axis that add up to one.
    Probabilities,
    /// Integers in `0..below` (`i32`).
    Labels {
        /// Bound above.
        below: usize,
    },
    /// Truth values (`u32`).
    Mask,
}

/// One input of a case.
#[derive(Clone, Debug)]
pub struct CaseInput {
    /// Its shape.
    pub shape: Shape,
    /// How it is drawn.
    pub draw: Draw,
}

impl CaseInput {
    /// An input of this shape, drawn like this.
    #[must_use]
    pub fn new(shape: impl Into<Shape>, draw: Draw) -> Self {
        Self { shape: shape.into(), draw }
    }

    /// Drawn evenly from `[low, high)`.
    #[must_use]
    pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64) -> Self {
        Self::new(shape, Draw::Uniform { low, high })
    }

    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self.draw {
            Draw::Labels { .. } => DType::I32,
            Draw::Mask => DType::U32,
            _ => DType::F32,
        }
    }

    /// Fresh random elements.
    ///
    /// # Panics
    /// Never: the number of elements is the shape's.
    #[must_use]
    pub fn draw(&self, generator: &mut Generator) -> HostTensor {
        let count = self.shape.elements();
        let data = match &self.draw {
            Draw::Uniform { low, high } => floats(count, || generator.uniform(*low, *high)),
            Draw::Avoiding { low, high, points, margin } => floats(count, || {
                loop {
                    let x = generator.uniform(*low, *high);
                    if points.iter().all(|point| (x - point).abs() > *margin) {
                        return x;
                    }
                }
            }),
            Draw::Distinct { low, high } => {
                let mut order: Vec<usize> = (0..count).collect();
                generator.shuffle(&mut order);
                let mut order = order.into_iter();
                floats(count, || low + (high - low) * order.next().unwrap_or(0) as f64 / count as f64)
            }
            Draw::Probabilities => {
                let mut values: Vec<f32> = (0..count).map(|_| generator.uniform(0.05, 1.0) as f32).collect();
                for row in values.chunks_mut(self.shape.last()) {
                    let sum: f32 = row.iter().sum();
                    for x in row {
                        *x /= sum;
                    }
                }
                HostData::F32(values)
            }
            Draw::Labels { below } => HostData::I32((0..count).map(|_| generator.below(*below) as i32).collect()),
            Draw::Mask => HostData::U32((0..count).map(|_| generator.below(2) as u32).collect()),
        };
        HostTensor::new(self.shape.clone(), data).expect("as many elements were drawn as the shape has")
    }
}

fn floats(count: usize, mut draw: impl FnMut() -> f64) -> HostData {
    HostData::F32((0..count).map(|_| draw() as f32).collect())
}

type Build = Box<dyn for<'g> Fn(&[Tensor<'g>]) -> Tensor<'g> + Send + Sync>;

/// One way to call an op, with shapes and ranges: every check sweeps it (value and gradient, on
/// the reference and on every device, dense and through views).
pub struct Case {
    /// What is special about it.
    pub name: String,
    /// The inputs.
    pub inputs: Vec<CaseInput>,
    /// Whether the gradient is checked as well.
    pub differentiable: bool,
    /// Allowed `|got - want|` in single precision: this times `|want|` plus a tenth of it times
    /// the largest `|want|` of the tensor.
    pub tolerance: f64,
    build: Build,
}

impl Case {
    /// A differentiable case with the tolerance of the golden set, 2e-5.
    pub fn new(
        name: impl Into<String>,
        inputs: Vec<CaseInput>,
        build: impl for<'g> Fn(&[Tensor<'g>]) -> Tensor<'g> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), inputs, differentiable: true, tolerance: 2e-5, build: Box::new(build) }
    }

    /// The case without a gradient check: integer results, and functions that are flat.
    #[must_use]
    pub fn value_only(mut self) -> Self {
        self.differentiable = false;
        self
    }

    /// Records the case on inputs of the declared types.
    #[must_use]
    pub fn build<'g>(&self, inputs: &[Tensor<'g>]) -> Tensor<'g> {
        (self.build)(inputs)
    }

    /// Records inputs `in0`, `in1`, .. of the declared types.
    #[must_use]
    pub fn record_inputs<'g>(&self, graph: &'g Graph) -> Vec<Tensor<'g>> {
        let record = |(index, input): (usize, &CaseInput)| {
            let name = format!("in{index}");
            graph.typed_input(&name, input.shape.clone(), input.dtype())
        };
        self.inputs.iter().enumerate().map(record).collect()
    }
}
