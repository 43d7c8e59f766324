//! What Adam and its kin have in common: running means of the gradient and of its square.

use super::checks::{check_betas, check_decay, check_epsilon, check_rate};
use crate::base::Result;
use crate::fuse::Role::{Change, Read};
use crate::plan::{HostUpdate, Update};
use crate::record::{Text, libraries};
use std::sync::Arc;

/// The settings and the kernel of an optimizer with these two states.
#[derive(Clone, Copy, Debug)]
pub(super) struct MomentKernel {
    pub name: &'static str,
    /// The shader: `change(gradient, weight, mean, square)`, with constants for the betas, epsilon and the L2 decay.
    pub source: &'static str,
    /// The names of mean and square.
    pub states: [&'static str; 2],
    pub learning_rate: f64,
    pub betas: [f64; 2],
    pub epsilon: f64,
    pub l2_decay: f64,
    pub decoupled_decay: f64,
}

impl MomentKernel {
    /// The update, with the same rule on the host.
    pub fn update(self, host: Arc<dyn HostUpdate>) -> Result<Update> {
        check_rate(self.name, self.learning_rate)?;
        check_decay(self.name, self.l2_decay)?;
        check_decay(self.name, self.decoupled_decay)?;
        check_betas(self.name, self.betas)?;
        check_epsilon(self.name, self.epsilon)?;
        let [first, second] = self.betas;
        let text = Text::new(self.source, &[&libraries::STEP])
            .float("BETA1", first)
            .float("ONE_MINUS_BETA1", 1.0 - first)
            .float("BETA2", second)
            .float("ONE_MINUS_BETA2", 1.0 - second)
            .float("EPSILON", self.epsilon)
            .float("L2_DECAY", self.l2_decay);
        Ok(Update {
            name: self.name,
            text,
            variables: vec![Read.of("gradient"), Change.of("weight"), Change.of("mean"), Change.of("square")],
            states: self.states.to_vec(),
            trust_ratio: false,
            host,
        })
    }
}
