//! y = x where x > 0, else slope x; relu is slope 0. dx = g where x > 0, else slope g: at 0 the
//! derivative is the slope, so relu'(0) = 0. Source: Nair, Hinton 2010; Maas, Hannun, Ng 2013.

use super::elementwise::{Binary, Function, Function2, Unary};
use crate::base::Real;
use crate::record::{Attributes, Case, CaseInput, Cotangents, Draw, Library, Tensor, Text, libraries};

#[derive(Clone, Copy, Debug)]
struct LeakyRelu {
    slope: f64,
}

impl Function for LeakyRelu {
    const NAME: &'static str = "leaky_relu";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::COMPARISON];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        if x <= T::zero() { T::real(self.slope) * x } else { x }
    }
    fn wgsl(&self) -> String {
        format!("leaky_relu_f32({{0}}, {})", Text::literal(self.slope))
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(x.graph().record(Binary(Backward { slope: self.slope }), &[x, g]))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("slope", self.slope)
    }
}

#[derive(Clone, Copy, Debug)]
struct Relu;

impl Function for Relu {
    const NAME: &'static str = "relu";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::COMPARISON];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        if x <= T::zero() { T::zero() } else { x }
    }
    fn wgsl(&self) -> String {
        "relu_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        // y is positive exactly where x is, and NaN where x is: with y, nothing has to keep x.
        Cotangents::one(x.graph().record(Binary(Backward { slope: 0.0 }), &[y, g]))
    }
}

/// From x and the gradient g of either function to the gradient of x: chosen, not multiplied, as an
/// infinite g times 0 would be NaN.
#[derive(Clone, Copy, Debug)]
struct Backward {
    slope: f64,
}

impl Function2 for Backward {
    const NAME: &'static str = "leaky_relu_backward";
    #[inline(always)]
    fn value<T: Real>(&self, x: T, g: T) -> T {
        match (x <= T::zero(), self.slope == 0.0) {
            (false, _) => g,
            (true, true) => T::zero(),
            (true, false) => T::real(self.slope) * g,
        }
    }
    fn wgsl(&self) -> String {
        let below = if self.slope == 0.0 { "0.0f".into() } else { format!("{} * {{1}}", Text::literal(self.slope)) };
        format!("select({{1}}, {below}, {{0}} <= 0.0f)")
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _g: Tensor<'g>, _y: Tensor<'g>, c: Tensor<'g>) -> Cotangents<'g> {
        // Flat in x, linear in g.
        Cotangents::Inputs(vec![None, Some(x.graph().record(Binary(Backward { slope: self.slope }), &[x, c]))])
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

    /// x where x > 0, else `negative_slope` x. Source: Maas, Hannun, Ng 2013.
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
