//! The first NaN or infinity of a step is told with its step, dispatch, tensor, element and source line; and where all is
//! finite, nothing is.

#[path = "../common/mod.rs"]
mod common;

mod finite;
mod located;
mod updates;

use retrograd::{Device, HostData, HostTensor, NonFinite, Step};

fn tensor(shape: &[usize], data: Vec<f32>) -> HostTensor {
    HostTensor::new(shape.to_vec(), HostData::F32(data)).unwrap()
}

/// What was found, which has to be something; and reads tell it.
fn found(step: &Step, device: &Device) -> NonFinite {
    step.first_non_finite().unwrap().unwrap_or_else(|| panic!("{}: nothing was found", device.name()))
}

/// Whether a line of a file was told.
fn is_at(found: &NonFinite, file: &str, line: u32) -> bool {
    found.location.starts_with(&format!("{file}:{line}:"))
}

/// The scores of a row are 3, but for one whose second is -96.
fn rows() -> (Vec<f32>, Vec<f32>) {
    let mut rows = vec![1.0; 20];
    rows[10] = 100.0;
    let mut weights = vec![1.0; 15];
    weights[1] = -1.0;
    (rows, weights)
}
