//! y = min(max(x, low), high); dx = g where low <= x <= high, else 0.

use super::elementwise::{Binary, Function, Function2, Unary};
use crate::base::Real;
use crate::record::{Attributes, Case, CaseInput, Cotangents, Draw, Library, Tensor, Text, libraries};

#[derive(Clone, Copy, Debug)]
struct Clamp {
    low: f64,
    high: f64,
}

impl Function for Clamp {
    const NAME: &'static str = "clamp";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::COMPARISON];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        // Not `max` and `min`, which drop NaN.
        if x < T::real(self.low) {
            T::real(self.low)
        } else if x > T::real(self.high) {
            T::real(self.high)
        } else {
            x
        }
    }
    fn wgsl(&self) -> String {
        format!("clamp_f32({{0}}, {}, {})", Text::literal(self.low), Text::literal(self.high))
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(x.graph().record(Binary(Backward { low: self.low, high: self.high }), &[x, g]))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("low", self.low).with("high", self.high)
    }
}

/// From x and the gradient g of clamp to the gradient of x: chosen, not multiplied, as an infinite g
/// times 0 would be NaN.
#[derive(Clone, Copy, Debug)]
struct Backward {
    low: f64,
    high: f64,
}

impl Function2 for Backward {
    const NAME: &'static str = "clamp_backward";
    #[inline(always)]
    fn value<T: Real>(&self, x: T, g: T) -> T {
        if x >= T::real(self.low) && x <= T::real(self.high) { g } else { T::zero() }
    }
    fn wgsl(&self) -> String {
        format!("select(0.0f, {{1}}, {{0}} >= {} && {{0}} <= {})", Text::literal(self.low), Text::literal(self.high))
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _g: Tensor<'g>, _y: Tensor<'g>, c: Tensor<'g>) -> Cotangents<'g> {
        // Flat in x, linear in g.
        let again = Backward { low: self.low, high: self.high };
        Cotangents::Inputs(vec![None, Some(x.graph().record(Binary(again), &[x, c]))])
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("low", self.low).with("high", self.high)
    }
}

impl Tensor<'_> {
    /// x limited to `low ..= high`. No gradient passes where x lies outside; at the bounds it does.
    #[must_use]
    #[track_caller]
    pub fn clamp(self, low: f64, high: f64) -> Self {
        if !(low <= high && (low as f32).is_finite() && (high as f32).is_finite()) {
            return self.graph.fault(
                "clamp",
                &[self],
                format!("the bounds must be finite and in order, and are {low} and {high}"),
            );
        }
        self.graph.record(Unary(Clamp { low, high }), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let draw = Draw::Avoiding { low: -2.0, high: 2.0, points: &[-0.5, 0.7], margin: 0.01 };
    vec![Case::new("both sides", vec![CaseInput::new([9, 13], draw)], |x| x[0].clamp(-0.5, 0.7))]
}
