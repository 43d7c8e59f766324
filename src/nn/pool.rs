use crate::ops::PoolSettings;
use crate::record::Tensor;

/// The greatest element of every window, `[batch, channels, height, width]` to the same with fewer rows and columns: see
/// [`Tensor::max_pool2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d(pub PoolSettings);

impl MaxPool2d {
    /// `[.., height, width]` to the same with an element for every window.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        x.max_pool2d(self.0)
    }
}

/// The mean of every window, padding counted as zeros, `[batch, channels, height, width]` to the same with fewer rows and
/// columns: see [`Tensor::avg_pool2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d(pub PoolSettings);

impl AvgPool2d {
    /// `[.., height, width]` to the same with an element for every window.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        x.avg_pool2d(self.0, true)
    }
}

/// Means over parts of images, such that the result has this height and width: see [`Tensor::adaptive_avg_pool2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d(pub [usize; 2]);

impl AdaptiveAvgPool2d {
    /// `[.., height, width]` to the same with an element for every window.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        x.adaptive_avg_pool2d(self.0)
    }
}
