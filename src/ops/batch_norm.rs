//! Batch normalization of `[batch, channels, ..]`: y = (x - m) / sqrt(v + epsilon) weight + bias, per channel. In training m
//! and v are mean and variance over the batch and all further axes; in evaluation they are given.
//! Composed: both are reductions, and what follows is pointwise. Source: Ioffe, Szegedy 2015.

use super::normalize::check_epsilon;
use crate::record::{Case, CaseInput, Tensor};

/// What [`Tensor::batch_norm`] computes.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormed<'g> {
    /// The normalized tensor, scaled and shifted.
    pub output: Tensor<'g>,
    /// The mean of every channel in this batch, `[channels]`, through which no gradient passes.
    pub mean: Tensor<'g>,
    /// The variance of every channel, `[channels]`, estimated for what the batch is a sample of: the sum of squares over n -
    /// 1. No gradient passes.
    pub variance: Tensor<'g>,
}

/// Why the operands do not fit one another, if they do not.
fn check(x: Tensor<'_>, per_channel: &[Tensor<'_>], epsilon: f64) -> Result<(), String> {
    let shape = x.shape();
    if shape.rank() < 2 {
        return Err(format!("it needs at least two axes, batch and channels, and {shape} has {}", shape.rank()));
    }
    if let Some(other) = per_channel.iter().find(|other| other.shape()[..] != [shape[1]]) {
        return Err(format!("{} must have shape [{}], one number per channel of {shape}", other.shape(), shape[1]));
    }
    check_epsilon(epsilon)
}

impl<'g> Tensor<'g> {
    /// Normalizes every channel of `[batch, channels, ..]` by its mean and variance (of the population) in this batch; then
    /// scales and shifts by `weight` and `bias`, `[channels]`. Every channel needs at least two values.
    #[must_use]
    #[track_caller]
    pub fn batch_norm(self, weight: Self, bias: Self, epsilon: f64) -> BatchNormed<'g> {
        let _here = self.graph.here();
        let operands = [self, weight, bias];
        let refuse = |reason: String| {
            let invalid = self.graph.fault("batch_norm", &operands, reason);
            BatchNormed { output: invalid, mean: invalid, variance: invalid }
        };
        if operands.iter().any(|operand| !operand.is_valid()) {
            return refuse(String::new());
        }
        if let Err(reason) = check(self, &[weight, bias], epsilon) {
            return refuse(reason);
        }
        let shape = self.shape();
        let count = shape.elements() / shape[1];
        if count < 2 {
            return refuse(format!(
                "{shape} has one value per channel, which has no variance: use a larger batch, or for evaluation \
                 `Graph::evaluation` or `batch_norm_with`"
            ));
        }
        let axes: Vec<isize> = (0..shape.rank() as isize).filter(|&axis| axis != 1).collect();
        let mean = self.mean_keep(&axes[..]);
        let centered = self - mean;
        let variance = centered.square().mean_keep(&axes[..]);
        let scale = (variance + epsilon).rsqrt();
        let rank = shape.rank();
        let output = centered * (scale * weight.per_channel(rank)) + bias.per_channel(rank);
        let unbiased = variance.detach().flat() * (count as f64 / (count as f64 - 1.0));
        BatchNormed { output, mean: mean.detach().flat(), variance: unbiased }
    }

    /// Normalizes every channel of `[batch, channels, ..]` by a given mean and variance, and scales and shifts by `weight`
    /// and `bias`, all `[channels]`: batch normalization for evaluation.
    #[must_use]
    #[track_caller]
    pub fn batch_norm_with(self, mean: Self, variance: Self, weight: Self, bias: Self, epsilon: f64) -> Self {
        let _here = self.graph.here();
        let operands = [self, mean, variance, weight, bias];
        if operands.iter().any(|operand| !operand.is_valid()) {
            return self.graph.fault("batch_norm", &operands, "");
        }
        if let Err(reason) = check(self, &operands[1..], epsilon) {
            return self.graph.fault("batch_norm", &operands, reason);
        }
        let rank = self.rank();
        let scale = ((variance + epsilon).rsqrt() * weight).per_channel(rank);
        (self - mean.per_channel(rank)) * scale + bias.per_channel(rank)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |x: &[usize]| {
        vec![
            CaseInput::uniform(x, -2.0, 3.0),
            CaseInput::uniform([x[1]], 0.5, 1.5),
            CaseInput::uniform([x[1]], -1.0, 1.0),
        ]
    };
    let given = |x: &[usize]| {
        let mut inputs = input(x);
        inputs.insert(1, CaseInput::uniform([x[1]], -1.0, 1.0));
        inputs.insert(2, CaseInput::uniform([x[1]], 0.2, 2.0));
        inputs
    };
    vec![
        Case::new("images", input(&[4, 3, 5, 2]), |x| x[0].batch_norm(x[1], x[2], 1e-5).output),
        Case::new("rows", input(&[65, 7]), |x| x[0].batch_norm(x[1], x[2], 1e-3).output),
        // Squared, as the weight's gradient is a sum over thousands of elements, which otherwise cancels to rounding.
        Case::new("long channels", input(&[9, 2, 1025]), |x| x[0].batch_norm(x[1], x[2], 1e-5).output.square()),
        Case::new("statistics", input(&[5, 3, 4]), |x| {
            let normed = x[0].batch_norm(x[1], x[2], 1e-5);
            normed.mean + normed.variance
        })
        .value_only(),
        Case::new("given", given(&[4, 3, 5]), |x| x[0].batch_norm_with(x[1], x[2], x[3], x[4], 1e-5)),
    ]
}
