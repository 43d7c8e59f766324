//! y = x where x > 0, else slope x; relu is slope 0. dx = g where x > 0, else slope g: at 0 the
//! derivative is the slope, so relu'(0) = 0. Source: Nair, Hinton 2010; Maas, Hannun, Ng 2013.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Attributes, Case, CaseInput, Cotangents, Draw, Library, Tensor, Text, libraries};

#[derive(Debug)]
struct LeakyRelu {
    slope: f64,
}

impl Function for LeakyRelu {
    const NAME: &'static str = "leaky_relu";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    fn value<T: Real>(&self, x: T) -> T {
        if x <= T::zero() { T::real(self.slope) * x } else { x }
    }
    fn wgsl(&self) -> String {
        format!("leaky_relu_f32({{0}}, {})", Text::literal(self.slope))
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(LeakyStep { slope: self.slope }), &[x]))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("slope", self.slope)
    }
}

#[derive(Debug)]
struct Relu;

impl Function for Relu {
    const NAME: &'static str = "relu";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    fn value<T: Real>(&self, x: T) -> T {
        if x <= T::zero() { T::zero() } else { x }
    }
    fn wgsl(&self) -> String {
        "relu_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * x.graph().record(Unary(LeakyStep { slope: 0.0 }), &[x]))
    }
}

/// The derivative of both; flat, so paths of gradients end here.
#[derive(Debug)]
struct LeakyStep {
    slope: f64,
}

impl Function for LeakyStep {
    const NAME: &'static str = "leaky_step";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::ACTIVATION];
    fn value<T: Real>(&self, x: T) -> T {
        if x <= T::zero() { T::real(self.slope) } else { T::one() }
    }
    fn wgsl(&self) -> String {
        format!("leaky_step_f32({{0}}, {})", Text::literal(self.slope))
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, _g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("slope", self.slope)
    }
}

impl Tensor<'_> {
    /// max(x, 0). The gradient at 0 is 0; NaN stays NaN.
    #[must_use]
    #[track_caller]
    pub fn relu(self) -> Self {
        self.graph.record(Unary(Relu), &[self])
    }

    /// x where x > 0, else `negative_slope` x.
    #[must_use]
    #[track_caller]
    pub fn leaky_relu(self, negative_slope: f64) -> Self {
        self.graph.record(Unary(LeakyRelu { slope: negative_slope }), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: [usize; 2]| {
        vec![CaseInput::new(shape, Draw::Avoiding { low: -2.0, high: 2.0, points: &[0.0], margin: 0.01 })]
    };
    vec![
        Case::new("relu", input([3, 65]), |x| x[0].relu()),
        Case::new("relu of one element", vec![CaseInput::uniform([1, 1], 0.1, 2.0)], |x| x[0].relu()),
        Case::new("leaky relu", input([7, 11]), |x| x[0].leaky_relu(0.2)),
    ]
}
