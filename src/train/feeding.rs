//! What is fed to a step, checked and paired with its inputs.

use super::Step;
use super::input::InputSlot;
use crate::base::{DType, Error, ErrorKind, HostData, Result};
use crate::record::{Feed, NodeId};

impl Step {
    /// Checks everything fed and pairs it with its input.
    pub(super) fn match_feeds<'f>(&self, feeds: &'f [Feed<'_>]) -> Result<Vec<(NodeId, &'f HostData)>> {
        let mut fed: Vec<Option<&HostData>> = vec![None; self.inputs.len()];
        for feed in feeds {
            if feed.graph != self.source.draft.graph() {
                return Err(Error::new(
                    ErrorKind::Feed,
                    "a fed tensor belongs to another graph than this step: feed the inputs of the graph that it was compiled from",
                ));
            }
            let Some(tensor) = self.simplified.get(feed.tensor) else {
                // An input that nothing depends on: fed for nothing, which does no harm.
                continue;
            };
            let Some(place) = self.inputs.iter().position(|input| input.node == tensor.node) else {
                let what = self.simplified.recording.describe(tensor);
                return Err(Error::new(ErrorKind::Feed, format!("{what} is computed, not an input: it cannot be fed")));
            };
            if self.is_resident(self.inputs[place].node) {
                let name = &self.inputs[place].name;
                return Err(Error::new(
                    ErrorKind::Feed,
                    format!("input `{name}` takes its batches from the dataset: it cannot be fed"),
                ));
            }
            self.check_feed(&self.inputs[place], feed)?;
            if fed[place].replace(feed.data.as_ref()).is_some() {
                return Err(Error::new(
                    ErrorKind::Feed,
                    format!("input `{}` is fed twice: feed each input once", self.inputs[place].name),
                ));
            }
        }
        let missing: Vec<&str> = self
            .inputs
            .iter()
            .zip(&fed)
            .filter(|(input, fed)| fed.is_none() && !self.is_resident(input.node))
            .map(|(input, _)| input.name.as_str())
            .collect();
        if !missing.is_empty() {
            return Err(Error::new(
                ErrorKind::Feed,
                format!("not all inputs were fed: {} missing", missing.join(", ")),
            ));
        }
        let nodes = self.inputs.iter().map(|input| input.node);
        Ok(nodes.zip(fed).filter_map(|(node, fed)| Some((node, fed?))).collect())
    }

    /// Whether an input takes its batches from data on the device.
    fn is_resident(&self, node: NodeId) -> bool {
        self.passes.as_ref().is_some_and(|passes| passes.inputs.contains(&node))
    }

    fn check_feed(&self, input: &InputSlot, feed: &Feed<'_>) -> Result<()> {
        let (name, wanted) = (&input.name, &input.tensor_type);
        let refuse = |reason: String| Err(Error::new(ErrorKind::Feed, format!("input `{name}` {wanted}: {reason}")));
        let data = feed.data.as_ref();
        if data.dtype() != wanted.dtype {
            let advice = if wanted.dtype == DType::I32 { ": labels and indices are `i32`" } else { ": data are `f32`" };
            return refuse(format!("it was fed {} elements{advice}", data.dtype()));
        }
        if let Some(shape) = feed.shape.as_ref().filter(|shape| **shape != wanted.shape) {
            return refuse(format!("it was fed an array of shape {shape}"));
        }
        if data.len() != wanted.shape.elements() {
            let hint = if data.len() < wanted.shape.elements() {
                "; fill up a short batch and give its rows weight 0"
            } else {
                ""
            };
            return refuse(format!("it takes {} elements and was fed {}{hint}", wanted.shape.elements(), data.len()));
        }
        input.check_elements(data, self.source.checks_feeds)
    }
}
