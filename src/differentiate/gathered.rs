//! The gradient of one tensor as it comes together: what was used several times gets the sum of what comes back.

use crate::base::Shape;
use crate::record::{Graph, Tensor};

/// What has come back to a tensor so far.
#[derive(Debug, Default)]
pub(super) struct Gathered<'g> {
    sum: Option<Tensor<'g>>,
    parts: Vec<Part<'g>>,
}

/// What an op gives back to one of its inputs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gradient<'g> {
    /// The gradient of all of it.
    Whole(Tensor<'g>),
    /// That of a part, the rest being zero.
    Part(Part<'g>),
}

/// A gradient that is zero but for a part along an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'g> {
    pub axis: usize,
    pub start: usize,
    pub gradient: Tensor<'g>,
}

impl Part<'_> {
    fn end(&self) -> usize {
        self.start + self.gradient.shape()[self.axis]
    }
}

impl<'g> Gathered<'g> {
    /// Adds what has come back.
    pub fn add(&mut self, gradient: Gradient<'g>) {
        match gradient {
            Gradient::Whole(gradient) => self.sum = Some(self.sum.map_or(gradient, |sum| sum + gradient)),
            Gradient::Part(part) => self.parts.push(part),
        }
    }

    /// Everything together. Parts that lie side by side are joined: to surround each with zeros and add them up would take
    /// as many passes over the whole tensor as there are parts, as for every step of a recurrent network.
    pub fn total(&mut self, graph: &'g Graph, shape: &Shape) -> Option<Tensor<'g>> {
        let mut parts = std::mem::take(&mut self.parts);
        parts.sort_by_key(|part| (part.axis, part.start));
        while let Some(&first) = parts.first() {
            // Parts that overlap have to be added: they wait for the next run.
            let (mut run, mut rest, mut end) = (Vec::new(), Vec::new(), first.start);
            for part in parts {
                if part.axis == first.axis && part.start == end {
                    end = part.end();
                    run.push(part.gradient);
                } else {
                    rest.push(part);
                }
            }
            let joined = graph.concat(&run, first.axis as isize);
            self.add(Gradient::Whole(joined.surrounded(first.axis, first.start, shape[first.axis] - end)));
            parts = rest;
        }
        self.sum
    }
}
