//! Losses that are composed of other ops. Each returns one number per element; `mean(..)` or
//! `sum(..)` of it is what training minimises.

use crate::record::{Case, CaseInput, Draw, Tensor};

/// The least probability whose logarithm is taken: smaller ones count as this.
const LEAST: f64 = 1e-37;

/// Notes a mistake where the target's shape is another: stretching `[n, 1]` against `[n]` to `[n, n]`
/// would train on the wrong thing without a word.
#[track_caller]
fn unpaired<'g>(name: &str, x: Tensor<'g>, target: Tensor<'g>) -> Option<Tensor<'g>> {
    let (left, right) = (x.shape(), target.shape());
    if !x.is_valid() || !target.is_valid() || left == right {
        return None;
    }
    let reason =
        format!("the target has shape {right} and the prediction {left}: losses do not stretch, reshape one of them");
    Some(x.graph().fault(name, &[x, target], reason))
}

impl Tensor<'_> {
    /// Squared errors, (x - t)^2, element by element. The target has the prediction's shape;
    /// other shapes are a mistake of the recording.
    #[must_use]
    #[track_caller]
    pub fn squared_error(self, target: Self) -> Self {
        if let Some(invalid) = unpaired("squared_error", self, target) {
            return invalid;
        }
        (self - target).square()
    }

    /// The mean squared error, one number: the mean over all elements of (x - t)^2. The target has the prediction's shape;
    /// other shapes are a mistake of the recording.
    #[must_use]
    #[track_caller]
    pub fn mse_loss(self, target: Self) -> Self {
        self.squared_error(target).mean(..)
    }

    /// Absolute errors, |x - t|, element by element; the gradient where both are equal is 0. The target has the prediction's shape;
    /// other shapes are a mistake of the recording.
    #[must_use]
    #[track_caller]
    pub fn absolute_error(self, target: Self) -> Self {
        if let Some(invalid) = unpaired("absolute_error", self, target) {
            return invalid;
        }
        (self - target).abs()
    }

    /// The mean absolute error, one number: the mean over all elements of |x - t|. The target has the prediction's shape;
    /// other shapes are a mistake of the recording.
    #[must_use]
    #[track_caller]
    pub fn l1_loss(self, target: Self) -> Self {
        self.absolute_error(target).mean(..)
    }

    /// Huber's errors: d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), d = x - t.
    /// Source: Huber 1964.
    #[must_use]
    #[track_caller]
    pub fn huber_error(self, target: Self, delta: f64) -> Self {
        if let Some(invalid) = unpaired("huber_error", self, target) {
            return invalid;
        }
        if !(delta > 0.0 && (delta as f32).is_finite()) {
            return self.graph.fault("huber_error", &[self, target], format!("delta must be positive, and is {delta}"));
        }
        let d = self - target;
        // With c = clamp(d), both branches are c (d - c / 2).
        let c = d.clamp(-delta, delta);
        c * (d - c * 0.5)
    }

    /// The mean of Huber's errors over all elements, one number: see [`huber_error`](Self::huber_error).
    #[must_use]
    #[track_caller]
    pub fn huber_loss(self, target: Self, delta: f64) -> Self {
        self.huber_error(target, delta).mean(..)
    }

    /// Binary cross-entropy of probabilities, -(t ln p + (1 - t) ln(1 - p)). Probabilities below 1e-37
    /// count as that, without a gradient; from scores use the form with logits, which needs no such limit.
    #[must_use]
    #[track_caller]
    pub fn binary_cross_entropy_error(self, target: Self) -> Self {
        if let Some(invalid) = unpaired("binary_cross_entropy_error", self, target) {
            return invalid;
        }
        let yes = self.clamp(LEAST, 2.0).log();
        let no = (1.0 - self).clamp(LEAST, 2.0).log();
        -(target * yes + (1.0 - target) * no)
    }

    /// The mean binary cross-entropy of probabilities, one number: the mean over all elements of
    /// [`binary_cross_entropy_error`](Self::binary_cross_entropy_error). For scores, take
    /// [`binary_cross_entropy_with_logits`](Self::binary_cross_entropy_with_logits), which is accurate where probabilities vanish.
    #[must_use]
    #[track_caller]
    pub fn binary_cross_entropy(self, target: Self) -> Self {
        self.binary_cross_entropy_error(target).mean(..)
    }

    /// Binary cross-entropy of scores: softplus(x) - t x, which is the same for p = sigmoid(x) and
    /// accurate everywhere.
    #[must_use]
    #[track_caller]
    pub fn binary_cross_entropy_with_logits_error(self, target: Self) -> Self {
        if let Some(invalid) = unpaired("binary_cross_entropy_with_logits_error", self, target) {
            return invalid;
        }
        self.softplus() - target * self
    }

    /// The mean binary cross-entropy of scores.
    #[must_use]
    #[track_caller]
    pub fn binary_cross_entropy_with_logits(self, target: Self) -> Self {
        self.binary_cross_entropy_with_logits_error(target).mean(..)
    }

    /// The Kullback-Leibler divergence, element by element: t (ln t - x), where x are logarithms of
    /// probabilities; 0 where t is 0.
    #[must_use]
    #[track_caller]
    pub fn kl_divergence(self, target: Self) -> Self {
        if let Some(invalid) = unpaired("kl_divergence", self, target) {
            return invalid;
        }
        target * (target.clamp(LEAST, 1e30).log() - self)
    }

    /// The mean over rows of -ln p[row, label]: categorical cross-entropy of probabilities `[.., classes]`
    /// against labels `[..]`. From scores use [`cross_entropy`](Self::cross_entropy).
    #[must_use]
    #[track_caller]
    pub fn categorical_cross_entropy(self, labels: Self) -> Self {
        let classes = self.shape().last();
        -((self * labels.one_hot(classes)).sum(-1).log()).mean(..)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let pair = || vec![CaseInput::uniform([6, 5], -2.0, 2.0), CaseInput::uniform([6, 5], 3.0, 4.0)];
    let probabilities = || vec![CaseInput::uniform([6, 5], 0.1, 0.9), CaseInput::uniform([6, 5], 0.0, 1.0)];
    let huber = || {
        let draw = Draw::Avoiding { low: -3.0, high: 3.0, points: &[-1.0, 1.0], margin: 0.01 };
        vec![CaseInput::new([6, 5], draw)]
    };
    let scores = || vec![CaseInput::uniform([6, 5], -4.0, 4.0), CaseInput::uniform([6, 5], 0.0, 1.0)];
    let rows = || vec![CaseInput::uniform([6, 5], -2.0, 2.0), CaseInput::new([6, 5], Draw::Probabilities)];
    let labelled = || vec![CaseInput::new([6, 5], Draw::Probabilities), CaseInput::new([6], Draw::Labels { below: 5 })];
    vec![
        Case::new("mse", pair(), |x| x[0].mse_loss(x[1])),
        Case::new("squared error", pair(), |x| x[0].squared_error(x[1])),
        Case::new("l1", pair(), |x| x[0].l1_loss(x[1])),
        Case::new("huber", huber(), |x| x[0].huber_loss(x[0].graph().full([6, 5], 0.0), 1.0)),
        Case::new("bce", probabilities(), |x| x[0].binary_cross_entropy(x[1])),
        Case::new("bce with logits", scores(), |x| x[0].binary_cross_entropy_with_logits(x[1])),
        Case::new("kl", rows(), |x| x[0].log_softmax(-1).kl_divergence(x[1]).sum(..) / 6.0),
        Case::new("categorical", labelled(), |x| x[0].categorical_cross_entropy(x[1])),
    ]
}
