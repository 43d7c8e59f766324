//! Norms of gradients and weights by parameter, and what they say.

use crate::base::HostTensor;

/// Gradients whose norm is so much smaller than that of the weights hardly change them at usual learning rates.
const VANISHING: f64 = 1e-7;
/// Gradients whose norm is so much larger than that of the weights throw them about.
const EXPLODING: f64 = 1e3;

/// The norms of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorms {
    /// The parameter's name.
    pub name: String,
    /// The Euclidean norm of its gradient.
    pub gradient: f32,
    /// The Euclidean norm of its weights.
    pub weight: f32,
}

/// What the norms of a parameter say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerHealth {
    /// Nothing is wrong.
    Fine,
    /// The gradient is zero, or less than 1e-7 of the weights.
    Vanishing,
    /// The gradient is more than 1000 times the weights, or 1000 where these are smaller than 1.
    Exploding,
    /// The gradient or the weights are NaN or infinite.
    NotFinite,
}

impl LayerNorms {
    /// What the norms say. It is a rule of thumb: what a gradient does depends on the optimizer and the learning rate.
    #[must_use]
    pub fn health(&self) -> LayerHealth {
        let (gradient, weight) = (f64::from(self.gradient), f64::from(self.weight));
        if !gradient.is_finite() || !weight.is_finite() {
            LayerHealth::NotFinite
        } else if gradient > EXPLODING * weight.max(1.0) {
            LayerHealth::Exploding
        } else if gradient == 0.0 || gradient < VANISHING * weight {
            LayerHealth::Vanishing
        } else {
            LayerHealth::Fine
        }
    }

    /// From what was read; warns of what is not fine, by name.
    pub(super) fn all(names: &[String], norms: &HostTensor) -> Vec<Self> {
        let values = norms.to_vec();
        let norm = |(name, pair): (&String, &[f32])| Self { name: name.clone(), gradient: pair[0], weight: pair[1] };
        let all: Vec<Self> = names.iter().zip(values.chunks_exact(2)).map(norm).collect();
        for layer in &all {
            let what = match layer.health() {
                LayerHealth::Fine => continue,
                LayerHealth::Vanishing => "vanishes",
                LayerHealth::Exploding => "explodes",
                LayerHealth::NotFinite => "or its weights are no longer numbers",
            };
            let Self { name, gradient, weight } = layer;
            log::warn!("the gradient of `{name}` {what}: its norm is {gradient:e}, that of the weights {weight:e}");
        }
        all
    }
}
