use super::checks::check_least;
use super::moments::MomentKernel;
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::plan::{StepScalars, Update, UpdateRule};
use std::sync::Arc;

/// `NAdam`, Adam with the momentum of Nesterov.
///
/// Where Adam steps in the direction of m / (1 - beta1^t), `NAdam` does in that of
///
/// (1 - mu(t)) / (1 - P(t)) g + mu(t + 1) / (1 - P(t + 1)) m, with mu(t) = beta1 (1 - 0.96^(t `momentum_decay`) / 2) and
/// P(t) = mu(1) mu(2) .. mu(t).
///
/// Source: Dozat 2016, in the form of `PyTorch`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NAdam {
    learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    momentum_decay: f64,
    l2_decay: f64,
    decoupled_decay: f64,
}

impl NAdam {
    /// With betas 0.9 and 0.999, epsilon 1e-8 and a momentum decay of 0.004.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            momentum_decay: 0.004,
            l2_decay: 0.0,
            decoupled_decay: 0.0,
        }
    }

    /// The decay rates of the running means of the gradient and of its square.
    #[must_use]
    pub const fn betas(self, first: f64, second: f64) -> Self {
        Self { betas: [first, second], ..self }
    }

    /// What is added to the root of the mean square.
    #[must_use]
    pub const fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// How fast the momentum rises to beta1.
    #[must_use]
    pub const fn momentum_decay(self, momentum_decay: f64) -> Self {
        Self { momentum_decay, ..self }
    }

    /// With the gradient of `weight_decay` / 2 times the sum of w^2 added.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { l2_decay: weight_decay, ..self }
    }

    /// How much of every weight decays per step by itself, times the learning rate, as with [`AdamW`](super::AdamW).
    #[must_use]
    pub const fn decoupled_weight_decay(self, weight_decay: f64) -> Self {
        Self { decoupled_decay: weight_decay, ..self }
    }

    /// The momentum of step t.
    fn momentum(&self, t: f64) -> f64 {
        self.betas[0] * (1.0 - 0.5 * 0.96f64.powf(t * self.momentum_decay))
    }
}

impl Optimizer for NAdam {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn scalars(&self, count: u32, learning_rate: f64) -> [f64; 4] {
        let t = f64::from(count);
        // In single precision, as PyTorch keeps it between steps: trajectories agree to the last digits.
        let mut product = 1.0f32;
        for step in 1..=count {
            product *= self.momentum(f64::from(step)) as f32;
            // Below this, 1 - P(t) is 1: what comes after changes nothing.
            if product < 1e-20 {
                break;
            }
        }
        let (product, next) = (f64::from(product), self.momentum(t + 1.0));
        [
            learning_rate * (1.0 - self.momentum(t)) / (1.0 - product),
            learning_rate * next / (1.0 - product * next),
            (1.0 - self.betas[1].powf(t)).sqrt().recip(),
            learning_rate * self.decoupled_decay,
        ]
    }
    fn update(&self) -> Result<Update> {
        check_least("nadam", "momentum decay", self.momentum_decay)?;
        MomentKernel {
            name: "nadam",
            source: include_str!("../../../shaders/nadam.wgsl"),
            states: ["nadam.mean", "nadam.square"],
            learning_rate: self.learning_rate,
            betas: self.betas,
            epsilon: self.epsilon,
            l2_decay: self.l2_decay,
            decoupled_decay: self.decoupled_decay,
        }
        .update(Arc::new(*self))
    }
}

impl Decaying for NAdam {
    fn without_decay(self) -> Self {
        self.weight_decay(0.0).decoupled_weight_decay(0.0)
    }
}

impl UpdateRule for NAdam {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let [of_gradient, of_mean, root, decay] = step.scalars.map(T::real);
        let [first, second] = self.betas.map(T::real);
        let [rest_first, rest_second] = self.betas.map(|beta| T::real(1.0 - beta));
        let (epsilon, l2) = (T::real(self.epsilon), T::real(self.l2_decay));
        let [mean, square] = states else { return };
        for (((w, &g), m), v) in weight.iter_mut().zip(gradient).zip(mean.iter_mut()).zip(square.iter_mut()) {
            let g = g + l2 * *w;
            *m = first * *m + rest_first * g;
            *v = second * *v + rest_second * g * g;
            let kept = *w - decay * *w;
            *w = kept - (of_gradient * g + of_mean * *m) / (v.sqrt() * root + epsilon);
        }
    }
}
