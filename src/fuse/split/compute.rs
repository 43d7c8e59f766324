//! Ops recorded for a region of what they compute, and the pieces of tensors that they read there.

use super::cuts::{self, Cut};
use super::domain;
use super::{Region, Splitting, Work};
use crate::base::{Result, TensorType};
use crate::fuse::defect;
use crate::record::{Follows, Lowering, Parts, Tensor, TensorId};
use std::ops::Range;

impl Splitting<'_> {
    /// What an op computes of a region of its domain: a part of every output.
    pub(super) fn compute(&mut self, work: &Work<'_>, region: &Region) -> Result<Vec<TensorId>> {
        if let Some(before) = domain::surrounded(&work.lowering) {
            return self.surrounded(work, before, region);
        }
        let mut pieces = Vec::new();
        for (&input, follows) in work.node.inputs.iter().zip(&work.domain.inputs) {
            let shape = &self.old.tensor_type(input).shape;
            let along = |axis: usize| match follows[axis] {
                Some(follows) => follows.range(&region[follows.axis]),
                None => Some(0..shape[axis]),
            };
            let Some(wanted) = (0..shape.rank()).map(along).collect::<Option<Region>>() else {
                return Err(defect(work.node, "its parts do not begin where those of its inputs do"));
            };
            let any_layout = !matches!(work.lowering, Lowering::Kernel(_));
            match self.piece(input, &wanted, any_layout) {
                Some(piece) => pieces.push(piece),
                // What it needs of this input is too much at once.
                None => return self.along_a_cut(work, region, input, follows),
            }
        }
        self.part(work, region, &pieces)
    }

    /// A region of a tensor that is surrounded by zeros.
    fn surrounded(&mut self, work: &Work<'_>, before: &[usize], region: &Region) -> Result<Vec<TensorId>> {
        let input = work.node.inputs[0];
        let shape = &self.old.tensor_type(input).shape;
        let (mut inside, mut around) = (Region::new(), Vec::new());
        for (axis, range) in region.iter().enumerate() {
            let (first, end) = (before[axis], before[axis] + shape[axis]);
            let (from, to) = (range.start.clamp(first, end), range.end.clamp(first, end));
            inside.push(from - first..to - first);
            around.push((from.max(range.start) - range.start, range.end - to.min(range.end)));
        }
        if inside.iter().any(Range::is_empty) {
            let extents: Vec<usize> = region.iter().map(Range::len).collect();
            return Ok(vec![self.graph.full(extents, 0.0).id()]);
        }
        let Some(piece) = self.piece(input, &inside, false) else {
            return Err(self.needed(work.node, input, "needs all of it at once"));
        };
        Ok(vec![self.graph.at(piece).pad(&around).id()])
    }

    /// The same, part by part along the axis by which an input is cut; where that cannot be, along another that it has.
    fn along_a_cut(
        &mut self,
        work: &Work<'_>,
        region: &Region,
        input: TensorId,
        follows: &[Option<Follows>],
    ) -> Result<Vec<TensorId>> {
        if let Some((axis, ranges)) = self.ranges_of_cut(work, region, input, follows) {
            return self.combined(work, region, axis, ranges);
        }
        let shape = &self.old.tensor_type(input).shape;
        let has = |follows: Follows| follows.range(&region[follows.axis]).map_or(1, |range| range.len());
        let elements: usize = (0..shape.rank()).map(|axis| follows[axis].map_or(shape[axis], has)).product();
        for axis in follows.iter().flatten().map(|follows| follows.axis) {
            if work.domain.axes[axis].parts == Parts::None {
                continue;
            }
            let most = (self.limit as u128 * region[axis].len() as u128 / elements as u128) as usize;
            if let Some(ranges) = cuts::within(&work.domain, axis, &region[axis], most) {
                return self.combined(work, region, axis, ranges);
            }
        }
        Err(self.needed(work.node, input, "needs all of it at once"))
    }

    /// The axis along which an input is cut, and where it is cut within a region, if it is and an op can follow.
    fn ranges_of_cut(
        &self,
        work: &Work<'_>,
        region: &Region,
        input: TensorId,
        follows: &[Option<Follows>],
    ) -> Option<(usize, Vec<Range<usize>>)> {
        let cut = self.cuts.get(&input)?;
        let along = follows[cut.axis]?;
        if work.domain.axes[along.axis].parts == Parts::None {
            return None;
        }
        let own = &region[along.axis];
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for range in cut.ranges.iter().filter(|range| range.end > along.start) {
            let (start, end) = (along.back(range.start.max(along.start))?, along.back(range.end)?);
            let range = start.max(own.start)..end.min(own.end);
            if !range.is_empty() {
                ranges.push(range);
            }
        }
        (ranges.len() >= 2).then_some((along.axis, ranges))
    }

    /// What an op computes of a region, put together from these ranges of an axis of it.
    pub(super) fn combined(
        &mut self,
        work: &Work<'_>,
        region: &Region,
        along: usize,
        ranges: Vec<Range<usize>>,
    ) -> Result<Vec<TensorId>> {
        let parts = work.domain.axes[along].parts;
        let mut results: Vec<Vec<TensorId>> = vec![Vec::new(); work.node.outputs.len()];
        for range in ranges {
            let mut region = region.clone();
            region[along] = range;
            for (parts, part) in results.iter_mut().zip(self.compute(work, &region)?) {
                parts.push(part);
            }
        }
        let mut combined = Vec::new();
        for (output, results) in results.into_iter().enumerate() {
            let two = |first: Tensor<'_>, second: Tensor<'_>| match parts {
                Parts::Max => first.maximum(second).id(),
                Parts::Min => first.minimum(second).id(),
                _ => (first + second).id(),
            };
            let axis = work.domain.outputs[output].iter().position(|of| of.is_some_and(|of| of.axis == along));
            combined.push(match (parts, axis) {
                (Parts::Join, Some(axis)) => self.joined(&results, axis),
                (Parts::Join, None) | (Parts::None, _) => {
                    return Err(defect(work.node, "a part of its domain is no part of its output"));
                }
                (Parts::Add | Parts::Max | Parts::Min, _) => {
                    let graph = &self.graph;
                    results.iter().copied().reduce(|a, b| two(graph.at(a), graph.at(b))).unwrap_or(TensorId::INVALID)
                }
            });
        }
        Ok(combined)
    }

    /// Records what an op computes of a region from pieces of its inputs.
    fn part(&self, work: &Work<'_>, region: &Region, pieces: &[TensorId]) -> Result<Vec<TensorId>> {
        let inputs: Vec<Tensor<'_>> = pieces.iter().map(|&piece| self.graph.at(piece)).collect();
        let types: Vec<TensorType> = inputs.iter().map(|input| input.tensor_type()).collect();
        let op = work.part(region, &types).map_err(|reason| defect(work.node, &reason))?;
        let outputs = self.graph.record_shared(op, &inputs, work.node.outputs.len());
        Ok(outputs.iter().map(|output| output.id()).collect())
    }

    /// A region of a tensor, if it can be bound. What is whole is it whatever its size for those that follow any layout: it
    /// is a view of what can be bound.
    pub(super) fn piece(&mut self, tensor: TensorId, region: &Region, any_layout: bool) -> Option<TensorId> {
        let elements: usize = region.iter().map(Range::len).product();
        let shape = self.old.tensor_type(tensor).shape.clone();
        let is_all = region.iter().zip(shape.iter()).all(|(range, &extent)| *range == (0..extent));
        if let Some(&whole) = self.whole.get(&tensor)
            && is_all
            && (any_layout || elements <= self.limit)
        {
            return Some(whole);
        }
        if elements > self.limit {
            return None;
        }
        let key = (tensor, region.iter().map(|range| (range.start, range.end)).collect());
        if let Some(&piece) = self.pieces.get(&key) {
            return Some(piece);
        }
        let piece = if let Some(&whole) = self.whole.get(&tensor) {
            self.sliced(whole, region, &shape.iter().map(|&extent| 0..extent).collect())
        } else {
            let Cut { axis, ranges } = self.cuts[&tensor].clone();
            let wanted = &region[axis];
            let mut found = Vec::new();
            for (range, &part) in ranges.iter().zip(&self.parts[&tensor]) {
                let inside = range.start.max(wanted.start)..range.end.min(wanted.end);
                if inside.is_empty() {
                    continue;
                }
                let mut own: Region = shape.iter().map(|&extent| 0..extent).collect();
                own[axis] = range.clone();
                let mut region = region.clone();
                region[axis] = inside;
                found.push(self.sliced(part, &region, &own));
            }
            self.joined(&found, axis)
        };
        self.pieces.insert(key, piece);
        Some(piece)
    }

    /// A region of a tensor that has these ranges itself.
    fn sliced(&self, tensor: TensorId, region: &Region, own: &Region) -> TensorId {
        let mut slice = self.graph.at(tensor);
        for (axis, (range, own)) in region.iter().zip(own).enumerate() {
            if range != own {
                slice = slice.slice(axis as isize, range.start - own.start..range.end - own.start);
            }
        }
        slice.id()
    }

    pub(super) fn joined(&self, parts: &[TensorId], axis: usize) -> TensorId {
        let parts: Vec<Tensor<'_>> = parts.iter().map(|&part| self.graph.at(part)).collect();
        if parts.len() == 1 { parts[0].id() } else { self.graph.concat(&parts, axis as isize).id() }
    }
}
