use super::checks::{check_decay, check_epsilon, check_least, check_rate};
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::fuse::Role::{Change, Read};
use crate::plan::{StepScalars, Update, UpdateRule};
use crate::record::{Text, libraries};
use std::sync::Arc;

/// Adagrad: steps in the direction of the gradient, over the root of the sum of all its squares so far.
///
/// g = g + decay w; s = s + g^2; w = w - rate / (1 + (t - 1) `rate_decay`) g / (sqrt(s) + epsilon).
///
/// Source: Duchi, Hazan, Singer 2011, in the form of `PyTorch`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    learning_rate: f64,
    rate_decay: f64,
    initial: f64,
    epsilon: f64,
    weight_decay: f64,
}

impl Adagrad {
    /// With epsilon 1e-10, sums that begin at zero, and a rate that does not decay.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, rate_decay: 0.0, initial: 0.0, epsilon: 1e-10, weight_decay: 0.0 }
    }

    /// How fast the learning rate falls: at step t it is divided by 1 + (t - 1) `rate_decay`.
    #[must_use]
    pub const fn rate_decay(self, rate_decay: f64) -> Self {
        Self { rate_decay, ..self }
    }

    /// What the sums of squares begin at.
    #[must_use]
    pub const fn initial_sum(self, initial: f64) -> Self {
        Self { initial, ..self }
    }

    /// What is added to the root.
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

impl Optimizer for Adagrad {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn scalars(&self, count: u32, learning_rate: f64) -> [f64; 4] {
        [learning_rate / (1.0 + (f64::from(count) - 1.0) * self.rate_decay), 0.0, 0.0, 0.0]
    }
    fn update(&self) -> Result<Update> {
        check_rate("adagrad", self.learning_rate)?;
        check_decay("adagrad", self.weight_decay)?;
        check_least("adagrad", "rate decay", self.rate_decay)?;
        check_least("adagrad", "initial sum", self.initial)?;
        check_epsilon("adagrad", self.epsilon)?;
        let text = Text::new(include_str!("../../../shaders/adagrad.wgsl"), &[&libraries::STEP])
            .float("EPSILON", self.epsilon)
            .float("L2_DECAY", self.weight_decay)
            .float("INITIAL", self.initial);
        Ok(Update {
            name: "adagrad",
            text,
            variables: vec![Read.of("gradient"), Change.of("weight"), Change.of("square")],
            states: vec!["adagrad.square"],
            trust_ratio: false,
            host: Arc::new(*self),
        })
    }
}

impl Decaying for Adagrad {
    fn without_decay(self) -> Self {
        self.weight_decay(0.0)
    }
}

impl UpdateRule for Adagrad {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let (rate, decay) = (T::real(step.scalars[0]), T::real(self.weight_decay));
        let (epsilon, initial) = (T::real(self.epsilon), T::real(self.initial));
        let [square] = states else { return };
        for ((w, &g), s) in weight.iter_mut().zip(gradient).zip(square.iter_mut()) {
            let g = g + decay * *w;
            *s = *s + g * g;
            *w = *w - rate * g / ((*s + initial).sqrt() + epsilon);
        }
    }
}
