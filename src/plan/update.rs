use crate::base::Real;
use crate::fuse::Variable;
use crate::record::Text;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::sync::Arc;

/// How parameters change from their gradients: a kernel for devices, and the same rule on the host.
#[derive(Clone, Debug)]
pub struct Update {
    /// The optimizer's name.
    pub name: &'static str,
    /// The shader, with constants `LENGTH` and `GRID_WIDTH` left to fill in. Its bindings are the
    /// gradients (read), the parameters, and the states (written). Its function `change` takes an element of
    /// each, and returns a struct with those that are written, under the names of their variables.
    pub text: Text,
    /// The arguments of `change` in order: the gradient, the weight, and the states, which are those that are changed.
    /// With a trust ratio the weight is only read, and one variable, the direction, is written.
    pub variables: Vec<Variable>,
    /// Names of the states, each as large as the parameters and zero at first.
    pub states: Vec<&'static str>,
    /// Whether the weight moves in the direction that `change` returns by the learning rate times the norm of the weight
    /// over that of the direction, both over the whole parameter. The rule on the host does all of it.
    pub trust_ratio: bool,
    /// The rule on the host.
    pub host: Arc<dyn HostUpdate>,
}

/// Everything that happens to the gradients of a step.
#[derive(Clone, Debug)]
pub struct Updates {
    /// How the parameters of every group change.
    pub groups: Vec<Update>,
    /// The group of every parameter of the store.
    pub group_of: Vec<usize>,
    /// The gradients of so many runs are added up, and their mean is what changes the parameters.
    pub accumulate: u32,
    /// The greatest norm that all gradients together may have.
    pub clip_norm: Option<f64>,
    /// The greatest absolute value that an element of a gradient may have.
    pub clip_value: Option<f64>,
    /// Whether running averages of the parameters are kept.
    pub averages: bool,
    /// Whether the global norm of the gradients is computed.
    pub gradient_norm: bool,
    /// Whether the norms of every gradient and parameter are computed.
    pub layer_norms: bool,
}

impl Updates {
    /// What is added to the norm before the limit is divided by it.
    pub const CLIP_EPSILON: f64 = 1e-6;
    /// The name of the state that holds running averages.
    pub const AVERAGE: &'static str = "average";
    /// The name of the state that holds what was added up of gradients.
    pub const ACCUMULATED: &'static str = "accumulated";

    /// The factor that brings a norm under the limit, negative where the norm is no number and the update is left out.
    #[must_use]
    pub fn clip_factor(norm: f32, limit: f64) -> f32 {
        if !norm.is_finite() {
            return -1.0;
        }
        (limit / (f64::from(norm) + Self::CLIP_EPSILON)).min(1.0) as f32
    }
}

/// What changes from step to step besides the fed data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepScalars {
    /// The key of the step's random streams.
    pub seed: [u32; 2],
    /// The number of the step, from 1.
    pub count: u32,
    /// The learning rate.
    pub learning_rate: f64,
    /// What the optimizer computes for every step, such as bias corrections.
    pub scalars: [f64; 4],
    /// Where in the order of a dataset the step's batch begins.
    pub first_row: u32,
    /// Which order of the dataset that is.
    pub epoch: u32,
    /// How far running averages of the weights move toward them: 1 makes them the weights.
    pub averaging: f64,
    /// How many gradients have been added up since the last update.
    pub gathered: u32,
    /// Whether the step only adds up gradients, without an update.
    pub gathers_only: bool,
}

impl StepScalars {
    /// Bytes of the uniform block.
    pub const BYTES: usize = 48;

    /// The block as shaders read it: `seed: vec2<u32>`, `learning_rate: f32`, `count: u32`, `scalars: vec4<f32>`,
    /// `first_row: u32`, `averaging: f32`, `gathered: u32`, `gathers_only: u32`.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let scalars = self.scalars.map(|scalar| (scalar as f32).to_bits());
        let [a, b] = self.seed;
        let words = [
            a,
            b,
            (self.learning_rate as f32).to_bits(),
            self.count,
            scalars[0],
            scalars[1],
            scalars[2],
            scalars[3],
            self.first_row,
            (self.averaging as f32).to_bits(),
            self.gathered,
            self.gathers_only.into(),
        ];
        bytemuck::cast(words)
    }
}

/// An optimizer's rule on the host, written once for both precisions.
pub trait UpdateRule {
    /// Changes weights and states in place. All slices have the length of the parameter.
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]);
}

/// [`UpdateRule`] in a form that works behind `dyn`; every rule has it.
pub trait HostUpdate: Debug + Send + Sync {
    /// In single precision.
    fn apply_f32(&self, step: &StepScalars, gradient: &[f32], weight: &mut [f32], states: &mut [&mut [f32]]);
    /// In double precision.
    fn apply_f64(&self, step: &StepScalars, gradient: &[f64], weight: &mut [f64], states: &mut [&mut [f64]]);
}

impl<R: UpdateRule + Debug + Send + Sync> HostUpdate for R {
    fn apply_f32(&self, step: &StepScalars, gradient: &[f32], weight: &mut [f32], states: &mut [&mut [f32]]) {
        pulp::Arch::new().dispatch(|| self.apply(step, gradient, weight, states));
    }
    fn apply_f64(&self, step: &StepScalars, gradient: &[f64], weight: &mut [f64], states: &mut [&mut [f64]]) {
        self.apply(step, gradient, weight, states);
    }
}
