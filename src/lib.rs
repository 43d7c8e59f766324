#![doc = include_str!("../README.md")]
// What blocks or uses files is left out in browsers, and with it what it alone is made of.
#![cfg_attr(target_arch = "wasm32", allow(dead_code))]

// The pipeline, in order: every module imports only those above it.

/// Shapes, element types, layouts, host data, errors.
pub mod base;

/// The op trait, lowerings, graphs, handles, parameters.
pub mod record;

/// Datasets, readers of files, and batches.
pub mod data;

/// One file per op.
pub mod ops;

/// The reverse walk that records gradients.
pub mod differentiate;

/// Evaluation in float64, and gradient checks.
pub mod reference;

/// Merging of nodes, groups of ops that run as one kernel, and their WGSL.
pub mod fuse;

/// The whole step as plain data.
pub mod plan;

/// Executors: GPU and host.
pub mod dispatch;

/// Compilation of training and inference, optimizers, checkpoints.
pub mod train;

/// Runs of a plan dispatch by dispatch against the reference.
pub mod verify;

/// Layers.
pub mod nn;

/// Metrics, and the loop over epochs and batches.
pub mod fit;

/// Pictures and reports: graphs, plans, curves.
pub mod see;

/// Arrays go in and out in this version of `ndarray`.
pub use ndarray;

pub use base::{Axes, DType, Error, ErrorKind, Fault, Fingerprint, Generator, HostData, HostTensor, Result, Shape};
pub use dispatch::{Ceilings, Device, DeviceInfo, DispatchTime, Failure, PendingRead, Snapshot, State, StepTimes};
pub use plan::NonFinite;
pub use record::{Feed, FeedSource, Graph, Init, Param, Params, Tensor};
pub use train::{Inference, Step, Training, optim, schedule};

/// Checks of what reads the files that are private to this library, for the targets in `fuzz`.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::dispatch::check_kept;
    pub use crate::train::check_cache;
}

#[cfg(doctest)]
pub mod guide;

#[cfg(test)]
#[path = "../tests/common/damage.rs"]
mod damage;
