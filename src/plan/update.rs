use crate::base::Real;
use crate::record::Text;
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
    /// The variables of the bindings, in order.
    pub variables: Vec<&'static str>,
    /// Names of the states, each as large as the parameters and zero at first.
    pub states: Vec<&'static str>,
    /// The rule on the host.
    pub host: Arc<dyn HostUpdate>,
}

/// What changes from step to step besides the fed data.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
}

impl StepScalars {
    /// Bytes of the uniform block.
    pub const BYTES: usize = 48;

    /// The block as shaders read it: `seed: vec2<u32>`, `learning_rate: f32`, `count: u32`, `scalars: vec4<f32>`,
    /// `first_row: u32`, and what fills it up to a multiple of 16 bytes.
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
            0,
            0,
            0,
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
