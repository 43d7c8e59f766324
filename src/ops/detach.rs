//! The same tensor, through which no gradient passes.

use super::view::{ViewGradient, ViewOp};
use crate::base::View;
use crate::record::{Case, CaseInput, Cotangents, Tensor, Vjp};

#[derive(Debug)]
struct Back;

impl ViewGradient for Back {
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
}

impl Tensor<'_> {
    /// The same tensor, through which no gradient passes.
    #[must_use]
    #[track_caller]
    pub fn detach(self) -> Self {
        self.graph.record(ViewOp { name: "detach", view: View::Reshape(self.shape()), gradient: Back }, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("value", vec![CaseInput::uniform([3, 5], -1.0, 1.0)], |x| x[0].detach().sin()).value_only()]
}
