use super::checks::{check_decay, check_rate, refuse};
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::fuse::Role::{Change, Read};
use crate::plan::{StepScalars, Update, UpdateRule};
use crate::record::{Text, libraries};
use std::sync::Arc;

/// Stochastic gradient descent:
///
/// d = g + decay w; v = momentum v + d; w = w - rate (nesterov ? d + momentum v : v).
///
/// Source: Sutskever, Martens, Dahl, Hinton 2013, in the form of `PyTorch`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    learning_rate: f64,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
}

impl Sgd {
    /// Plain descent: w = w - rate g.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }

    /// With momentum, at least 0 and below 1; 0.9 is usual.
    #[must_use]
    pub const fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// With Nesterov's look ahead; needs momentum.
    #[must_use]
    pub const fn nesterov(self) -> Self {
        Self { nesterov: true, ..self }
    }

    /// With the gradient of `weight_decay` / 2 times the sum of w^2 added.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }
}

impl Optimizer for Sgd {
    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    fn scalars(&self, _count: u32, _learning_rate: f64) -> [f64; 4] {
        [0.0; 4]
    }
    fn update(&self) -> Result<Update> {
        check_rate("sgd", self.learning_rate)?;
        check_decay("sgd", self.weight_decay)?;
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(refuse("sgd", "momentum", self.momentum, "at least 0 and below 1"));
        }
        if self.nesterov && self.momentum == 0.0 {
            return Err(refuse("sgd", "momentum", self.momentum, "above 0 with Nesterov's look ahead"));
        }
        let host = Arc::new(*self);
        if self.momentum == 0.0 {
            let text = Text::new(include_str!("../../../shaders/sgd_plain.wgsl"), &[&libraries::STEP])
                .float("WEIGHT_DECAY", self.weight_decay);
            let variables = vec![Read.of("gradient"), Change.of("weight")];
            return Ok(Update { name: "sgd", text, variables, states: Vec::new(), trust_ratio: false, host });
        }
        let text = Text::new(include_str!("../../../shaders/sgd.wgsl"), &[&libraries::STEP])
            .float("MOMENTUM", self.momentum)
            .float("WEIGHT_DECAY", self.weight_decay)
            .float("NESTEROV", f64::from(u8::from(self.nesterov)));
        Ok(Update {
            name: "sgd",
            text,
            variables: vec![Read.of("gradient"), Change.of("weight"), Change.of("velocity")],
            states: vec!["sgd.velocity"],
            trust_ratio: false,
            host,
        })
    }
}

impl Decaying for Sgd {
    fn without_decay(self) -> Self {
        self.weight_decay(0.0)
    }
}

impl UpdateRule for Sgd {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let (rate, decay, momentum) = (T::real(step.learning_rate), T::real(self.weight_decay), T::real(self.momentum));
        for (i, w) in weight.iter_mut().enumerate() {
            let d = gradient[i] + decay * *w;
            let change = match states.first_mut() {
                None => d,
                Some(velocity) => {
                    velocity[i] = momentum * velocity[i] + d;
                    if self.nesterov { d + momentum * velocity[i] } else { velocity[i] }
                }
            };
            *w = *w - rate * change;
        }
    }
}
