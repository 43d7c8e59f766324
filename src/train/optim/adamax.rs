use super::checks::{check_betas, check_decay, check_epsilon, check_rate};
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::fuse::Role::{Change, Read};
use crate::plan::{StepScalars, Update, UpdateRule};
use crate::record::{Text, libraries};
use std::sync::Arc;

/// Adamax, Adam with the infinity norm: steps in the direction of the running mean of gradients, over the greatest
/// absolute gradient, which is forgotten slowly.
///
/// g = g + decay w; m = beta1 m + (1 - beta1) g; u = max(beta2 u, |g| + epsilon); w = w - rate / (1 - beta1^t) m / u.
///
/// Source: Kingma, Ba 2015, in the form of `PyTorch`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamax {
    learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
}

impl Adamax {
    /// With betas 0.9 and 0.999 and epsilon 1e-8.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.0 }
    }

    /// The decay rates of the running mean of the gradient and of its greatest absolute value.
    #[must_use]
    pub const fn betas(self, first: f64, second: f64) -> Self {
        Self { betas: [first, second], ..self }
    }

    /// What is added to the absolute gradient.
    #[must_use]
    pub const fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// With the gradient of `weight_decay` / 2 times the sum of w^2 added.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }
}

impl Optimizer for Adamax {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn scalars(&self, count: u32, learning_rate: f64) -> [f64; 4] {
        [learning_rate / (1.0 - self.betas[0].powf(f64::from(count))), 0.0, 0.0, 0.0]
    }
    fn update(&self) -> Result<Update> {
        check_rate("adamax", self.learning_rate)?;
        check_decay("adamax", self.weight_decay)?;
        check_betas("adamax", self.betas)?;
        check_epsilon("adamax", self.epsilon)?;
        let [first, second] = self.betas;
        let text = Text::new(include_str!("../../../shaders/adamax.wgsl"), &[&libraries::STEP])
            .float("BETA1", first)
            .float("ONE_MINUS_BETA1", 1.0 - first)
            .float("BETA2", second)
            .float("EPSILON", self.epsilon)
            .float("L2_DECAY", self.weight_decay);
        Ok(Update {
            name: "adamax",
            text,
            variables: vec![Read.of("gradient"), Change.of("weight"), Change.of("mean"), Change.of("greatest")],
            states: vec!["adamax.mean", "adamax.greatest"],
            trust_ratio: false,
            host: Arc::new(*self),
        })
    }
}

impl Decaying for Adamax {
    fn without_decay(self) -> Self {
        self.weight_decay(0.0)
    }
}

impl UpdateRule for Adamax {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let [first, second] = self.betas.map(T::real);
        let rest = T::real(1.0 - self.betas[0]);
        let (rate, decay, epsilon) = (T::real(step.scalars[0]), T::real(self.weight_decay), T::real(self.epsilon));
        let [mean, greatest] = states else { return };
        for (((w, &g), m), u) in weight.iter_mut().zip(gradient).zip(mean.iter_mut()).zip(greatest.iter_mut()) {
            let g = g + decay * *w;
            *m = first * *m + rest * g;
            *u = (second * *u).max(g.abs() + epsilon);
            *w = *w - rate * *m / *u;
        }
    }
}
