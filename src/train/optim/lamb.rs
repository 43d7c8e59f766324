use super::checks::{check_betas, check_decay, check_epsilon, check_rate};
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::fuse::Role::{Change, Read, Write};
use crate::plan::{StepScalars, Update, UpdateRule};
use crate::record::{Text, libraries};
use std::sync::Arc;

/// LAMB, for large batches: Adam's direction with weight decay, of which every parameter goes as far as the norm of its own weights says.
///
/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// d = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + decay w;
/// w = w - rate |w| / |d| d, with the Euclidean norms over the whole parameter, and 1 for their ratio where either is zero.
///
/// On devices the update is four dispatches for all parameters of a group, not one: directions, sums of squares, norms, and
/// the change. Sums of squares are scaled where they would leave the range of single precision. Source: You and others 2020, its algorithm 2 with the identity for its scaling function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lamb {
    learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
}

impl Lamb {
    /// With betas 0.9 and 0.999 and epsilon 1e-6.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, betas: [0.9, 0.999], epsilon: 1e-6, weight_decay: 0.0 }
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

    /// How much of the weight is added to the direction; 0.01 is usual.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }
}

impl Optimizer for Lamb {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn scalars(&self, count: u32, _learning_rate: f64) -> [f64; 4] {
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powf(f64::from(count)));
        [first.recip(), second.sqrt().recip(), 0.0, 0.0]
    }
    fn update(&self) -> Result<Update> {
        check_rate("lamb", self.learning_rate)?;
        check_decay("lamb", self.weight_decay)?;
        check_betas("lamb", self.betas)?;
        check_epsilon("lamb", self.epsilon)?;
        let [first, second] = self.betas;
        let text = Text::new(include_str!("../../../shaders/lamb.wgsl"), &[&libraries::STEP])
            .float("BETA1", first)
            .float("ONE_MINUS_BETA1", 1.0 - first)
            .float("BETA2", second)
            .float("ONE_MINUS_BETA2", 1.0 - second)
            .float("EPSILON", self.epsilon)
            .float("DECAY", self.weight_decay);
        Ok(Update {
            name: "lamb",
            text,
            variables: vec![
                Read.of("gradient"),
                Read.of("weight"),
                Change.of("mean"),
                Change.of("square"),
                Write.of("direction"),
            ],
            states: vec!["lamb.mean", "lamb.square"],
            trust_ratio: true,
            host: Arc::new(*self),
        })
    }
}

impl Decaying for Lamb {
    fn without_decay(self) -> Self {
        self.weight_decay(0.0)
    }
}

impl UpdateRule for Lamb {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let [of_mean, root, _, _] = step.scalars.map(T::real);
        let [first, second] = self.betas.map(T::real);
        let [rest_first, rest_second] = self.betas.map(|beta| T::real(1.0 - beta));
        let (epsilon, decay) = (T::real(self.epsilon), T::real(self.weight_decay));
        let [mean, square] = states else { return };
        let direction = |w: T, m: T, v: T| of_mean * m / (v.sqrt() * root + epsilon) + decay * w;
        let (mut of_weight, mut of_direction) = (0.0f64, 0.0f64);
        for (((&w, &g), m), v) in weight.iter().zip(gradient).zip(mean.iter_mut()).zip(square.iter_mut()) {
            *m = first * *m + rest_first * g;
            *v = second * *v + rest_second * g * g;
            of_weight += w.double().powi(2);
            of_direction += direction(w, *m, *v).double().powi(2);
        }
        let ratio = if of_weight == 0.0 || of_direction == 0.0 { 1.0 } else { (of_weight / of_direction).sqrt() };
        let distance = T::real(step.learning_rate * ratio);
        for ((w, &m), &v) in weight.iter_mut().zip(mean.iter()).zip(square.iter()) {
            *w = *w - distance * direction(*w, m, v);
        }
    }
}
