//! y = scale x + shift with constant numbers; dx = scale g. Arithmetic with numbers is recorded as this.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Attributes, Case, CaseInput, Cotangents, Tensor, Text};
use std::ops::{Add, Div, Mul, Neg, Sub};

#[derive(Clone, Copy, Debug)]
struct Affine {
    scale: f64,
    shift: f64,
}

impl Function for Affine {
    const NAME: &'static str = "affine";
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        T::real(self.scale) * x + T::real(self.shift)
    }
    fn wgsl(&self) -> String {
        let (scale, shift) = (Text::literal(self.scale), Text::literal(self.shift));
        match (self.scale, self.shift) {
            (_, 0.0) => format!("({scale} * {{0}})"),
            (1.0, _) => format!("({{0}} + {shift})"),
            _ => format!("({scale} * {{0}} + {shift})"),
        }
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g * self.scale)
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("scale", self.scale).with("shift", self.shift)
    }
}

impl Tensor<'_> {
    /// scale x + shift.
    #[must_use]
    #[track_caller]
    pub fn affine(self, scale: f64, shift: f64) -> Self {
        if !(scale as f32).is_finite() || !(shift as f32).is_finite() {
            let reason = format!(
                "it multiplies by {scale:e} and adds {shift:e}, and both must be finite in single precision, below 3.4e38"
            );
            return self.graph.fault("affine", &[self], reason);
        }
        self.graph.record(Unary(Affine { scale, shift }), &[self])
    }
}

impl<'g> Add<f64> for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn add(self, number: f64) -> Tensor<'g> {
        self.affine(1.0, number)
    }
}

impl<'g> Add<Tensor<'g>> for f64 {
    type Output = Tensor<'g>;
    #[track_caller]
    fn add(self, tensor: Tensor<'g>) -> Tensor<'g> {
        tensor.affine(1.0, self)
    }
}

impl<'g> Sub<f64> for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn sub(self, number: f64) -> Tensor<'g> {
        self.affine(1.0, -number)
    }
}

impl<'g> Sub<Tensor<'g>> for f64 {
    type Output = Tensor<'g>;
    #[track_caller]
    fn sub(self, tensor: Tensor<'g>) -> Tensor<'g> {
        tensor.affine(-1.0, self)
    }
}

impl<'g> Mul<f64> for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn mul(self, number: f64) -> Tensor<'g> {
        self.affine(number, 0.0)
    }
}

impl<'g> Mul<Tensor<'g>> for f64 {
    type Output = Tensor<'g>;
    #[track_caller]
    fn mul(self, tensor: Tensor<'g>) -> Tensor<'g> {
        tensor.affine(self, 0.0)
    }
}

impl<'g> Div<f64> for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn div(self, number: f64) -> Tensor<'g> {
        self.affine(1.0 / number, 0.0)
    }
}

impl<'g> Div<Tensor<'g>> for f64 {
    type Output = Tensor<'g>;
    #[track_caller]
    fn div(self, tensor: Tensor<'g>) -> Tensor<'g> {
        tensor.reciprocal().affine(self, 0.0)
    }
}

impl<'g> Neg for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn neg(self) -> Tensor<'g> {
        self.affine(-1.0, 0.0)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([3, 65], -3.0, 3.0)];
    vec![
        Case::new("scale and shift", input(), |x| x[0].affine(2.5, -1.0)),
        Case::new("operators", input(), |x| (1.0 - x[0] / 3.0) * 2.0 + 0.5 - (-x[0])),
        Case::new("a number divided", vec![CaseInput::uniform([3, 65], 0.5, 3.0)], |x| 2.0 / x[0]),
    ]
}
