//! Reductions: what they compute of their elements, and where other kernels compute them on the way.

use super::{Grouping, RideAlong};
use crate::base::DType;
use crate::record::{Lowering, NodeId, Reduction, TensorId};

/// Fewer elements than this are added up by a reduction alone.
const FEWEST_TOTALLED: usize = 4096;

impl Grouping<'_> {
    /// Lets a reduction compute what it loads, where nothing else needs that.
    pub(super) fn absorb_prologue(&mut self, number: usize, node: NodeId) {
        let tensor = self.resolved.input(node, 0).tensor;
        let Some(&from) = self.of.get(&tensor.node) else { return };
        let source = self.group(from).clone();
        if source.root.is_some() {
            return;
        }
        let tensors: Vec<TensorId> = source.bodies[0].nodes.iter().map(|&node| TensorId { node, output: 0 }).collect();
        let only_here = |tensor: &TensorId| {
            let outside = |reader: &NodeId| *reader != node && self.of.get(reader) != Some(&from);
            !self.resolved.wanted.contains(tensor)
                && !self.readers.get(tensor).is_some_and(|readers| readers.iter().any(outside))
        };
        // A node that is recorded later is not in any group yet, and counts as outside.
        if !tensors.iter().all(only_here) {
            self.refuse(tensor.node, node, "what the reduction would compute is needed elsewhere as well");
            return;
        }
        let loads_floats = source.bodies[0].nodes.iter().flat_map(|node| self.reads[node].clone()).any(|read| {
            self.of.get(&read.tensor.node) != Some(&from)
                && !self.is_inlined(&read)
                && self.resolved.recording.tensor_type(read.tensor).dtype == DType::F32
        });
        if !loads_floats {
            return;
        }
        self.group_mut(number).prologue.clone_from(&source.bodies[0].nodes);
        for node in &source.bodies[0].nodes {
            self.of.insert(*node, number);
        }
        self.groups[from] = None;
        if self.buffers(number) > self.most_buffers {
            for node in &source.bodies[0].nodes {
                self.of.insert(*node, from);
            }
            self.groups[from] = Some(source);
            self.group_mut(number).prologue.clear();
            self.refuse(tensor.node, node, "the kernel would bind more buffers than the device allows");
        }
    }

    /// Lets matrix products compute sums of their operands along the inner axis: bias gradients.
    pub(super) fn ride_along(&mut self) {
        for sum in 0..self.groups.len() {
            let Some(group) = &self.groups[sum] else { continue };
            let Some(node) = group.root.filter(|_| {
                group.prologue.is_empty() && group.bodies.first().is_some_and(|body| body.nodes.is_empty())
            }) else {
                continue;
            };
            for product in 0..self.groups.len() {
                if let Some(operand) = self.rides(node, product)
                    && !self.waits_for(sum, product)
                    && !self.waits_for(product, sum)
                {
                    self.group_mut(product).sums = Some(RideAlong { node, operand });
                    if self.buffers(product) > self.most_buffers {
                        self.group_mut(product).sums = None;
                        continue;
                    }
                    self.of.insert(node, product);
                    self.groups[sum] = None;
                    break;
                }
            }
        }
    }

    /// Which operand of a group's matrix product a sum adds up along the inner axis, if any.
    pub(super) fn rides(&self, sum: NodeId, product: usize) -> Option<usize> {
        let root = self.groups[product].as_ref().filter(|group| group.sums.is_none())?.root?;
        let Lowering::Reduce(reduce) = &self.resolved.lowerings[&sum] else { return None };
        let matrices = self.resolved.matrices.get(&root)?;
        if reduce.kind != Reduction::Sum || reduce.axes.len() != 1 {
            return None;
        }
        let summed = self.resolved.input(sum, 0);
        let axis = reduce.axes[0];
        if summed.layout.shape.rank() != 2 {
            return None;
        }
        // The inner axis is the last of the first operand and the first of the second.
        (0..2).find(|&operand| {
            let access = &matrices[operand].access;
            let inner = 1 - operand;
            let along = |layout: &crate::base::Layout, axis: usize| (layout.shape[axis], layout.strides[axis]);
            access.tensor == summed.tensor
                && access.layout.shape.rank() == 2
                && access.layout.offset == summed.layout.offset
                && along(&access.layout, inner) == along(&summed.layout, axis)
                && along(&access.layout, 1 - inner) == along(&summed.layout, 1 - axis)
        })
    }

    /// Lets pointwise groups add up all elements of what they compute.
    pub(super) fn total(&mut self) {
        for sum in 0..self.groups.len() {
            let Some(group) = &self.groups[sum] else { continue };
            let Some(node) = group
                .root
                .filter(|_| group.prologue.is_empty() && group.bodies.first().is_some_and(|body| body.elements == 1))
            else {
                continue;
            };
            let Lowering::Reduce(reduce) = &self.resolved.lowerings[&node] else { continue };
            let access = self.resolved.input(node, 0);
            let Some((number, _)) = self.body_of(access.tensor) else { continue };
            if reduce.kind == Reduction::Sum
                && self.resolved.is_whole(access)
                && self.group(number).root.is_none()
                && self.group(number).bodies[0].elements >= FEWEST_TOTALLED
            {
                self.group_mut(number).totals.push(node);
                if self.buffers(number) > self.most_buffers {
                    self.group_mut(number).totals.pop();
                }
            }
        }
    }
}
