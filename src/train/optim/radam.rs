use super::moments::MomentKernel;
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::plan::{StepScalars, Update, UpdateRule};
use std::sync::Arc;

/// `RAdam`, Adam whose adaptive rate is rectified: as long as too few gradients are known to say how they vary, it steps
/// in the direction of their running mean as it is, and after that as Adam does, times
///
/// r(t) = sqrt((p(t) - 4) (p(t) - 2) p / ((p - 4) (p - 2) p(t))), with p = 2 / (1 - beta2) - 1 and
/// p(t) = p - 2 t beta2^t / (1 - beta2^t), once p(t) is above 5.
///
/// Source: Liu, Jiang, He, Chen, Liu, Gao, Han 2020, in the form of `PyTorch`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RAdam {
    learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    l2_decay: f64,
    decoupled_decay: f64,
}

impl RAdam {
    /// With betas 0.9 and 0.999 and epsilon 1e-8.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, betas: [0.9, 0.999], epsilon: 1e-8, l2_decay: 0.0, decoupled_decay: 0.0 }
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

    /// r(t), or 0 while the variance is not tractable.
    fn rectification(&self, t: f64) -> f64 {
        let beta = self.betas[1];
        let power = beta.powf(t);
        let most = 2.0 / (1.0 - beta) - 1.0;
        let length = most - 2.0 * t * power / (1.0 - power);
        if length <= 5.0 {
            return 0.0;
        }
        ((length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length)).sqrt()
    }
}

impl Optimizer for RAdam {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn scalars(&self, count: u32, learning_rate: f64) -> [f64; 4] {
        let t = f64::from(count);
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powf(t));
        [learning_rate / first, self.rectification(t) * second.sqrt(), learning_rate * self.decoupled_decay, 0.0]
    }
    fn update(&self) -> Result<Update> {
        MomentKernel {
            name: "radam",
            source: include_str!("../../../shaders/radam.wgsl"),
            states: ["radam.mean", "radam.square"],
            learning_rate: self.learning_rate,
            betas: self.betas,
            epsilon: self.epsilon,
            l2_decay: self.l2_decay,
            decoupled_decay: self.decoupled_decay,
        }
        .update(Arc::new(*self))
    }
}

impl Decaying for RAdam {
    fn without_decay(self) -> Self {
        self.weight_decay(0.0).decoupled_weight_decay(0.0)
    }
}

impl UpdateRule for RAdam {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let [rate, rectified, decay, _] = step.scalars.map(T::real);
        let [first, second] = self.betas.map(T::real);
        let [rest_first, rest_second] = self.betas.map(|beta| T::real(1.0 - beta));
        let (epsilon, l2) = (T::real(self.epsilon), T::real(self.l2_decay));
        let [mean, square] = states else { return };
        for (((w, &g), m), v) in weight.iter_mut().zip(gradient).zip(mean.iter_mut()).zip(square.iter_mut()) {
            let g = g + l2 * *w;
            *m = first * *m + rest_first * g;
            *v = second * *v + rest_second * g * g;
            let adapted = if rectified == T::zero() { T::one() } else { rectified / (v.sqrt() + epsilon) };
            let kept = *w - decay * *w;
            *w = kept - rate * *m * adapted;
        }
    }
}
