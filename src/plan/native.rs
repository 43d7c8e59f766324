use crate::fuse::{Access, Context, Group, Matrix, Operand, Place, Program};
use crate::record::{HostKernel, Lowering, NodeId, NodeKind, Op, Reduce, TensorId};
use std::fmt::Write as _;
use std::sync::Arc;

/// What a dispatch does on the host: the same group of ops that would be a kernel on a GPU.
#[derive(Debug)]
pub struct Native {
    /// What is computed first.
    pub root: NativeRoot,
    /// What is done with the results, with the number of the root's output.
    pub programs: Vec<(usize, Program)>,
    /// What a reduction computes of the elements that it loads.
    pub prologue: Option<Program>,
    /// Values of the first program of whose blocks the sums are stored.
    pub totals: Vec<(Operand, Place)>,
    /// What the dispatch's bindings are, and which of them are written.
    pub bindings: Vec<(Place, bool)>,
}

/// The root of a group, for the host.
#[derive(Debug)]
pub enum NativeRoot {
    /// Nothing: pointwise ops only.
    None,
    /// A stack of matrix products.
    Contract {
        /// The first operand.
        a: Matrix,
        /// The second operand.
        b: Matrix,
        /// A sum of an operand along the inner axis: which operand, and where it goes.
        sums: Option<(usize, TensorId)>,
    },
    /// A reduction of what lies like this.
    Reduce {
        /// How, and along which axes.
        reduce: Reduce,
        /// The node.
        node: NodeId,
        /// What is reduced.
        input: Access,
        /// Whether another dispatch has stored the sums of its blocks: how many.
        partials: Option<usize>,
    },
    /// Any op, by its reference.
    Op {
        /// The op.
        op: Arc<dyn Op>,
        /// What it reads.
        inputs: Vec<Access>,
        /// What it makes.
        outputs: Vec<TensorId>,
        /// A faster way than its reference, if there is one.
        host: Option<HostKernel>,
    },
}

/// Elements that the host computes at a time: their values stay in the first cache. Sums of blocks are what
/// [`Native::totals`] stores.
pub const HOST_BLOCK: usize = 1024;

impl Native {
    /// The work of a group.
    #[must_use]
    pub fn new(context: &Context<'_>, group: &Group) -> Self {
        let resolved = context.resolved;
        let input = |place: usize| {
            let root = group.root?;
            let tensor = resolved.recording.nodes[root.index()].inputs.get(place)?;
            Some(resolved.accesses[tensor].clone())
        };
        let root = match group.root.map(|root| (root, &resolved.lowerings[&root])) {
            None => NativeRoot::None,
            Some((root, lowering)) => {
                let node = &resolved.recording.nodes[root.index()];
                let sums = group.sums.map(|ride| (ride.operand, TensorId { node: ride.node, output: 0 }));
                match (lowering, input(0), resolved.matrices.get(&root), &node.kind) {
                    (_, _, Some([a, b]), _) => NativeRoot::Contract { a: a.clone(), b: b.clone(), sums },
                    (Lowering::Reduce(reduce), Some(input), ..) => {
                        let partials = (context.partials)(root);
                        NativeRoot::Reduce { reduce: reduce.clone(), node: root, input, partials }
                    }
                    (lowering, _, _, NodeKind::Op(op)) => {
                        let host = match lowering {
                            Lowering::Kernel(kernel) => kernel.host.clone(),
                            _ => None,
                        };
                        let inputs = (0..node.inputs.len()).map(|place| resolved.input(root, place).clone()).collect();
                        let outputs =
                            (0..node.outputs.len() as u32).map(|output| TensorId { node: root, output }).collect();
                        NativeRoot::Op { op: Arc::clone(op), inputs, outputs, host }
                    }
                    _ => NativeRoot::None,
                }
            }
        };
        let outputs = group.bodies.iter().map(|body| body.output as usize);
        let programs: Vec<(usize, Program)> = outputs.zip(context.bodies(group)).collect();
        let prologue = match &root {
            NativeRoot::Reduce { input, .. } => context.prologue(group, input.tensor),
            _ => None,
        };
        let total = |&sum: &NodeId| (programs[0].1.value_of(resolved.input(sum, 0).tensor), Place::Partial(sum));
        let totals = group.totals.iter().map(total).collect();
        let mut native = Self { root, programs, prologue, totals, bindings: Vec::new() };
        native.bindings = native.bind();
        native
    }

    fn bind(&self) -> Vec<(Place, bool)> {
        let mut reads: Vec<Place> = match &self.root {
            NativeRoot::Contract { a, b, .. } => vec![Place::Tensor(a.access.tensor), Place::Tensor(b.access.tensor)],
            NativeRoot::Reduce { partials: Some(_), node, .. } => vec![Place::Partial(*node)],
            NativeRoot::Reduce { input, .. } if self.prologue.is_none() => vec![Place::Tensor(input.tensor)],
            NativeRoot::None | NativeRoot::Reduce { .. } => Vec::new(),
            NativeRoot::Op { inputs, .. } => inputs.iter().map(|access| Place::Tensor(access.tensor)).collect(),
        };
        for program in self.programs().chain(&self.prologue) {
            let accesses = program.loads.iter().flat_map(|load| load.accesses());
            reads.extend(accesses.map(|access| Place::Tensor(access.tensor)));
        }
        reads.sort();
        reads.dedup();
        let stores = self.programs().flat_map(|program| &program.stores);
        let mut writes: Vec<Place> = stores.map(|store| Place::Tensor(store.tensor)).collect();
        match &self.root {
            NativeRoot::Contract { sums: Some((_, tensor)), .. } => writes.push(Place::Tensor(*tensor)),
            // Outputs that nothing can be fused to are stored as they are.
            NativeRoot::Op { outputs, .. } => {
                let bare = |number: &usize| self.programs.iter().all(|(output, _)| output != number);
                writes.extend((0..outputs.len()).filter(bare).map(|number| Place::Tensor(outputs[number])));
            }
            _ => {}
        }
        writes.extend(self.totals.iter().map(|(_, place)| *place));
        let reads = reads.into_iter().map(|place| (place, false));
        reads.chain(writes.into_iter().map(|place| (place, true))).collect()
    }

    fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.iter().map(|(_, program)| program)
    }

    /// Whether something is computed before the programs.
    #[must_use]
    pub const fn has_root(&self) -> bool {
        !matches!(self.root, NativeRoot::None)
    }

    /// Whether it needs the step's random key.
    #[must_use]
    pub fn uses_step(&self) -> bool {
        self.programs().chain(&self.prologue).any(Program::uses_step)
    }

    /// The work in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::from("computed by the host\n");
        let _ = match &self.root {
            NativeRoot::None => Ok(()),
            NativeRoot::Contract { a, b, .. } => {
                writeln!(text, "matmul {} x {}", a.access.layout.shape, b.access.layout.shape)
            }
            NativeRoot::Reduce { reduce, input, .. } => {
                writeln!(text, "reduce {} {} axes {:?}", reduce.kind.name(), input.layout.shape, reduce.axes)
            }
            NativeRoot::Op { op, .. } => writeln!(text, "{} {}", op.name(), op.attributes()),
        };
        for program in self.prologue.iter().chain(self.programs()) {
            for (number, step) in program.steps.iter().enumerate() {
                let operands: Vec<String> = step.operands.iter().map(|operand| format!("{operand:?}")).collect();
                let _ = writeln!(
                    text,
                    "s{number} = {} {} ({}) of {} elements",
                    step.op.name(),
                    step.op.attributes(),
                    operands.join(", "),
                    program.elements
                );
            }
            for load in &program.loads {
                let _ = writeln!(text, "load {load:?}");
            }
        }
        text
    }
}
