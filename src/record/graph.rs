use super::{IndexCheck, Leaf, Node, NodeId, NodeKind, Op, Param, Place, Recording, Tensor, TensorId};
use crate::base::{DType, Fault, HostTensor, Shape, TensorType};
use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A recording in progress: ops are written down in order, nothing is computed.
///
/// ```
/// use retrograd::Graph;
///
/// let g = Graph::new();
/// let x = g.input("x", [3]);
/// let y = (x * x).sum(..);
/// assert_eq!(y.shape().rank(), 0);
/// ```
#[derive(Debug)]
pub struct Graph {
    id: u64,
    recording: RefCell<Recording>,
    surroundings: RefCell<Surroundings>,
    evaluates: bool,
}

/// What surrounds the next op to be recorded.
#[derive(Debug, Default)]
struct Surroundings {
    location: Option<String>,
    scopes: Vec<String>,
    origin: Option<NodeId>,
    segment: Option<u32>,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Graph {
    /// An empty recording, for training: layers such as dropout and batch normalization do what they do in training.
    #[must_use]
    pub fn new() -> Self {
        Self::recording_for(false)
    }

    /// An empty recording for evaluation: dropout drops nothing, batch normalization uses its running statistics.
    #[must_use]
    pub fn evaluation() -> Self {
        Self::recording_for(true)
    }

    /// Whether layers record what they do in training, rather than in evaluation.
    #[must_use]
    pub const fn is_training(&self) -> bool {
        !self.evaluates
    }

    fn recording_for(evaluates: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            recording: RefCell::default(),
            surroundings: RefCell::default(),
            evaluates,
        }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// A copy of what has been recorded so far.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.recording.borrow().clone()
    }

    pub(crate) fn with_recording<R>(&self, look: impl FnOnce(&Recording) -> R) -> R {
        look(&self.recording.borrow())
    }

    /// A float input that is fed before every step.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl Into<Shape>) -> Tensor<'_> {
        self.typed_input(name, shape, DType::F32)
    }

    /// An input of class labels or indices (`i32`). Values are checked against the number of
    /// classes when they are fed.
    #[track_caller]
    pub fn labels(&self, name: &str, shape: impl Into<Shape>) -> Tensor<'_> {
        self.typed_input(name, shape, DType::I32)
    }

    /// An input of truth values (`u32`, 0 is false).
    #[track_caller]
    pub fn mask(&self, name: &str, shape: impl Into<Shape>) -> Tensor<'_> {
        self.typed_input(name, shape, DType::U32)
    }

    /// All inputs recorded so far with their names, in the order of these.
    #[must_use]
    pub fn inputs(&self) -> Vec<(String, Tensor<'_>)> {
        let recording = self.recording.borrow();
        let input = |(name, &node): (&String, &NodeId)| (name.clone(), self.tensor(TensorId { node, output: 0 }));
        recording.inputs.iter().map(input).collect()
    }

    /// An input of this element type.
    #[track_caller]
    pub(crate) fn typed_input(&self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Tensor<'_> {
        let tensor_type = TensorType { shape: shape.into(), dtype };
        if self.recording.borrow().inputs.contains_key(name) {
            let reason = format!("an input named `{name}` was recorded before: every input needs a name of its own");
            return self.fault("input", &[], reason);
        }
        let tensor = self.push_leaf(Leaf::Input { name: name.to_owned() }, tensor_type);
        if tensor.is_valid() {
            self.recording.borrow_mut().inputs.insert(name.to_owned(), tensor.id.node);
        }
        tensor
    }

    /// A tensor that is uploaded once, when the graph is compiled.
    #[track_caller]
    pub fn constant(&self, value: impl Into<HostTensor>) -> Tensor<'_> {
        let value = value.into();
        let tensor_type = value.tensor_type();
        self.push_leaf(Leaf::Constant(Arc::new(value)), tensor_type)
    }

    /// The current value of a parameter. Asking twice gives the same tensor, so tied layers
    /// share one.
    #[track_caller]
    pub fn param(&self, param: &Param) -> Tensor<'_> {
        if let Some(fault) = param.refused() {
            self.recording.borrow_mut().faults.push(fault.clone());
            return self.tensor(TensorId::INVALID);
        }
        let known = self.recording.borrow().nodes.iter().position(
            |node| matches!(&node.kind, NodeKind::Leaf(Leaf::Parameter(info)) if info.store == param.info().store && info.index == param.info().index),
        );
        match known {
            Some(index) => self.tensor(TensorId { node: NodeId(index as u32), output: 0 }),
            None => self.push_leaf(Leaf::Parameter(param.info().clone()), TensorType::f32(param.shape())),
        }
    }

    /// Opens a name scope, which lasts until the guard is dropped. Names nest: `decoder.attention`. One that begins with all
    /// open ones, as that of a layer within a layer, is taken as a whole.
    ///
    /// Everything recorded meanwhile also keeps the location of this call, so that a mistake
    /// inside a layer is reported at the line that uses the layer.
    #[track_caller]
    pub fn scope(&self, name: &str) -> ScopeGuard<'_> {
        let location = self.here();
        let mut surroundings = self.surroundings.borrow_mut();
        let open = surroundings.scopes.join(".") + ".";
        let own = name.strip_prefix(&open).unwrap_or(name).to_owned();
        surroundings.scopes.push(own);
        drop(surroundings);
        ScopeGuard { location }
    }

    /// Until the guard is dropped, everything recorded keeps the location of the caller. Methods that
    /// record within closures begin with it, as closures do not pass the caller on.
    #[track_caller]
    pub fn here(&self) -> LocationGuard<'_> {
        let here = Location::caller().to_string();
        let mut surroundings = self.surroundings.borrow_mut();
        let outermost = surroundings.location.is_none();
        surroundings.location.get_or_insert(here);
        LocationGuard { graph: self, outermost }
    }

    /// As [`here`](Self::here), with a location that was noted before.
    pub(crate) fn there(&self, location: &str) -> LocationGuard<'_> {
        let mut surroundings = self.surroundings.borrow_mut();
        let outermost = surroundings.location.is_none();
        surroundings.location.get_or_insert(location.to_owned());
        LocationGuard { graph: self, outermost }
    }

    pub(crate) fn keep(&self, tensor: Tensor<'_>) {
        if tensor.is_valid() {
            self.recording.borrow_mut().kept.insert(tensor.id);
        }
    }

    /// Records an op with one output.
    #[track_caller]
    pub fn record(&self, op: impl Op + 'static, inputs: &[Tensor<'_>]) -> Tensor<'_> {
        self.record_outputs(op, inputs, 1)[0]
    }

    /// Records an op with `count` outputs.
    #[track_caller]
    pub fn record_outputs(&self, op: impl Op + 'static, inputs: &[Tensor<'_>], count: usize) -> Vec<Tensor<'_>> {
        self.record_shared(Arc::new(op), inputs, count)
    }

    /// Records an op that another recording may hold as well.
    #[track_caller]
    pub(crate) fn record_shared(&self, op: Arc<dyn Op>, inputs: &[Tensor<'_>], count: usize) -> Vec<Tensor<'_>> {
        let invalid = vec![self.tensor(TensorId::INVALID); count];
        if inputs.iter().any(|input| !input.is_valid()) {
            return invalid;
        }
        if inputs.iter().any(|input| input.graph.id != self.id) {
            self.fault(
                op.name(),
                &[],
                "an operand belongs to another graph: handles are only good within the graph that made them",
            );
            return invalid;
        }
        let types: Vec<TensorType> = inputs.iter().map(|input| input.tensor_type()).collect();
        let outputs = match op.outputs(&types.iter().collect::<Vec<_>>()) {
            Ok(outputs) => outputs,
            Err(reason) => {
                self.fault(op.name(), inputs, reason);
                return invalid;
            }
        };
        if outputs.len() != count {
            let reason = format!(
                "its shape rule gives {} outputs, and it was recorded for {count}: a defect of the op",
                outputs.len()
            );
            self.fault(op.name(), inputs, reason);
            return invalid;
        }
        if let Some(reason) = outputs.iter().find_map(unusable) {
            self.fault(op.name(), inputs, reason);
            return invalid;
        }
        let inputs = inputs.iter().map(|input| input.id).collect();
        let node = self.push(NodeKind::Op(op), inputs, outputs);
        (0..count as u32).map(|output| self.tensor(TensorId { node, output })).collect()
    }

    /// Notes a mistake and returns an invalid tensor.
    #[track_caller]
    pub fn fault(&self, op: &str, operands: &[Tensor<'_>], reason: impl Into<String>) -> Tensor<'_> {
        let place = self.place(Location::caller());
        // An operand that is invalid has been reported where it went wrong.
        if operands.iter().all(|operand| operand.is_valid()) {
            let operands = operands.iter().map(|operand| operand.tensor_type().to_string()).collect();
            let fault = Fault {
                op: op.to_owned(),
                operands,
                reason: reason.into(),
                location: place.location,
                scope: place.scope,
            };
            self.recording.borrow_mut().faults.push(fault);
        }
        self.tensor(TensorId::INVALID)
    }

    /// Gives a cell a new value when a training step ends: what the step reads of it is the old one, and what it reads of
    /// parameters and other cells, for the value of this one as well, is what they were before the update. Steps of inference
    /// leave cells as they are, and so do those whose update [`Training::clip_norm`](crate::Training::clip_norm) leaves out.
    ///
    /// ```
    /// use retrograd::{Graph, Params};
    /// let mut params = Params::seeded(1);
    /// let count = params.add_cell("count", [1], retrograd::Init::Zeros);
    /// let g = Graph::new();
    /// g.assign(&count, g.param(&count) + 1.0);
    /// ```
    #[track_caller]
    pub fn assign(&self, cell: &Param, value: Tensor<'_>) {
        let label = format!("assign to `{}`", cell.name());
        if !value.is_valid() {
            return;
        }
        let mut reason = None;
        if value.graph.id != self.id {
            reason = Some("the value belongs to another graph".to_owned());
        } else if !cell.is_cell() {
            reason =
                Some("it is a parameter, which only training changes: add a cell with `Params::add_cell`".to_owned());
        } else if value.dtype() != DType::F32 || value.shape() != *cell.shape() {
            reason = Some(format!("the cell is f32{} and the value {}", cell.shape(), value.tensor_type()));
        } else if self.recording.borrow().assigned.iter().any(|(info, _)| info == cell.info()) {
            reason = Some("the cell gets another value in this recording already: assign to it once".to_owned());
        }
        match reason {
            Some(reason) => {
                self.fault(&label, &[], reason);
            }
            None => self.recording.borrow_mut().assigned.push((cell.info().clone(), value.id)),
        }
    }

    /// Whether an index is checked against a limit already.
    pub(crate) fn is_checked(&self, index: TensorId, limit: usize) -> bool {
        self.recording.borrow().checks.iter().any(|check| check.index == index && check.limit == limit)
    }

    /// Has a computed index looked at when something is read from a step; see [`IndexCheck`].
    #[track_caller]
    pub(crate) fn add_check(&self, op: &str, index: Tensor<'_>, limit: usize, any: Tensor<'_>, position: Tensor<'_>) {
        let place = self.place(Location::caller());
        let check = IndexCheck { index: index.id, limit, any: any.id, position: position.id, op: op.to_owned(), place };
        self.recording.borrow_mut().checks.push(check);
    }

    /// Runs `work` and hands back the mistakes that it noted instead of leaving them in the recording:
    /// they belong to one attempt to compile, not to what was recorded.
    pub(crate) fn with_own_faults<R>(&self, work: impl FnOnce() -> R) -> (R, Vec<Fault>) {
        let before = self.recording.borrow().faults.len();
        let result = work();
        let faults = self.recording.borrow_mut().faults.split_off(before);
        (result, faults)
    }

    /// Runs `record` and forgets what it recorded: what looks at gradients leaves no trace, and the next walk gives its
    /// nodes the same numbers.
    pub(crate) fn aside<R>(&self, record: impl FnOnce() -> R) -> R {
        let (nodes, checks) = self.with_recording(|recording| (recording.nodes.len(), recording.checks.len()));
        let result = record();
        let mut recording = self.recording.borrow_mut();
        recording.nodes.truncate(nodes);
        recording.checks.truncate(checks);
        result
    }

    /// Runs `record`, of which training does not keep intermediate results for the backward list: they are
    /// computed again there. What the rest of the recording reads of it is kept. Memory shrinks, and training takes
    /// up to a third more time; gradients stay the same, dropout included. A call inside another counts as part of
    /// the outer one.
    ///
    /// ```
    /// use retrograd::Graph;
    /// let g = Graph::new();
    /// let x = g.input("x", [8, 8]);
    /// let y = g.recompute(|| x.tanh().exp().sin());
    /// assert_eq!(y.shape(), x.shape());
    /// ```
    pub fn recompute<R>(&self, record: impl FnOnce() -> R) -> R {
        let outermost = {
            let next = self.recording.borrow().nodes.len() as u32;
            let mut surroundings = self.surroundings.borrow_mut();
            let outermost = surroundings.segment.is_none();
            surroundings.segment.get_or_insert(next);
            outermost
        };
        let result = record();
        if outermost {
            self.surroundings.borrow_mut().segment = None;
        }
        result
    }

    /// Runs `record` such that what it records counts as the gradient of `origin` and keeps its place.
    pub(crate) fn on_behalf_of<R>(&self, origin: NodeId, record: impl FnOnce() -> R) -> R {
        let place = self.recording.borrow().nodes[origin.index()].place.clone();
        let scopes = if place.scope.is_empty() { Vec::new() } else { vec![place.scope] };
        let inner = Surroundings { location: Some(place.location), scopes, origin: Some(origin), segment: None };
        let outer = self.surroundings.replace(inner);
        let result = record();
        self.surroundings.replace(outer);
        result
    }

    /// The handle of a tensor that was recorded before; an invalid one where there is none.
    #[must_use]
    pub fn at(&self, id: TensorId) -> Tensor<'_> {
        let recording = self.recording.borrow();
        let exists = recording.nodes.get(id.node.index()).is_some_and(|node| (id.output as usize) < node.outputs.len());
        self.tensor(if exists { id } else { TensorId::INVALID })
    }

    pub(crate) fn tensor(&self, id: TensorId) -> Tensor<'_> {
        Tensor { graph: self, id }
    }

    pub(crate) fn tensor_type(&self, id: TensorId) -> TensorType {
        if id.is_valid() { self.recording.borrow().tensor_type(id).clone() } else { TensorType::f32(Shape::default()) }
    }

    #[track_caller]
    fn push_leaf(&self, leaf: Leaf, tensor_type: TensorType) -> Tensor<'_> {
        if let Some(reason) = unusable(&tensor_type) {
            let (kind, reason) = match leaf {
                Leaf::Input { name } => ("input", format!("`{name}` of type {reason}")),
                Leaf::Parameter(_) => ("parameter", reason),
                Leaf::Constant(_) => ("constant", reason),
            };
            return self.fault(kind, &[], reason);
        }
        let node = self.push(NodeKind::Leaf(leaf), Vec::new(), vec![tensor_type]);
        self.tensor(TensorId { node, output: 0 })
    }

    /// Takes over a node of another recording, which reads what these are here.
    pub(crate) fn take_over(&self, node: &Node, inputs: Vec<TensorId>) -> NodeId {
        let mut recording = self.recording.borrow_mut();
        recording.nodes.push(Node { inputs, ..node.clone() });
        NodeId(recording.nodes.len() as u32 - 1)
    }

    /// Lets `change` look at the nodes from a number on.
    pub(crate) fn amend(&self, from: usize, change: impl FnMut(&mut Node)) {
        self.recording.borrow_mut().nodes[from..].iter_mut().for_each(change);
    }

    #[track_caller]
    fn push(&self, kind: NodeKind, inputs: Vec<TensorId>, outputs: Vec<TensorType>) -> NodeId {
        let place = self.place(Location::caller());
        let (origin, segment) = {
            let surroundings = self.surroundings.borrow();
            (surroundings.origin, surroundings.segment)
        };
        let mut recording = self.recording.borrow_mut();
        recording.nodes.push(Node { kind, inputs, outputs, place, origin, segment });
        NodeId(recording.nodes.len() as u32 - 1)
    }

    fn place(&self, caller: &Location<'_>) -> Place {
        let surroundings = self.surroundings.borrow();
        Place {
            location: surroundings.location.clone().unwrap_or_else(|| caller.to_string()),
            scope: surroundings.scopes.join("."),
        }
    }
}

/// Why a tensor of this type cannot exist.
fn unusable(tensor_type: &TensorType) -> Option<String> {
    match tensor_type.shape.checked_elements() {
        Some(0) => Some(format!("{tensor_type} has no elements: tensors need at least one")),
        // Shaders index with 32 bits.
        Some(elements) if elements <= u32::MAX as usize / 2 => None,
        _ => Some(format!("{tensor_type} has more elements than a shader can index (2^31 - 1)")),
    }
}

/// Holds the location of a caller until it is dropped; made by [`Graph::here`].
#[must_use = "the location is forgotten when the guard is dropped"]
pub struct LocationGuard<'g> {
    graph: &'g Graph,
    outermost: bool,
}

impl Drop for LocationGuard<'_> {
    fn drop(&mut self) {
        if self.outermost {
            self.graph.surroundings.borrow_mut().location = None;
        }
    }
}

/// Closes a name scope when dropped; made by [`Graph::scope`].
#[must_use = "the scope ends when the guard is dropped"]
pub struct ScopeGuard<'g> {
    location: LocationGuard<'g>,
}

impl Drop for ScopeGuard<'_> {
    fn drop(&mut self) {
        self.location.graph.surroundings.borrow_mut().scopes.pop();
    }
}
