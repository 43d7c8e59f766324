use crate::base::{Error, ErrorKind, HostData, Result, TensorType};
use crate::record::NodeId;

/// An input of a step.
#[derive(Clone, Debug)]
pub(super) struct InputSlot {
    pub name: String,
    pub node: NodeId,
    pub tensor_type: TensorType,
    /// For labels: how many classes there are.
    pub limit: Option<usize>,
}

impl InputSlot {
    /// Checks labels against the number of classes, and, where that is wanted, that all numbers are finite.
    pub fn check_elements(&self, data: &HostData, finite: bool) -> Result<()> {
        let refuse = |reason: String| {
            Err(Error::new(ErrorKind::Feed, format!("input `{}` {}: {reason}", self.name, self.tensor_type)))
        };
        if let (Some(limit), HostData::I32(labels)) = (self.limit, data)
            && let Some(place) =
                labels.iter().position(|&label| usize::try_from(label).map_or(true, |label| label >= limit))
        {
            return refuse(format!("element {place} is {}, and it selects among 0 to {}", labels[place], limit - 1));
        }
        if let (true, HostData::F32(values)) = (finite, data)
            && let Some(place) = values.iter().position(|value| !value.is_finite())
        {
            return refuse(format!(
                "element {place} is {}, and `check_feeds` lets only finite numbers pass: look at where the data come from",
                values[place]
            ));
        }
        Ok(())
    }
}
