//! Whether the columns of data are what the inputs of a graph need.

use crate::base::{Error, ErrorKind, Result};
use crate::data::DataLoader;
use crate::record::{Graph, Tensor};

/// The column in which a loader that pads its last batch says what counts.
pub(super) const WEIGHT: &str = "weight";

/// The inputs of a graph, each of which has a column of its name, type and shape. All that does not fit is told at once.
pub(super) fn matched<'g>(graph: &'g Graph, loader: &DataLoader, what: &str) -> Result<Vec<Tensor<'g>>> {
    let (inputs, columns) = (graph.inputs(), loader.columns());
    let (samples, size) = (loader.dataset().len(), loader.batch_size());
    let refuse = |message: String| Err(Error::new(ErrorKind::Feed, message));
    if loader.batches() == 0 {
        return Err(Error::new(
            ErrorKind::Argument,
            format!(
                "{what} has no batch to go through: there are {samples} samples, and a batch has {size}; take smaller batches, or fill \
                 the last one up with `DataLoader::pad`"
            ),
        ));
    }
    let mut differences = Vec::new();
    for (name, input) in &inputs {
        let wanted = input.tensor_type();
        match columns.iter().find(|column| column.name == *name) {
            None => differences.push(format!("input `{name}` {wanted} has no column of its name")),
            Some(column) if column.stacked(size) != wanted => differences
                .push(format!("input `{name}` is {wanted}, and a batch of its column is {}", column.stacked(size))),
            Some(_) => {}
        }
    }
    let is_short = !samples.is_multiple_of(size.max(1)) && loader.batches() * size > samples;
    let pads = loader.remainder() == "padded";
    if is_short && !pads {
        differences.push(format!(
            "the last batch of an epoch has {} samples, and steps take {size}: leave it out with `DataLoader::drop_last`, or fill it \
             up with `DataLoader::pad`",
            samples % size
        ));
    }
    if is_short && pads && !inputs.iter().any(|(name, _)| name == WEIGHT) {
        differences.push(format!(
            "the last batch of an epoch is filled up by {} rows that must not count, which its column `{WEIGHT}` tells, and there is no \
             input of that name: weigh loss and metrics by one, or leave the batch out with `DataLoader::drop_last`",
            loader.batches() * size - samples
        ));
    }
    if differences.is_empty() {
        return Ok(inputs.into_iter().map(|(_, input)| input).collect());
    }
    let list = |all: Vec<String>| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    let inputs = inputs.iter().map(|(name, input)| format!("`{name}` {}", input.tensor_type())).collect();
    let columns = columns.iter().map(|column| format!("`{}` {}", column.name, column.stacked(size))).collect();
    refuse(format!(
        "the inputs of {what} and the columns of its data do not fit:\n  {}\n  inputs: {}\n  columns, by the batch: {}",
        differences.join("\n  "),
        list(inputs),
        list(columns)
    ))
}
