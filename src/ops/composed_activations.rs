//! Activation functions that are composed of other ops.

use crate::record::{Case, CaseInput, Draw, Tensor};

impl Tensor<'_> {
    /// x clamp(x / 6 + 1/2, 0, 1). Source: Howard et al. 2019.
    #[must_use]
    #[track_caller]
    pub fn hardswish(self) -> Self {
        self * (self / 6.0 + 0.5).clamp(0.0, 1.0)
    }

    /// x / (1 + |x|).
    #[must_use]
    #[track_caller]
    pub fn softsign(self) -> Self {
        self / (self.abs() + 1.0)
    }

    /// ln(sigmoid(x)) = -softplus(-x), accurate where sigmoid vanishes.
    #[must_use]
    #[track_caller]
    pub fn logsigmoid(self) -> Self {
        -((-self).softplus())
    }
}

pub(super) fn cases() -> Vec<Case> {
    let kinks = Draw::Avoiding { low: -4.0, high: 4.0, points: &[-3.0, 3.0], margin: 0.01 };
    vec![
        Case::new("hardswish", vec![CaseInput::new([3, 65], kinks)], |x| x[0].hardswish()),
        Case::new("softsign", vec![CaseInput::uniform([3, 65], -3.0, 3.0)], |x| x[0].softsign()),
        Case::new("logsigmoid", vec![CaseInput::uniform([3, 65], -6.0, 6.0)], |x| x[0].logsigmoid()),
    ]
}
