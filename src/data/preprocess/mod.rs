//! What is fitted on the training split and applied to every split: plain data, saved with the model.

mod labels;
mod scale;

pub use labels::{Labels, Unseen};
pub use scale::Scale;

use crate::base::{Error, ErrorKind, Result};
use serde::{Serialize, de::DeserializeOwned};

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and texts can be written as JSON")
}

fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::new(ErrorKind::File, format!("this is no saved {what}: {error}")).caused_by(error))
}
