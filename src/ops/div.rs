//! y = a / b; da = g / b, db = -g y / b.

use super::elementwise::{Binary, Function2, record_pair};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Tensor};
use std::ops::Div;

#[derive(Clone, Copy, Debug)]
struct Division;

impl Function2 for Division {
    const NAME: &'static str = "div";
    #[inline(always)]
    fn value<T: Real>(&self, a: T, b: T) -> T {
        a / b
    }
    fn wgsl(&self) -> String {
        "({0} / {1})".into()
    }
    fn gradient<'g>(&self, _a: Tensor<'g>, b: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        let over = g / b;
        Cotangents::two(over, -(over * y))
    }
}

impl<'g> Div for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn div(self, other: Tensor<'g>) -> Tensor<'g> {
        record_pair(Binary(Division), self, other)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let pair = |a: &[usize], b: &[usize]| vec![CaseInput::uniform(a, -2.0, 2.0), CaseInput::uniform(b, 0.5, 2.0)];
    vec![
        Case::new("same shape", pair(&[3, 65], &[3, 65]), |x| x[0] / x[1]),
        Case::new("row", pair(&[4, 5], &[5]), |x| x[0] / x[1]),
        Case::new("outer", pair(&[4, 1], &[1, 5]), |x| x[0] / x[1]),
        Case::new("three axes", pair(&[2, 3, 4], &[3, 1]), |x| x[0] / x[1]),
        Case::new("one tensor twice", vec![CaseInput::uniform([7], 0.5, 2.0)], |x| {
            let (a, b) = (x[0], x[0]);
            (a + 1.0) / b
        }),
    ]
}
