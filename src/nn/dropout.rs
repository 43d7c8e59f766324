use crate::record::Tensor;

/// Sets a part of the elements to zero in a graph that is recorded for training, and scales the rest; leaves everything as
/// it is in one for evaluation. Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// Drops a fraction `rate`, at least 0 and below 1.
    #[must_use]
    pub const fn new(rate: f64) -> Self {
        Self { rate }
    }
}

impl Dropout {
    /// In training, each element of `x` is zero with probability `rate`, and else divided by 1 - `rate`; in evaluation, `x`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        if x.graph().is_training() { x.dropout(self.rate) } else { x }
    }
}
