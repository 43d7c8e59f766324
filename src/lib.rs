#![doc = include_str!("../README.md")]

// The pipeline, in order: every module imports only those above it.
#[rustfmt::skip]
pub mod base;
#[rustfmt::skip]
pub mod record;
#[rustfmt::skip]
pub mod ops;
#[rustfmt::skip]
pub mod differentiate;
#[rustfmt::skip]
pub mod reference;
#[rustfmt::skip]
pub mod fuse;
#[rustfmt::skip]
pub mod plan;
#[rustfmt::skip]
pub mod dispatch;
#[rustfmt::skip]
pub mod train;
#[rustfmt::skip]
pub mod nn;

pub use base::{Axes, DType, Error, ErrorKind, Fault, Generator, HostData, HostTensor, Result, Shape};
pub use dispatch::{Device, DeviceInfo, PendingRead, State};
pub use record::{Feed, FeedSource, Graph, Init, Param, Params, Tensor};
pub use train::{Inference, Step, Training, optim};
