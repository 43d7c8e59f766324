use crate::base::TensorType;
use std::ops::Range;

/// The axes along which an op computes, and how the axes of its tensors follow them: by it a step whose tensors exceed a
/// binding is computed part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The extent of every axis, and what becomes of parts of it.
    pub axes: Vec<DomainAxis>,
    /// For every axis of every input, the axis of the domain that it follows. An input is needed in full along the others.
    pub inputs: Vec<Vec<Option<Follows>>>,
    /// The same for the outputs, of which every axis follows one or has nothing to do with parts.
    pub outputs: Vec<Vec<Option<Follows>>>,
}

/// An axis of a [`Domain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainAxis {
    /// Its extent.
    pub extent: usize,
    /// What becomes of parts.
    pub parts: Parts,
}

/// What becomes of what an op computes from parts of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The results lie side by side.
    Join,
    /// The results are added up.
    Add,
    /// Of the results, the greatest counts.
    Max,
    /// Of the results, the least counts.
    Min,
    /// There are none: the op needs the axis in full.
    None,
}

/// How an axis of a tensor follows an axis of a domain: `index = start + domain index * times / per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follows {
    /// The axis of the domain.
    pub axis: usize,
    /// Where the domain's first element lies.
    pub start: usize,
    /// Elements of the tensor's axis for every `per` of the domain's.
    pub times: usize,
    /// Elements of the domain's axis for every `times` of the tensor's.
    pub per: usize,
}

impl Follows {
    /// The same index on both.
    #[must_use]
    pub const fn same(axis: usize) -> Self {
        Self { axis, start: 0, times: 1, per: 1 }
    }

    /// The range of the tensor's axis for one of the domain's, where it begins and ends between elements of the tensor.
    #[must_use]
    pub fn range(&self, domain: &Range<usize>) -> Option<Range<usize>> {
        let at = |index: usize| {
            (index * self.times).is_multiple_of(self.per).then(|| self.start + index * self.times / self.per)
        };
        Some(at(domain.start)?..at(domain.end)?)
    }

    /// The index of the domain at which the tensor's index begins, if it does.
    #[must_use]
    pub fn back(&self, index: usize) -> Option<usize> {
        let from = index.checked_sub(self.start)? * self.per;
        from.is_multiple_of(self.times).then(|| from / self.times)
    }
}

impl Domain {
    /// Of an op that computes every row along the last axis by itself, each from one row, or one element, of every input, and
    /// to one of every output: all have the shape of the first input, but for the last axis, which some may lack. `None`
    /// where they have not.
    #[must_use]
    pub fn of_rows(inputs: &[&TensorType], outputs: &[&TensorType]) -> Option<Self> {
        let shape = &inputs.first()?.shape;
        let last = shape.rank().checked_sub(1)?;
        let axis = |axis: usize| DomainAxis {
            extent: shape[axis],
            parts: if axis == last { Parts::None } else { Parts::Join },
        };
        let follows = |tensor: &&TensorType| -> Option<Vec<Option<Follows>>> {
            let own = &tensor.shape;
            let leads = (last..=last + 1).contains(&own.rank()) && own[..last] == shape[..last];
            leads.then(|| (0..own.rank()).map(|axis| (axis < last).then(|| Follows::same(axis))).collect())
        };
        Some(Self {
            axes: (0..=last).map(axis).collect(),
            inputs: inputs.iter().map(follows).collect::<Option<_>>()?,
            outputs: outputs.iter().map(follows).collect::<Option<_>>()?,
        })
    }

    /// Of an op that computes every element along the first `count` axes by itself, which are the same ones in all its
    /// inputs and outputs.
    #[must_use]
    pub fn of_leading(count: usize, inputs: &[&TensorType], outputs: &[&TensorType]) -> Self {
        let follows = |tensor: &&TensorType| -> Vec<Option<Follows>> {
            (0..tensor.shape.rank()).map(|axis| (axis < count).then(|| Follows::same(axis))).collect()
        };
        let axis = |axis: usize| DomainAxis { extent: outputs[0].shape[axis], parts: Parts::Join };
        Self {
            axes: (0..count).map(axis).collect(),
            inputs: inputs.iter().map(follows).collect(),
            outputs: outputs.iter().map(follows).collect(),
        }
    }
}
