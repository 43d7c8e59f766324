//! y = 1 where x > 0, -1 where x < 0, else 0. The derivative is zero wherever it exists: the path of gradients ends here.

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Sign;

impl Function for Sign {
    const NAME: &'static str = "sign";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::COMPARISON];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        if x > T::zero() {
            T::one()
        } else if x < T::zero() {
            -T::one()
        } else {
            x
        }
    }
    fn wgsl(&self) -> String {
        "sign_f32({0})".into()
    }
    fn gradient<'g>(&self, _x: Tensor<'g>, _y: Tensor<'g>, _g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
}

impl Tensor<'_> {
    /// The sign: -1, 0 or 1. No gradient passes.
    #[must_use]
    #[track_caller]
    pub fn sign(self) -> Self {
        self.graph.record(Unary(Sign), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("plain", vec![CaseInput::uniform([3, 65], -1.0, 1.0)], |x| x[0].sign()).value_only()]
}
