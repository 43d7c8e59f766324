use super::checks::{check_decay, check_epsilon, check_rate, check_share};
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::fuse::Role::{Absent, Change, Read};
use crate::plan::{StepScalars, Update, UpdateRule};
use crate::record::{Text, libraries};
use std::sync::Arc;

/// `RMSprop`: steps in the direction of the gradient, over the root of the running mean of its square.
///
/// g = g + decay w; s = alpha s + (1 - alpha) g^2; d = g / (sqrt(s) + epsilon); v = momentum v + d; w = w - rate v.
///
/// [Centered](Self::centered), the running mean of the gradient a = alpha a + (1 - alpha) g is taken into account as well:
/// d = g / (sqrt(s - a^2) + epsilon). Source: Tieleman, Hinton 2012; centered: Graves 2013, in the form of `PyTorch`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    learning_rate: f64,
    alpha: f64,
    epsilon: f64,
    momentum: f64,
    centered: bool,
    weight_decay: f64,
}

impl RmsProp {
    /// With alpha 0.99 and epsilon 1e-8, without momentum, not centered.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, alpha: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }

    /// The decay rate of the running means, at least 0 and below 1.
    #[must_use]
    pub const fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// What is added to the root.
    #[must_use]
    pub const fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// With momentum, at least 0 and below 1.
    #[must_use]
    pub const fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Divides by an estimate of the gradient's deviation, instead of its root mean square.
    #[must_use]
    pub const fn centered(self) -> Self {
        Self { centered: true, ..self }
    }

    /// With the gradient of `weight_decay` / 2 times the sum of w^2 added.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }
}

impl Optimizer for RmsProp {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn scalars(&self, _count: u32, _learning_rate: f64) -> [f64; 4] {
        [0.0; 4]
    }
    fn update(&self) -> Result<Update> {
        check_rate("rmsprop", self.learning_rate)?;
        check_decay("rmsprop", self.weight_decay)?;
        check_share("rmsprop", "alpha", self.alpha)?;
        check_share("rmsprop", "momentum", self.momentum)?;
        check_epsilon("rmsprop", self.epsilon)?;
        let text = Text::new(include_str!("../../../shaders/rmsprop.wgsl"), &[&libraries::STEP])
            .float("ALPHA", self.alpha)
            .float("ONE_MINUS_ALPHA", 1.0 - self.alpha)
            .float("EPSILON", self.epsilon)
            .float("L2_DECAY", self.weight_decay)
            .float("MOMENTUM", self.momentum)
            .float("CENTERED", f64::from(u8::from(self.centered)));
        let mut variables = vec![Read.of("gradient"), Change.of("weight"), Change.of("square")];
        let mut states = vec!["rmsprop.square"];
        for (wanted, name, state) in
            [(self.centered, "mean", "rmsprop.mean"), (self.momentum > 0.0, "velocity", "rmsprop.velocity")]
        {
            variables.push(if wanted { Change.of(name) } else { Absent.of(name) });
            states.extend(wanted.then_some(state));
        }
        Ok(Update { name: "rmsprop", text, variables, states, trust_ratio: false, host: Arc::new(*self) })
    }
}

impl Decaying for RmsProp {
    fn without_decay(self) -> Self {
        self.weight_decay(0.0)
    }
}

impl UpdateRule for RmsProp {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let (rate, decay, momentum) = (T::real(step.learning_rate), T::real(self.weight_decay), T::real(self.momentum));
        let (alpha, rest, epsilon) = (T::real(self.alpha), T::real(1.0 - self.alpha), T::real(self.epsilon));
        let Some((square, others)) = states.split_first_mut() else { return };
        for (i, w) in weight.iter_mut().enumerate() {
            let g = gradient[i] + decay * *w;
            square[i] = alpha * square[i] + rest * g * g;
            let mut spread = square[i];
            if self.centered {
                let mean = &mut others[0][i];
                *mean = alpha * *mean + rest * g;
                // Rounding can leave less than zero.
                let left = spread - *mean * *mean;
                spread = if left < T::zero() { T::zero() } else { left };
            }
            let mut change = g / (spread.sqrt() + epsilon);
            if self.momentum > 0.0 {
                let velocity = &mut others[usize::from(self.centered)][i];
                *velocity = momentum * *velocity + change;
                change = *velocity;
            }
            *w = *w - rate * change;
        }
    }
}
