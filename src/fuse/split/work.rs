//! A node that is computed in parts.

use super::Region;
use super::domain::{Copied, domain, lowering};
use super::views::PartView;
use crate::base::TensorType;
use crate::record::{Domain, Lowering, Node, Op, Parts};
use std::ops::Range;
use std::sync::Arc;

pub(super) struct Work<'a> {
    pub node: &'a Node,
    pub op: &'a Arc<dyn Op>,
    pub lowering: Lowering,
    pub domain: Domain,
    /// What a kernel copies of its inputs before it begins.
    pub copies: Vec<Copied>,
}

impl<'a> Work<'a> {
    /// A node, if something is known of its parts. Axes along which a part turns out to be something else than that part of
    /// the whole are not cut.
    pub fn new(
        node: &'a Node,
        op: &'a Arc<dyn Op>,
        lowering: Lowering,
        types: &[TensorType],
        copies: Vec<Copied>,
    ) -> Option<Self> {
        let domain = domain(op.as_ref(), &lowering, types, node)?;
        let mut work = Self { node, op, lowering, domain, copies };
        // Zeros around a tensor are made by other ops.
        if super::domain::surrounded(&work.lowering).is_some() || super::domain::joined(&work.lowering).is_some() {
            return Some(work);
        }
        for axis in 0..work.domain.axes.len() {
            if work.domain.axes[axis].parts != Parts::None && !work.has_parts(axis, types) {
                work.domain.axes[axis].parts = Parts::None;
            }
        }
        Some(work)
    }

    /// Whether a part along an axis is what it should be.
    fn has_parts(&self, axis: usize, types: &[TensorType]) -> bool {
        let granule = super::cuts::granule(&self.domain, axis);
        let mut region: Region = self.domain.axes.iter().map(|axis| 0..axis.extent).collect();
        let extent = self.domain.axes[axis].extent;
        // The second of the parts, so that where it begins counts as well.
        let middle = extent / granule / 2 * granule;
        if middle == 0 {
            return false;
        }
        region[axis] = middle..extent;
        let piece = |(input, of): (&TensorType, &Vec<_>)| extents(input, of, &region);
        let pieces = types.iter().zip(&self.domain.inputs).map(piece).collect::<Option<Vec<TensorType>>>();
        pieces.is_some_and(|pieces| self.part(&region, &pieces).is_ok())
    }

    /// The op that computes a region from inputs of these types.
    ///
    /// # Errors
    /// Why it is not that part of the whole.
    pub fn part(&self, region: &Region, inputs: &[TensorType]) -> Result<Arc<dyn Op>, String> {
        let Self { node, op, lowering: whole, domain, .. } = self;
        let own = op.part(domain, region);
        let says_so = own.is_some() || op.domain(&inputs.iter().collect::<Vec<_>>()).is_some();
        let part: Arc<dyn Op> = match whole {
            Lowering::View(view) => {
                let follows: Vec<bool> = (0..region.len())
                    .map(|axis| domain.inputs[0].iter().flatten().any(|follows| follows.axis == axis))
                    .collect();
                Arc::new(PartView::new(op.name(), view, &follows, region))
            }
            _ => own.unwrap_or_else(|| (*op).clone()),
        };
        let outputs = part.outputs(&inputs.iter().collect::<Vec<_>>())?;
        let wanted = node.outputs.iter().zip(&domain.outputs).map(|(of, follows)| extents(of, follows, region));
        if wanted.collect::<Option<Vec<TensorType>>>() != Some(outputs.clone()) {
            return Err("a part of it has another shape than that part of its output".into());
        }
        // What looks at shapes computes something else of a part.
        let alike = says_so
            || match (whole, lowering(part.as_ref(), inputs, &outputs)) {
                (Lowering::Pointwise(whole), Lowering::Pointwise(part)) => {
                    whole.expression == part.expression && whole.arguments == part.arguments
                }
                (Lowering::Reduce(whole), Lowering::Reduce(part)) => whole.kind == part.kind && whole.axes == part.axes,
                (Lowering::View(_), Lowering::View(_)) | (Lowering::Contract(_), Lowering::Contract(_)) => true,
                _ => false,
            };
        if alike { Ok(part) } else { Err("a part of it computes something else than that part of its output".into()) }
    }

    /// The sizes of what a part of it has: its outputs and its copies, in elements, each with the axes that it has.
    pub fn sizes(&self) -> Vec<(usize, Vec<usize>)> {
        let outputs = self.node.outputs.iter().zip(&self.domain.outputs).map(|(output, follows)| {
            (output.shape.elements(), follows.iter().flatten().map(|follows| follows.axis).collect())
        });
        outputs.chain(self.copies.iter().map(|copy| (copy.elements, copy.axes.clone()))).collect()
    }
}

/// What a region of a domain has of a tensor, if it begins and ends between its elements.
fn extents(of: &TensorType, follows: &[Option<crate::record::Follows>], region: &[Range<usize>]) -> Option<TensorType> {
    let extent = |axis: usize| match follows[axis] {
        Some(follows) => follows.range(&region[follows.axis]).map(|range| range.len()),
        None => Some(of.shape[axis]),
    };
    let shape = (0..of.shape.rank()).map(extent).collect::<Option<Vec<usize>>>()?;
    Some(TensorType { shape: shape.into(), dtype: of.dtype })
}
