//! The parts of attention that kernels compute, and their sizes.

use crate::base::Shape;

/// The part that a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// y and t from q, k and v.
    Forward,
    /// dq from q, k, v, g, t and d.
    Query,
    /// dk from the same.
    Key,
    /// dv from q, k, g and t.
    Value,
}

/// Attention over planes, `[planes, length, size]`, and its gradients. The mask, `[planes or 1, queries, keys]`, is the last
/// input where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attention {
    pub part: Part,
    pub causal: bool,
    pub masked: bool,
    pub scale: f64,
}

/// Sizes of the planes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub planes: usize,
    pub queries: usize,
    pub keys: usize,
    pub size: usize,
    pub value_size: usize,
    /// Planes of the mask; 0 where there is none.
    pub mask_planes: usize,
}

impl Attention {
    /// How many inputs there are beside the mask.
    pub const fn inputs(self) -> usize {
        match self.part {
            Part::Forward => 3,
            Part::Query | Part::Key => 6,
            Part::Value => 4,
        }
    }

    pub fn sizes(self, inputs: &[&Shape]) -> Sizes {
        let (q, k) = (inputs[0], inputs[1]);
        let value_size = inputs[2][2];
        let mask_planes = if self.masked { inputs[self.inputs()][0] } else { 0 };
        Sizes { planes: q[0], queries: q[1], keys: k[1], size: q[2], value_size, mask_planes }
    }

    pub const fn with(self, part: Part) -> Self {
        Self { part, ..self }
    }
}
