//! y = max(a, b), NaN if either is. The gradient goes to the greater; where both are equal, to a.

use super::elementwise::{Binary, Function2, record_pair};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Draw, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Maximum;

impl Function2 for Maximum {
    const NAME: &'static str = "maximum";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::COMPARISON];
    #[inline(always)]
    fn value<T: Real>(&self, a: T, b: T) -> T {
        if a >= b || a.is_nan() { a } else { b }
    }
    fn wgsl(&self) -> String {
        "maximum_f32({0}, {1})".into()
    }
    fn gradient<'g>(&self, a: Tensor<'g>, b: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        let (first, zero) = (a.ge(b), g.graph().scalar(0.0));
        Cotangents::two(first.where_cond(g, zero), first.where_cond(zero, g))
    }
}

impl Tensor<'_> {
    /// The greater of both, element by element. Where they are equal the gradient goes to `self`.
    #[must_use]
    #[track_caller]
    pub fn maximum(self, other: Self) -> Self {
        record_pair(Binary(Maximum), self, other)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let pair = |a: &[usize], b: &[usize]| {
        // Even and odd places of one grid: no value of one comes near a value of the other.
        vec![
            CaseInput::new(a, Draw::Distinct { low: -2.0, high: 2.0 }),
            CaseInput::new(b, Draw::Distinct { low: -1.99, high: 2.01 }),
        ]
    };
    vec![
        Case::new("same shape", pair(&[3, 13], &[3, 13]), |x| x[0].maximum(x[1])),
        Case::new("outer", pair(&[4, 1], &[1, 5]), |x| x[0].maximum(x[1])),
    ]
}
