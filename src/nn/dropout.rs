use crate::record::Tensor;

/// Sets a part of the elements to zero while training, and scales the rest; leaves everything as it
/// is otherwise.
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

    /// Whether elements are dropped is decided here, when the graph is recorded.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>, training: bool) -> Tensor<'g> {
        if training { x.dropout(self.rate) } else { x }
    }
}
