//! y = arctan(x), in radians; dx = g / (1 + x^2).

use super::elementwise::{Function, Unary};
use crate::base::Real;
use crate::record::{Case, CaseInput, Cotangents, Library, Tensor, libraries};

#[derive(Clone, Copy, Debug)]
struct Atan;

impl Function for Atan {
    const NAME: &'static str = "atan";
    const LIBRARIES: &'static [&'static Library] = &[&libraries::TRIGONOMETRY];
    #[inline(always)]
    fn value<T: Real>(&self, x: T) -> T {
        x.atan()
    }
    fn wgsl(&self) -> String {
        "atan_f32({0})".into()
    }
    fn gradient<'g>(&self, x: Tensor<'g>, _y: Tensor<'g>, g: Tensor<'g>) -> Cotangents<'g> {
        Cotangents::one(g / (x.square() + 1.0))
    }
}

impl Tensor<'_> {
    /// The angle, between -pi/2 and pi/2 radians, whose tangent is x.
    #[must_use]
    #[track_caller]
    pub fn atan(self) -> Self {
        self.graph.record(Unary(Atan), &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("plain", vec![CaseInput::uniform([3, 65], -4.0, 4.0)], |x| x[0].atan()),
        Case::new("near zero", vec![CaseInput::uniform([65], -1e-3, 1e-3)], |x| x[0].atan()),
        Case::new("large", vec![CaseInput::uniform([65], 50.0, 1e4)], |x| x[0].atan()),
        Case::new("one element", vec![CaseInput::uniform([1], 0.2, 1.2)], |x| x[0].atan()),
    ]
}
