//! y = a^b; da = g b a^(b-1), db = g y ln(a).

use super::elementwise::{Binary, Function2, record_pair};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Pow;

impl Function2 for Pow {
    const NAME: &'static str = "pow";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::POWER];
    #[inline(always)]
    fn value<T: Real>(&self, a: T, b: T) -> T {
        a.powf(b)
    }
    fn wgsl(&self) -> String {
        "power_real({0}, {1})".into()
    }
    fn gradient<'g>(&self, a: Tensor<'g>, b: Tensor<'g>, y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        // Where a power is constant, or the base is zero, the products below would be 0 times infinity.
        let zero = g.graph().scalar(0.0);
        let da = b.eq(zero).where_cond(zero, g * b * a.pow(b - 1.0));
        let flat = (a.eq(zero).to_f32() * b.ge(zero).to_f32()).ne(zero);
        Cotangents::two(da, flat.where_cond(zero, g * y * a.log()))
    }
}

impl Tensor<'_> {
    /// self^other, stretched to a common shape. The gradient of the exponent needs a positive base.
    #[must_use]
    #[track_caller]
    pub fn pow(self, other: Self) -> Self {
        record_pair(Binary(Pow), self, other)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let pair = |a: &[usize], b: &[usize]| vec![CaseInput::uniform(a, 0.3, 3.0), CaseInput::uniform(b, -1.5, 2.0)];
    vec![
        Case::new("same shape", pair(&[3, 65], &[3, 65]), |x| x[0].pow(x[1])),
        Case::new("row", pair(&[4, 5], &[5]), |x| x[0].pow(x[1])),
        Case::new("outer", pair(&[4, 1], &[1, 5]), |x| x[0].pow(x[1])),
        Case::new("three axes", pair(&[2, 3, 4], &[3, 1]), |x| x[0].pow(x[1])),
        Case::new("one tensor twice", vec![CaseInput::uniform([7], 0.3, 2.0)], |x| {
            let (a, b) = (x[0], x[0]);
            a.pow(b)
        }),
    ]
}
