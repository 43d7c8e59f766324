//! y = a - b; da = g, db = -g.

use super::elementwise::{Binary, Function2, record_pair};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Tensor};
use std::ops::Sub;

#[derive(Clone, Copy, Debug)]
struct Subtraction;

impl Function2 for Subtraction {
    const NAME: &'static str = "sub";
    #[inline(always)]
    fn value<T: Real>(&self, a: T, b: T) -> T {
        a - b
    }
    fn wgsl(&self) -> String {
        "({0} - {1})".into()
    }
    fn gradient<'g>(&self, _a: Tensor<'g>, _b: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::two(g, -g)
    }
}

impl<'g> Sub for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn sub(self, other: Tensor<'g>) -> Tensor<'g> {
        record_pair(Binary(Subtraction), self, other)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let pair = |a: &[usize], b: &[usize]| vec![CaseInput::uniform(a, -2.0, 2.0), CaseInput::uniform(b, -2.0, 2.0)];
    vec![
        Case::new("same shape", pair(&[3, 65], &[3, 65]), |x| x[0] - x[1]),
        Case::new("row", pair(&[4, 5], &[5]), |x| x[0] - x[1]),
        Case::new("outer", pair(&[4, 1], &[1, 5]), |x| x[0] - x[1]),
        Case::new("three axes", pair(&[2, 3, 4], &[3, 1]), |x| x[0] - x[1]),
        Case::new("one tensor twice", vec![CaseInput::uniform([7], -2.0, 2.0)], |x| x[0] * x[0] - x[0]),
    ]
}
