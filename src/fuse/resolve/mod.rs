//! Views become layouts: after this, every op reads tensors that lie in memory, each through one layout.

mod access;
mod moves;

pub use access::{Access, Matrix};

use super::Window;
use crate::base::{Error, ErrorKind, Layout, Result, TensorType};
use crate::record::{
    Argument, Factor, Kernel, KernelClass, Leaf, LowerContext, Lowering, Node, NodeId, NodeKind, Op, Recording,
    TensorId,
};
use moves::{CopyElements, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The gradient of a parameter, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gradient {
    /// The number of the parameter in its store.
    pub parameter: usize,
    /// The first element of the parameter that it is the gradient of.
    pub start: usize,
    /// The gradient.
    pub tensor: TensorId,
}

/// A recording whose views are layouts. Where a view or a kernel needs the elements moved, a copy was added.
#[derive(Debug)]
pub struct Resolved {
    /// The recording, with the copies at its end.
    pub recording: Recording,
    /// The nodes that compute, each after those that it reads.
    pub order: Vec<NodeId>,
    /// How every node that computes is lowered.
    pub lowerings: BTreeMap<NodeId, Lowering>,
    /// How every tensor is read.
    pub accesses: BTreeMap<TensorId, Access>,
    /// The operands of matrix products.
    pub matrices: BTreeMap<NodeId, [Matrix; 2]>,
    /// What kept tensors are in memory.
    pub kept: BTreeMap<TensorId, TensorId>,
    /// Gradients, each a tensor of its own.
    pub gradients: Vec<Gradient>,
    /// Parts of leaves that are bound by themselves: the leaf, and the first element of it.
    pub windows: BTreeMap<TensorId, (TensorId, usize)>,
    /// New values of cells, by the number of their parameter: dense tensors that the update does not change.
    pub assigned: Vec<(usize, TensorId)>,
    /// Tensors that outlive the step: those kept, gradients, and new values of cells.
    pub wanted: BTreeSet<TensorId>,
}

/// Resolves all views.
///
/// # Errors
/// When an op contradicts itself, a defect of the op.
pub fn resolve(
    recording: &Recording,
    kept: &[TensorId],
    gradients: &[Gradient],
    assigned: &[(usize, TensorId)],
    class: KernelClass,
) -> Result<Resolved> {
    let count = recording.nodes.len();
    let mut resolved = Resolved {
        recording: recording.clone(),
        order: Vec::new(),
        lowerings: BTreeMap::new(),
        accesses: BTreeMap::new(),
        matrices: BTreeMap::new(),
        kept: BTreeMap::new(),
        gradients: Vec::new(),
        windows: BTreeMap::new(),
        assigned: Vec::new(),
        wanted: BTreeSet::new(),
    };
    for index in 0..count {
        resolved.node(NodeId(index as u32), class)?;
    }
    for &tensor in kept {
        let memory = resolved.keep(tensor);
        resolved.kept.insert(tensor, memory);
        resolved.wanted.insert(memory);
    }
    resolved.gradients(gradients);
    for &(cell, value) in assigned {
        // A parameter or another cell is read before the update: both may change in it.
        let memory = resolved.keep(value);
        resolved.assigned.push((cell, memory));
        resolved.wanted.insert(memory);
    }
    Ok(resolved)
}

impl Resolved {
    /// The node that makes a tensor.
    #[must_use]
    pub fn node_of(&self, tensor: TensorId) -> &Node {
        self.recording.node(tensor)
    }

    /// How an input of a node is read.
    #[must_use]
    pub fn input(&self, node: NodeId, place: usize) -> &Access {
        &self.accesses[&self.recording.nodes[node.index()].inputs[place]]
    }

    fn node(&mut self, id: NodeId, class: KernelClass) -> Result<()> {
        let node = self.recording.nodes[id.index()].clone();
        let NodeKind::Op(op) = &node.kind else {
            self.dense_outputs(id);
            return Ok(());
        };
        let any: &dyn std::any::Any = op.as_ref();
        if let Some(window) = any.downcast_ref::<Window>() {
            let leaf = node.inputs[0];
            let first = window.first(&self.recording.tensor_type(leaf).shape);
            self.windows.insert(TensorId { node: id, output: 0 }, (leaf, first));
            self.dense_outputs(id);
            return Ok(());
        }
        let mut inputs = node.inputs.clone();
        let mut lowering = self.lower(op, &inputs, &node, class);
        if let Lowering::View(view) = &lowering {
            let input = inputs[0];
            let direct = self.accesses[&input].layout.view(view);
            let access = if let Some(layout) = direct {
                Access { layout, ..self.accesses[&input].clone() }
            } else {
                let copy = self.copy(id, input);
                let layout = Layout::dense(&self.recording.tensor_type(copy).shape).view(view);
                let layout = layout.ok_or_else(|| defect(&node, "a dense tensor takes every view"))?;
                Access { layout, ..self.accesses[&copy].clone() }
            };
            self.accesses.insert(TensorId { node: id, output: 0 }, access);
            return Ok(());
        }
        if let Lowering::Kernel(kernel) = &lowering {
            let mut changed = false;
            for (place, input) in inputs.iter_mut().enumerate() {
                let free = kernel.any_layout.get(place) == Some(&true) && class != KernelClass::Host;
                if !free && !self.accesses[input].layout.is_dense() {
                    *input = self.copy(id, *input);
                    changed = true;
                }
            }
            if changed {
                self.recording.nodes[id.index()].inputs.clone_from(&inputs);
                lowering = self.lower(op, &inputs, &node, class);
                if !matches!(lowering, Lowering::Kernel(_)) {
                    return Err(defect(&node, "it chose another lowering for dense inputs"));
                }
            }
        }
        if let Lowering::Contract(contraction) = &lowering {
            let mut matrices = Vec::new();
            for factor in [&contraction.a, &contraction.b] {
                matrices.push(
                    self.matrix(id, factor, inputs[factor.input], class).ok_or_else(|| {
                        defect(&node, "an operand of its product cannot be seen as its lowering says")
                    })?,
                );
            }
            self.recording.nodes[id.index()].inputs = matrices.iter().map(|matrix| matrix.access.tensor).collect();
            if let Ok(matrices) = matrices.try_into() {
                self.matrices.insert(id, matrices);
            }
        }
        self.lowerings.insert(id, lowering);
        self.order.push(id);
        self.dense_outputs(id);
        Ok(())
    }

    /// An operand of a matrix product, with one axis for rows and one for columns where kernels of the class need that.
    fn matrix(&mut self, of: NodeId, factor: &Factor, input: TensorId, class: KernelClass) -> Option<Matrix> {
        let access = self.accesses[&input].clone();
        let layout = match &factor.view {
            Some(view) => access.layout.view(view)?,
            None => access.layout.clone(),
        };
        let matrix = Matrix { access: Access { layout, ..access }, batch: factor.batch, rows: factor.first };
        if let Some(plain) = matrix.plain() {
            return Some(plain);
        }
        if matches!(class, KernelClass::Gpu | KernelClass::Host) {
            return Some(matrix);
        }
        // What the batch repeats is copied once.
        let full = matrix.access.layout.clone();
        let mut lean = full.clone();
        let mut extents = lean.shape.to_vec();
        for axis in (0..matrix.batch).filter(|&axis| full.strides[axis] == 0) {
            extents[axis] = 1;
        }
        lean.shape = extents.into();
        let seen = self.seen(of, input, lean);
        let copy = self.copy(of, seen);
        let access = &self.accesses[&copy];
        let mut layout = access.layout.clone();
        for axis in (0..matrix.batch).filter(|&axis| full.strides[axis] == 0) {
            layout.strides[axis] = 0;
        }
        layout.shape = full.shape;
        Matrix { access: Access { layout, ..access.clone() }, ..matrix }.plain()
    }

    /// A tensor that is another one, read through a layout.
    fn seen(&mut self, of: NodeId, tensor: TensorId, layout: Layout) -> TensorId {
        let behalf = &self.recording.nodes[of.index()];
        let access = &self.accesses[&tensor];
        let node = Node {
            kind: NodeKind::Op(Arc::new(Seen(layout.clone()))),
            inputs: vec![access.tensor],
            outputs: vec![TensorType { shape: layout.shape.clone(), dtype: access.dtype }],
            place: behalf.place.clone(),
            origin: behalf.origin,
            segment: None,
        };
        let access = Access { layout, ..access.clone() };
        let id = TensorId { node: NodeId(self.recording.nodes.len() as u32), output: 0 };
        self.recording.nodes.push(node);
        self.accesses.insert(id, access);
        id
    }

    fn lower(&self, op: &Arc<dyn Op>, inputs: &[TensorId], node: &Node, class: KernelClass) -> Lowering {
        let types: Vec<TensorType> = inputs.iter().map(|&input| self.recording.tensor_type(input).clone()).collect();
        let layouts: Vec<Layout> = inputs.iter().map(|input| self.accesses[input].layout.clone()).collect();
        let lowering = op.lower(&LowerContext { inputs: &types, layouts: &layouts, outputs: &node.outputs, class });
        match lowering {
            // Without a function for the host, the reference computes it: block by block where it only looks at
            // elements, and as a whole where it looks at places.
            Lowering::Pointwise(pointwise)
                if class == KernelClass::Host
                    && pointwise.host.is_none()
                    && pointwise.arguments.iter().any(|argument| !matches!(argument, Argument::Input(_))) =>
            {
                Lowering::Kernel(Kernel { stages: Vec::new(), scratch: Vec::new(), any_layout: Vec::new(), host: None })
            }
            lowering => lowering,
        }
    }

    fn dense_outputs(&mut self, id: NodeId) {
        for (output, tensor_type) in self.recording.nodes[id.index()].outputs.iter().enumerate() {
            let tensor = TensorId { node: id, output: output as u32 };
            let access = Access { tensor, layout: Layout::dense(&tensor_type.shape), dtype: tensor_type.dtype };
            self.accesses.insert(tensor, access);
        }
    }

    /// A dense copy of a tensor, made on behalf of a node.
    fn copy(&mut self, of: NodeId, tensor: TensorId) -> TensorId {
        let behalf = &self.recording.nodes[of.index()];
        let op: Arc<dyn Op> = Arc::new(CopyElements);
        let node = Node {
            kind: NodeKind::Op(op.clone()),
            inputs: vec![tensor],
            outputs: vec![self.recording.tensor_type(tensor).clone()],
            place: behalf.place.clone(),
            origin: behalf.origin,
            segment: None,
        };
        let id = NodeId(self.recording.nodes.len() as u32);
        self.lowerings.insert(id, self.lower(&op, &[tensor], &node, KernelClass::Cpu));
        self.recording.nodes.push(node);
        self.order.push(id);
        self.dense_outputs(id);
        TensorId { node: id, output: 0 }
    }

    /// A recording with the copies that were added to it: what the nodes and tensors of a plan are. Its own nodes read what they
    /// read before.
    #[must_use]
    pub fn with_copies(&self, mut recording: Recording) -> Recording {
        let copies = &self.recording.nodes[recording.nodes.len()..];
        recording.nodes.extend(copies.iter().cloned());
        recording
    }

    /// Whether an access reads all elements of its tensor, each at its own place. A slice from the front lies
    /// densely as well, but is not all.
    #[must_use]
    pub fn is_whole(&self, access: &Access) -> bool {
        let whole = self.recording.tensor_type(access.tensor).shape.elements();
        access.layout.is_dense() && access.layout.shape.elements() == whole
    }

    /// A tensor in memory that holds a kept one. Parameters change in updates, also those of other steps: what
    /// is kept is the value that this step used.
    fn keep(&mut self, tensor: TensorId) -> TensorId {
        let access = &self.accesses[&tensor];
        let leaf = self.windows.get(&access.tensor).map_or(access.tensor, |(leaf, _)| *leaf);
        let is_parameter = matches!(self.node_of(leaf).kind, NodeKind::Leaf(Leaf::Parameter(_)));
        if self.is_whole(access) && !is_parameter { access.tensor } else { self.copy(tensor.node, tensor) }
    }

    /// Gives every gradient a tensor that only its arena needs: nothing reads it within the step.
    fn gradients(&mut self, gradients: &[Gradient]) {
        let mut read: BTreeSet<TensorId> = BTreeSet::new();
        for &id in &self.order {
            for input in &self.recording.nodes[id.index()].inputs {
                read.insert(self.accesses[input].tensor);
            }
        }
        for &Gradient { parameter, start, tensor: gradient } in gradients {
            let tensor = self.accesses[&gradient].tensor;
            let computed = matches!(self.node_of(tensor).kind, NodeKind::Op(_)) && !self.windows.contains_key(&tensor);
            let shared = gradients.iter().filter(|other| self.accesses[&other.tensor].tensor == tensor).count() > 1;
            let own = computed && self.is_whole(&self.accesses[&gradient]) && !shared;
            let place = if own && !read.contains(&tensor) && !self.wanted.contains(&tensor) {
                tensor
            } else {
                let copy = self.copy(gradient.node, gradient);
                // Gradients are of the backward list, also where they are tensors of the forward one.
                let origin = self.recording.nodes[copy.node.index()].origin.unwrap_or(gradient.node);
                self.recording.nodes[copy.node.index()].origin = Some(origin);
                copy
            };
            self.gradients.push(Gradient { parameter, start, tensor: place });
            self.wanted.insert(place);
        }
    }
}

/// An error that blames the op itself.
#[must_use]
pub fn defect(node: &Node, reason: &str) -> Error {
    let message = format!(
        "{} at {} could not be planned: {reason}. This is a defect of the op.",
        node.label(),
        node.place.location
    );
    Error::new(ErrorKind::Driver, message)
}
