use super::input::InputSlot;
use crate::base::{Error, ErrorKind, HostData, Result, Shape};
use crate::fuse::Simplified;
use crate::plan::Resident;
use crate::record::{Feed, NodeId, TensorId};
use std::collections::BTreeMap;

/// Data of inputs that go to the device once, and of which every step takes a batch.
#[derive(Debug)]
pub(super) struct Dataset {
    inputs: Vec<Data>,
    /// Whether the rows are taken in a new order in every pass.
    pub shuffles: bool,
}

#[derive(Debug)]
struct Data {
    graph: u64,
    tensor: TensorId,
    shape: Option<Shape>,
    rows: HostData,
}

/// How the steps of a compiled step go through a dataset.
#[derive(Clone, Debug)]
pub(super) struct Passes {
    /// The inputs that need not be fed.
    pub inputs: Vec<NodeId>,
    /// Rows of a batch.
    pub batch: u32,
    /// Batches of a pass; what is left over is not taken.
    pub steps: u32,
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Feed, message))
}

impl Dataset {
    pub fn new(feeds: &[Feed<'_>], shuffles: bool) -> Self {
        let data = |feed: &Feed<'_>| Data {
            graph: feed.graph,
            tensor: feed.tensor,
            shape: feed.shape.clone(),
            rows: feed.data.clone().into_owned(),
        };
        Self { inputs: feeds.iter().map(data).collect(), shuffles }
    }

    /// The inputs that the data are for, those that nothing depends on left out.
    fn pairs<'d>(&'d self, graph: u64, simplified: &Simplified) -> Result<Vec<(NodeId, &'d Data)>> {
        let mut pairs: Vec<(NodeId, &Data)> = Vec::new();
        for data in &self.inputs {
            if data.graph != graph {
                return refuse("a tensor of the dataset belongs to another graph than the step".into());
            }
            let Some(tensor) = simplified.get(data.tensor) else { continue };
            let recording = &simplified.recording;
            let Some(name) = recording.inputs.iter().find(|(_, node)| **node == tensor.node).map(|(name, _)| name)
            else {
                let what = recording.describe(tensor);
                return refuse(format!("{what} is computed, not an input: a dataset cannot be for it"));
            };
            if pairs.iter().any(|(node, _)| *node == tensor.node) {
                return refuse(format!("input `{name}` is in the dataset twice"));
            }
            pairs.push((tensor.node, data));
        }
        Ok(pairs)
    }

    /// Checks the extents of the data, and says what stays on the device.
    pub fn resident(&self, graph: u64, simplified: &Simplified) -> Result<(Resident, u32)> {
        let recording = &simplified.recording;
        let pairs = self.pairs(graph, simplified)?;
        let mut known: Option<(usize, usize, &str)> = None;
        for &(node, data) in &pairs {
            let (name, wanted) = recording
                .inputs
                .iter()
                .find(|(_, input)| **input == node)
                .map(|(name, input)| (name.as_str(), &recording.nodes[input.index()].outputs[0]))
                .expect("pairs are inputs");
            let refuse = |reason: String| refuse(format!("the dataset's data for input `{name}` {wanted}: {reason}"));
            if wanted.shape.rank() == 0 {
                return refuse("an input without axes has no batches".into());
            }
            if data.rows.dtype() != wanted.dtype {
                return refuse(format!(
                    "they are {} and the input is {}: convert them",
                    data.rows.dtype(),
                    wanted.dtype
                ));
            }
            let (batch, row) = (wanted.shape[0], wanted.shape.elements() / wanted.shape[0].max(1));
            let rows = match &data.shape {
                Some(shape) if shape.rank() != wanted.shape.rank() || shape[1..] != wanted.shape[1..] => {
                    return refuse(format!("they have the shape {shape}; all axes but the first must be the same"));
                }
                Some(shape) => shape[0],
                None if row == 0 || !data.rows.len().is_multiple_of(row) => {
                    return refuse(format!("{} elements are no whole number of rows of {row}", data.rows.len()));
                }
                None => data.rows.len() / row,
            };
            if rows < batch {
                return refuse(format!(
                    "they have {rows} rows, less than one batch of {batch}: use more rows, or a smaller batch"
                ));
            }
            match known {
                Some((first, _, other)) if first != rows => {
                    return refuse(format!(
                        "they have {rows} rows, and those for `{other}` have {first}: every row needs its counterpart"
                    ));
                }
                Some((_, first, other)) if first != batch => {
                    return refuse(format!("its batch is {batch}, and that of `{other}` is {first}"));
                }
                _ => known = Some((rows, batch, name)),
            }
        }
        let Some((rows, batch, _)) = known else {
            return refuse("the dataset is for no input that the step depends on".into());
        };
        if batch == 0 {
            return refuse("a batch of the dataset has no rows".into());
        }
        let inputs = pairs.into_iter().map(|(node, _)| node).collect();
        Ok((Resident { inputs, rows }, batch as u32))
    }

    /// The data, every element checked as if it were fed.
    pub fn checked(
        &self,
        graph: u64,
        simplified: &Simplified,
        slots: &[InputSlot],
        finite: bool,
    ) -> Result<BTreeMap<NodeId, &HostData>> {
        let pairs = self.pairs(graph, simplified)?;
        for &(node, data) in &pairs {
            if let Some(slot) = slots.iter().find(|slot| slot.node == node) {
                slot.check_elements(&data.rows, finite)?;
            }
        }
        Ok(pairs.into_iter().map(|(node, data)| (node, &data.rows)).collect())
    }
}
