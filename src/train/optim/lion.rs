use super::checks::{check_betas, check_decay, check_rate};
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::fuse::Role::{Change, Read};
use crate::plan::{StepScalars, Update, UpdateRule};
use crate::record::{Text, libraries};
use std::sync::Arc;

/// Lion: every weight moves by the learning rate, in the direction that the sign of a running mean says.
///
/// w = w - rate (sign(beta1 m + (1 - beta1) g) + decay w); m = beta2 m + (1 - beta2) g.
///
/// Rates are usually three to ten times smaller than those of [`AdamW`](super::AdamW), and decays as much larger. Where the
/// gradient is NaN, so is the weight afterwards, and where it is infinite, the weight is not finite either. Source: Chen and others 2023.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    learning_rate: f64,
    betas: [f64; 2],
    weight_decay: f64,
}

impl Lion {
    /// With betas 0.9 and 0.99.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, betas: [0.9, 0.99], weight_decay: 0.0 }
    }

    /// How much of the running mean the direction takes, and its decay rate.
    #[must_use]
    pub const fn betas(self, first: f64, second: f64) -> Self {
        Self { betas: [first, second], ..self }
    }

    /// How much of every weight decays per step, times the learning rate.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }
}

impl Optimizer for Lion {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn scalars(&self, _count: u32, learning_rate: f64) -> [f64; 4] {
        [learning_rate * self.weight_decay, 0.0, 0.0, 0.0]
    }
    fn update(&self) -> Result<Update> {
        check_rate("lion", self.learning_rate)?;
        check_decay("lion", self.weight_decay)?;
        check_betas("lion", self.betas)?;
        let [first, second] = self.betas;
        let text = Text::new(include_str!("../../../shaders/lion.wgsl"), &[&libraries::STEP, &libraries::NUMBERS])
            .float("BETA1", first)
            .float("ONE_MINUS_BETA1", 1.0 - first)
            .float("BETA2", second)
            .float("ONE_MINUS_BETA2", 1.0 - second);
        Ok(Update {
            name: "lion",
            text,
            variables: vec![Read.of("gradient"), Change.of("weight"), Change.of("mean")],
            states: vec!["lion.mean"],
            trust_ratio: false,
            host: Arc::new(*self),
        })
    }
}

impl Decaying for Lion {
    fn without_decay(self) -> Self {
        self.weight_decay(0.0)
    }
}

impl UpdateRule for Lion {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let (rate, decay) = (T::real(step.learning_rate), T::real(step.scalars[0]));
        let [first, second] = self.betas.map(T::real);
        let [rest_first, rest_second] = self.betas.map(|beta| T::real(1.0 - beta));
        let infinity = T::real(f64::INFINITY);
        let [mean] = states else { return };
        for ((w, &g), m) in weight.iter_mut().zip(gradient).zip(mean.iter_mut()) {
            let c = first * *m + rest_first * g;
            // The sign of NaN is NaN, that of infinity infinity, and that of zero zero.
            let direction = if c > T::zero() && c < infinity {
                T::one()
            } else if c < T::zero() && c > -infinity {
                -T::one()
            } else {
                c
            };
            *w = *w - decay * *w - rate * direction;
            *m = second * *m + rest_second * g;
        }
    }
}
