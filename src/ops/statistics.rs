//! Means, variances, norms and the logarithm of summed exponentials: composed of sums.

use super::sum::reduction;
use crate::base::{Axes, Shape};
use crate::record::{Case, CaseInput, Tensor};

fn signed(axes: &[usize]) -> Vec<isize> {
    axes.iter().map(|&axis| axis as isize).collect()
}

fn count(shape: &Shape, axes: &[usize]) -> f64 {
    axes.iter().map(|&axis| shape[axis] as f64).product()
}

impl Tensor<'_> {
    /// The mean over axes, which disappear: sum / n.
    #[must_use]
    #[track_caller]
    pub fn mean(self, axes: impl Into<Axes>) -> Self {
        match reduction("mean", self, axes) {
            Ok((axes, without)) => self.mean_keep(&signed(&axes)[..]).reshape(without),
            Err(invalid) => invalid,
        }
    }

    /// The mean over axes, which stay with extent 1.
    #[must_use]
    #[track_caller]
    pub fn mean_keep(self, axes: impl Into<Axes>) -> Self {
        match reduction("mean", self, axes) {
            Ok((axes, _)) => self.sum_keep(&signed(&axes)[..]) / count(&self.shape(), &axes),
            Err(invalid) => invalid,
        }
    }

    /// The variance over axes, which disappear: the sum of (x - mean)^2 over n - `correction`. A
    /// correction of 0 gives the population's, 1 the sample's.
    #[must_use]
    #[track_caller]
    pub fn var(self, axes: impl Into<Axes>, correction: usize) -> Self {
        let (axes, without) = match reduction("var", self, axes) {
            Ok(resolved) => resolved,
            Err(invalid) => return invalid,
        };
        let divisor = count(&self.shape(), &axes) - correction as f64;
        if divisor <= 0.0 {
            return self.graph.fault(
                "var",
                &[self],
                format!("the divisor n - {correction} is {divisor}, which must be positive"),
            );
        }
        let axes = signed(&axes);
        let deviation = self - self.mean_keep(&axes[..]);
        (deviation.square().sum_keep(&axes[..]) / divisor).reshape(without)
    }

    /// ln(sum over axes of exp(x)), computed without overflow by subtracting the maximum first; the axes disappear.
    #[must_use]
    #[track_caller]
    pub fn logsumexp(self, axes: impl Into<Axes>) -> Self {
        let (axes, without) = match reduction("logsumexp", self, axes) {
            Ok(resolved) => resolved,
            Err(invalid) => return invalid,
        };
        let axes = signed(&axes);
        // The maximum cancels exactly: its gradient need not be followed.
        let greatest = self.amax_keep(&axes[..]).detach();
        // An infinite one is not subtracted from itself: exp and log then give what they should.
        let zero = self.graph.scalar(0.0);
        let greatest = greatest.abs().le(zero + f64::from(f32::MAX)).where_cond(greatest, zero);
        (((self - greatest).exp().sum_keep(&axes[..])).log() + greatest).reshape(without)
    }

    /// The Euclidean norm of all elements: sqrt(sum of x^2). Its gradient at zero is not finite.
    #[must_use]
    #[track_caller]
    pub fn norm2(self) -> Self {
        self.square().sum(..).sqrt()
    }

    /// The L1 penalty, lambda times the sum of |x|. Its gradient at 0 is 0.
    #[must_use]
    #[track_caller]
    pub fn l1_penalty(self, lambda: f64) -> Self {
        self.abs().sum(..) * lambda
    }

    /// The L2 penalty, lambda times the sum of x^2.
    #[must_use]
    #[track_caller]
    pub fn l2_penalty(self, lambda: f64) -> Self {
        self.square().sum(..) * lambda
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([4, 5, 6], -1.0, 2.0)];
    let away = || vec![CaseInput::uniform([4, 5], 0.1, 2.0)];
    vec![
        Case::new("mean of all", input(), |x| x[0].square().mean(..)),
        Case::new("mean kept", input(), |x| x[0].square().mean_keep([0, 2])),
        Case::new("var", input(), |x| x[0].var(1, 0)),
        Case::new("sample var of all", input(), |x| x[0].var(.., 1)),
        Case::new("logsumexp", input(), |x| x[0].logsumexp(-1)),
        Case::new("logsumexp far from zero", vec![CaseInput::uniform([3, 7], 99.0, 101.0)], |x| x[0].logsumexp(0)),
        Case::new("norm2", input(), |x| x[0].norm2()),
        Case::new("l1 penalty", away(), |x| x[0].l1_penalty(0.3)),
        Case::new("l2 penalty", away(), |x| x[0].l2_penalty(0.3)),
    ]
}
