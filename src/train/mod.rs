//! Training: optimizers, compilation of recordings into steps, checkpoints.

#[cfg(not(target_arch = "wasm32"))]
mod case;
#[cfg(not(target_arch = "wasm32"))]
mod ceilings;
mod checkpoint;
mod compile;
mod craft;
mod dataset;
mod draft;
mod feeding;
mod findings;
mod gradient_test;
mod hash;
mod inference;
mod input;
mod layer_norms;
mod numbers;
mod observe;
mod paths;
mod reading;
mod recover;
mod source;
mod step;
mod trainer;
#[cfg(not(target_arch = "wasm32"))]
mod tune;

pub mod optim;
pub mod schedule;

pub use crate::differentiate::{EndReason, Fate, GradientPath, GradientPaths, ParameterPath, PathEnd, PathOp};
#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint::{Best, Checkpoint, Checkpoints, Found, Resumed, Skipped};
pub use checkpoint::{LoadedWeights, WeightLayout, WeightMapping};
pub use compile::Training;
pub use gradient_test::{DeviceGradient, GradientReport, GradientRow, GradientTest, GradientVerdict, Suspect};
pub use inference::Inference;
pub use layer_norms::{LayerHealth, LayerNorms};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use observe::Seen;
pub use observe::{EarlyStopping, ReduceOnPlateau};
pub(crate) use step::Prepared;
pub use step::Step;
#[cfg(fuzzing)]
pub use tune::check_cache;
#[cfg(not(target_arch = "wasm32"))]
pub use tune::{Choice, Tuned};
