//! What a device cannot bind as a whole is computed part by part.
//!
//! A storage binding holds 128 MiB where nothing more is promised, less than the table of a language model or its scores.
//! Tensors beyond that are cut along an axis, and ops that use them are recorded once for every part: results lie side by
//! side, or are added up. What lies in memory already is bound in windows. The values are those of the whole, but for the
//! order in which sums are added up.

mod compute;
mod cuts;
mod domain;
mod views;
mod work;

pub use views::Window;

use super::{Gradient, Simplified};
use crate::base::{DType, Error, ErrorKind, Layout, Result, TensorType};
use crate::record::{Graph, KernelClass, Lowering, Node, NodeId, NodeKind, Op, Recording, TensorId};
use cuts::Cut;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use work::Work;

/// Ranges along all axes of a tensor.
type Region = Vec<Range<usize>>;

/// A recording in parts.
#[derive(Debug)]
pub struct Split {
    /// The recording. Tensors that are in parts have no place in it.
    pub simplified: Simplified,
    /// Gradients, of which those of parameters that are in parts are as well.
    pub gradients: Vec<Gradient>,
}

/// Cuts what exceeds `limit` bytes; `None` where nothing does.
///
/// # Errors
/// [`ErrorKind::Limit`] where an op needs as a whole what cannot be bound.
pub fn split(
    simplified: &Simplified,
    gradients: &[Gradient],
    whole: &[TensorId],
    profile: (&str, KernelClass, u64),
) -> Result<Option<Split>> {
    let (device, class, limit) = profile;
    let old = &simplified.recording;
    let limit = usize::try_from(limit / DType::BYTES as u64).unwrap_or(usize::MAX);
    let exceeds = |of: &TensorType| of.shape.elements() > limit;
    let copies_much = |node: &Node| match &node.kind {
        NodeKind::Op(op) => {
            let types: Vec<TensorType> = node.inputs.iter().map(|&input| old.tensor_type(input).clone()).collect();
            let lowering = domain::lowering(op.as_ref(), &types, &node.outputs);
            domain::copies(&lowering, &types, class).iter().any(|copy| copy.elements > limit)
        }
        NodeKind::Leaf(_) => false,
    };
    if !old.nodes.iter().any(|node| node.outputs.iter().any(exceeds) || copies_much(node)) {
        return Ok(None);
    }
    let mut splitting = Splitting {
        old,
        limit,
        device,
        class,
        graph: Graph::new(),
        whole: BTreeMap::new(),
        layouts: BTreeMap::new(),
        leaves: BTreeMap::new(),
        cuts: BTreeMap::new(),
        parts: BTreeMap::new(),
        pieces: BTreeMap::new(),
        first: Vec::new(),
    };
    for index in 0..old.nodes.len() {
        splitting.node(index)?;
    }
    for &tensor in whole {
        let full = old.tensor_type(tensor).shape.iter().map(|&extent| 0..extent).collect();
        let Some(one) = splitting.piece(tensor, &full, true) else {
            return Err(splitting.refusal(tensor, "it is read or assigned as a whole"));
        };
        splitting.whole.insert(tensor, one);
    }
    let mut found = Vec::new();
    for gradient in gradients {
        splitting.gradient(gradient, &mut found)?;
    }
    let Splitting { graph, whole, leaves, first, .. } = splitting;
    let mut recording = graph.recording();
    recording.faults.clone_from(&old.faults);
    recording.checks.clone_from(&old.checks);
    recording.kept = old.kept.iter().filter_map(|tensor| whole.get(tensor).copied()).collect();
    recording.inputs = old.inputs.iter().map(|(name, node)| (name.clone(), first[node.index()])).collect();
    let simplified = simplified.moved(recording, |tensor| whole.get(tensor).or_else(|| leaves.get(tensor)).copied());
    Ok(Some(Split { simplified, gradients: found }))
}

struct Splitting<'a> {
    old: &'a Recording,
    /// What a binding holds, in elements.
    limit: usize,
    device: &'a str,
    class: KernelClass,
    /// The new recording.
    graph: Graph,
    /// Tensors that are one: those that fit, and views of such.
    whole: BTreeMap<TensorId, TensorId>,
    /// Where the elements of those lie that are views.
    layouts: BTreeMap<TensorId, Layout>,
    /// Leaves that are bound in windows.
    leaves: BTreeMap<TensorId, TensorId>,
    /// Where the others are cut, and their parts.
    cuts: BTreeMap<TensorId, Cut>,
    parts: BTreeMap<TensorId, Vec<TensorId>>,
    /// Pieces of tensors that were asked for.
    pieces: BTreeMap<(TensorId, Vec<(usize, usize)>), TensorId>,
    /// The node that stands for every old one where an origin is named.
    first: Vec<NodeId>,
}

impl Splitting<'_> {
    fn node(&mut self, index: usize) -> Result<()> {
        let old = self.old;
        let node = &old.nodes[index];
        let id = NodeId(index as u32);
        let from = self.graph.with_recording(|recording| recording.nodes.len());
        match &node.kind {
            NodeKind::Leaf(_) => self.leaf(id, node)?,
            NodeKind::Op(op) => self.op(id, node, op)?,
        }
        // What stands for a node belongs where it did.
        let origin = node.origin.map(|origin| self.first[origin.index()]);
        self.graph.amend(from, |new| {
            new.place.clone_from(&node.place);
            new.origin = origin;
            new.segment = node.segment;
        });
        // What names it as an origin names what computes it, or the first part of it.
        let tensor = TensorId { node: id, output: 0 };
        let parts = || self.parts.get(&tensor).and_then(|parts| parts.first()).copied();
        let of = self.whole.get(&tensor).or_else(|| self.leaves.get(&tensor)).copied().or_else(parts);
        self.first.push(of.map_or(NodeId(from as u32), |tensor| tensor.node));
        Ok(())
    }

    fn leaf(&mut self, id: NodeId, node: &Node) -> Result<()> {
        let tensor = TensorId { node: id, output: 0 };
        let own = TensorId { node: self.graph.take_over(node, Vec::new()), output: 0 };
        let shape = &node.outputs[0].shape;
        if shape.elements() <= self.limit {
            self.whole.insert(tensor, own);
            return Ok(());
        }
        let Some(cut) = cuts::of_memory(shape, self.limit) else {
            let reason = "it cannot be bound in parts that begin at multiples of 256 bytes";
            return Err(self.refusal(tensor, reason));
        };
        let leaf = self.graph.at(own);
        let window =
            |range: &Range<usize>| self.graph.record(Window { axis: cut.axis, range: range.clone() }, &[leaf]).id();
        let parts = cut.ranges.iter().map(window).collect();
        self.leaves.insert(tensor, own);
        self.parts.insert(tensor, parts);
        self.cuts.insert(tensor, cut);
        Ok(())
    }

    fn op(&mut self, id: NodeId, node: &Node, op: &Arc<dyn Op>) -> Result<()> {
        let types: Vec<TensorType> = node.inputs.iter().map(|&input| self.old.tensor_type(input).clone()).collect();
        let inputs: Option<Vec<TensorId>> = node.inputs.iter().map(|input| self.whole.get(input).copied()).collect();
        let fits = node.outputs.iter().all(|output| output.shape.elements() <= self.limit);
        let tensor = |output: usize| TensorId { node: id, output: output as u32 };
        let lowering = domain::lowering(op.as_ref(), &types, &node.outputs);
        let copies = domain::copies(&lowering, &types, self.class);
        let copies_fit = copies.iter().all(|copy| copy.elements <= self.limit);
        // A view of what is whole takes no memory, whatever its size, where it moves no elements.
        let layout = self.seen(node, &lowering);
        if let Some(inputs) = inputs
            && (fits && copies_fit || layout.is_some())
        {
            let own = self.graph.take_over(node, inputs);
            for output in 0..node.outputs.len() {
                self.whole.insert(tensor(output), TensorId { node: own, output: output as u32 });
            }
            self.layouts.extend(layout.map(|layout| (tensor(0), layout)));
            return Ok(());
        }
        let joined = domain::joined(&lowering).map(|(axis, inputs)| (axis, inputs.to_vec()));
        let is_product = matches!(lowering, Lowering::Contract(_));
        let Some(work) = Work::new(node, op, lowering, &types, copies) else {
            let large = node.inputs.iter().find(|input| !self.whole.contains_key(input));
            return Err(match large {
                Some(&input) => self.needed(node, input, "needs all of it at once"),
                None => self.refusal(tensor(0), "it is computed as a whole"),
            });
        };
        let full: Region = work.domain.axes.iter().map(|axis| 0..axis.extent).collect();
        if fits && copies_fit {
            let results = self.compute(&work, &full)?;
            for (output, result) in results.into_iter().enumerate() {
                self.whole.insert(tensor(output), result);
            }
            return Ok(());
        }
        if fits {
            // The results fit, but not what is copied on the way to them.
            let sizes: Vec<_> = work.copies.iter().map(|copy| (copy.elements, copy.axes.clone())).collect();
            let cut = (0..full.len()).find_map(|axis| cuts::along(&work.domain, axis, &sizes, self.limit));
            let Some(Cut { axis, ranges }) = cut else {
                let most = work.copies.iter().map(|copy| copy.elements).max().unwrap_or(0) * DType::BYTES;
                let reason = format!("windows of {most} bytes are copied on the way to it");
                return Err(self.refusal(tensor(0), &reason));
            };
            for (output, result) in self.combined(&work, &full, axis, ranges)?.into_iter().enumerate() {
                self.whole.insert(tensor(output), result);
            }
            return Ok(());
        }
        let sizes = work.sizes();
        let cut = cuts::of_domain(&work.domain, node, &self.cuts, &sizes, self.limit, is_product);
        let cut = match (cut, joined) {
            (Some(cut), _) => cut,
            (None, Some((axis, inputs))) => return self.side_by_side(&work, tensor(0), axis, &inputs),
            (None, None) => {
                return Err(self.refusal(tensor(0), "it cannot be computed in parts along any of its axes"));
            }
        };
        let mut results: Vec<Vec<TensorId>> = vec![Vec::new(); node.outputs.len()];
        for range in &cut.ranges {
            let mut region = full.clone();
            region[cut.axis] = range.clone();
            for (parts, part) in results.iter_mut().zip(self.compute(&work, &region)?) {
                parts.push(part);
            }
        }
        for (output, parts) in results.into_iter().enumerate() {
            self.made(&work, tensor(output), output, &cut, parts)?;
        }
        Ok(())
    }

    /// Where the elements of a view of what is whole lie, if what it looks at is not copied for it.
    fn seen(&self, node: &Node, lowering: &Lowering) -> Option<Layout> {
        let Lowering::View(view) = lowering else { return None };
        let input = node.inputs[0];
        let shape = &self.old.tensor_type(input).shape;
        let layout = self.layouts.get(&input).cloned().unwrap_or_else(|| Layout::dense(shape));
        // A copy that fits is no obstacle.
        let copied = || Layout::dense(shape).view(view).filter(|_| shape.elements() <= self.limit);
        layout.view(view).or_else(copied)
    }

    /// Notes the parts of an output.
    fn made(
        &mut self,
        work: &Work<'_>,
        tensor: TensorId,
        output: usize,
        cut: &Cut,
        parts: Vec<TensorId>,
    ) -> Result<()> {
        let follows = &work.domain.outputs[output];
        let along = follows.iter().position(|follows| follows.is_some_and(|follows| follows.axis == cut.axis));
        let ranges = along.and_then(|axis| {
            let follows = follows[axis]?;
            let ranges = cut.ranges.iter().map(|range| follows.range(range)).collect::<Option<Vec<_>>>()?;
            Some(Cut { axis, ranges })
        });
        let Some(own) = ranges else {
            return Err(super::defect(work.node, "a part of its domain is no part of its output"));
        };
        self.cuts.insert(tensor, own);
        self.parts.insert(tensor, parts);
        Ok(())
    }

    /// Tensors laid end to end that are too long together: they are the parts, as far as they fit.
    fn side_by_side(&mut self, work: &Work<'_>, tensor: TensorId, axis: usize, inputs: &[usize]) -> Result<()> {
        let (mut ranges, mut parts, mut start) = (Vec::new(), Vec::new(), 0);
        for &number in inputs {
            let input = work.node.inputs[number];
            let shape = &self.old.tensor_type(input).shape;
            let cut = match self.cuts.get(&input) {
                Some(cut) if cut.axis == axis => cut.ranges.clone(),
                _ => std::iter::once(0..shape[axis]).collect(),
            };
            for range in cut {
                let mut region: Region = shape.iter().map(|&extent| 0..extent).collect();
                region[axis] = range.clone();
                let Some(piece) = self.piece(input, &region, false) else {
                    return Err(self.needed(work.node, input, "needs it in parts along another axis"));
                };
                ranges.push(start + range.start..start + range.end);
                parts.push(piece);
            }
            start += shape[axis];
        }
        self.cuts.insert(tensor, Cut { axis, ranges });
        self.parts.insert(tensor, parts);
        Ok(())
    }

    /// A gradient, cut where its parameter is.
    fn gradient(&mut self, gradient: &Gradient, found: &mut Vec<Gradient>) -> Result<()> {
        let shape = self.old.tensor_type(gradient.tensor).shape.clone();
        let full: Region = shape.iter().map(|&extent| 0..extent).collect();
        let node = self.old.node(gradient.tensor);
        let cut = cuts::of_memory(&shape, self.limit).filter(|_| shape.elements() > self.limit);
        let Some(Cut { axis, ranges }) = cut else {
            let Some(tensor) = self.piece(gradient.tensor, &full, false) else {
                return Err(self.refusal(gradient.tensor, "it is a gradient, which is needed as a whole"));
            };
            found.push(Gradient { tensor, ..*gradient });
            return Ok(());
        };
        let row: usize = shape[axis + 1..].iter().product();
        let from = self.graph.with_recording(|recording| recording.nodes.len());
        for range in ranges {
            let mut region = full.clone();
            region[axis] = range.clone();
            let Some(tensor) = self.piece(gradient.tensor, &region, false) else {
                return Err(self.refusal(gradient.tensor, "it is a gradient, which is needed as a whole"));
            };
            found.push(Gradient { start: range.start * row, tensor, ..*gradient });
        }
        let origin = Some(node.origin.map_or(self.first[gradient.tensor.node.index()], |of| self.first[of.index()]));
        self.graph.amend(from, |new| {
            new.place.clone_from(&node.place);
            new.origin = origin;
        });
        Ok(())
    }

    /// Why a tensor that cannot be bound as a whole must be.
    fn refusal(&self, tensor: TensorId, reason: &str) -> Error {
        let message = format!(
            "{} takes {} bytes and {} binds at most {}, but {reason}: use a smaller batch or model",
            self.old.describe(tensor),
            self.old.tensor_type(tensor).bytes(),
            self.device,
            self.limit * DType::BYTES,
        );
        Error::new(ErrorKind::Limit, message)
    }

    /// The same for what an op reads.
    fn needed(&self, node: &Node, tensor: TensorId, how: &str) -> Error {
        self.refusal(tensor, &format!("{} at {} {how}", node.label(), node.place.location))
    }
}
