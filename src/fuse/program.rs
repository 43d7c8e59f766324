//! A fused run of pointwise ops as plain steps, which become WGSL or are run on the host block by block.

use super::group::{Body, Group, Grouped};
use super::resolve::{Access, Resolved};
use crate::base::{DType, Shape};
use crate::record::{Argument, Lowering, NodeId, NodeKind, Op, Pointwise, TensorId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pointwise steps that are computed for every element, in order.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// How many elements.
    pub elements: usize,
    /// The type of what the root computes, where there is one.
    pub root: Option<DType>,
    /// What is read from memory.
    pub loads: Vec<Load>,
    /// What is computed.
    pub steps: Vec<Step>,
    /// What is written to memory, densely.
    pub stores: Vec<Store>,
}

/// A read of memory, one element per element.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// The element of a tensor seen through a layout.
    Plain(Access),
    /// The element of tensors laid end to end along an axis.
    Joined {
        /// The shape of the whole.
        shape: Shape,
        /// The axis.
        axis: usize,
        /// The tensors, first to last.
        parts: Vec<Access>,
    },
    /// The element of a tensor among zeros.
    Padded {
        /// The shape of the whole.
        shape: Shape,
        /// The tensor.
        access: Access,
        /// The number of zeros before it along every axis.
        before: Vec<usize>,
        /// How far apart its elements lie along every axis.
        steps: Vec<usize>,
    },
}

/// One pointwise op.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its node.
    pub node: NodeId,
    /// The op.
    pub op: Arc<dyn Op>,
    /// Its expression and its function on the host.
    pub pointwise: Pointwise,
    /// What its arguments are, in the order of the expression.
    pub operands: Vec<Operand>,
    /// The type of its result.
    pub dtype: DType,
}

/// Where a step finds an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// What the root of the group has computed.
    Root,
    /// What was loaded.
    Load(usize),
    /// What an earlier step has computed.
    Step(usize),
    /// The element's row-major index.
    Index,
    /// A coordinate: index / stride % extent.
    Coordinate {
        /// Elements between neighbours along the axis.
        stride: usize,
        /// Extent of the axis.
        extent: usize,
    },
    /// The key of the step's random streams.
    Seed,
}

/// A tensor that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Which tensor.
    pub tensor: TensorId,
    /// What is written.
    pub value: Operand,
    /// Its type.
    pub dtype: DType,
}

impl Load {
    /// The tensors that are read.
    #[must_use]
    pub fn accesses(&self) -> Vec<&Access> {
        match self {
            Self::Plain(access) | Self::Padded { access, .. } => vec![access],
            Self::Joined { parts, .. } => parts.iter().collect(),
        }
    }

    /// The type of the element.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.accesses()[0].dtype
    }
}

impl Program {
    /// Whether any step needs the step's random key.
    #[must_use]
    pub fn uses_step(&self) -> bool {
        self.steps.iter().any(|step| step.operands.contains(&Operand::Seed))
    }

    /// Whether nothing is computed: what the root makes is stored as it is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.steps.is_empty() && self.stores.len() <= 1
    }

    /// Where the value of a tensor that the program computes is found.
    #[must_use]
    pub fn value_of(&self, tensor: TensorId) -> Operand {
        let step = self.steps.iter().position(|step| step.node == tensor.node);
        step.map_or(Operand::Root, Operand::Step)
    }

    /// The value that an operand has, as a type.
    #[must_use]
    pub fn dtype(&self, operand: Operand) -> DType {
        match operand {
            Operand::Root => self.root.unwrap_or(DType::F32),
            Operand::Load(number) => self.loads[number].dtype(),
            Operand::Step(number) => self.steps[number].dtype,
            Operand::Index | Operand::Coordinate { .. } | Operand::Seed => DType::U32,
        }
    }
}

/// Builds the programs of a group.
pub struct Programs<'a> {
    resolved: &'a Resolved,
    grouped: &'a Grouped,
    group: &'a Group,
}

impl<'a> Programs<'a> {
    /// For one of the groups of a resolved recording.
    #[must_use]
    pub const fn new(resolved: &'a Resolved, grouped: &'a Grouped, group: &'a Group) -> Self {
        Self { resolved, grouped, group }
    }

    /// The program of a body: what is stored of the root's output and of the ops on it.
    #[must_use]
    pub fn body(&self, body: &Body) -> Program {
        let root = self.group.root.map(|node| TensorId { node, output: body.output });
        let (mut program, step_of) = self.steps(&body.nodes, root, body.elements);
        let mut stores: Vec<Store> = Vec::new();
        let mut store = |tensor: TensorId, value: Operand| {
            if self.grouped.stored.contains(&tensor) {
                let dtype = self.resolved.recording.tensor_type(tensor).dtype;
                stores.push(Store { tensor, value, dtype });
            }
        };
        if let Some(root) = root {
            store(root, Operand::Root);
        }
        for &node in &body.nodes {
            store(TensorId { node, output: 0 }, step_of[&node]);
        }
        if stores.is_empty()
            && let Some(root) = root
        {
            let dtype = self.resolved.recording.tensor_type(root).dtype;
            stores.push(Store { tensor: root, value: Operand::Root, dtype });
        }
        program.stores = stores;
        program.root = root.map(|tensor| self.resolved.recording.tensor_type(tensor).dtype);
        program
    }

    /// The program of a reduction's prologue; its only store is what the reduction combines.
    #[must_use]
    pub fn prologue(&self, input: TensorId) -> Program {
        let elements = self.resolved.recording.tensor_type(input).shape.elements();
        let (mut program, step_of) = self.steps(&self.group.prologue, None, elements);
        program.stores.push(Store { tensor: input, value: step_of[&input.node], dtype: DType::F32 });
        program
    }

    fn steps(&self, nodes: &[NodeId], root: Option<TensorId>, elements: usize) -> (Program, BTreeMap<NodeId, Operand>) {
        let mut program = Program { elements, ..Program::default() };
        let mut step_of = BTreeMap::new();
        for &node in nodes {
            self.step(node, nodes, root, &mut program, &mut step_of);
        }
        (program, step_of)
    }

    fn step(
        &self,
        id: NodeId,
        nodes: &[NodeId],
        root: Option<TensorId>,
        program: &mut Program,
        step_of: &mut BTreeMap<NodeId, Operand>,
    ) -> Operand {
        if let Some(&known) = step_of.get(&id) {
            return known;
        }
        let node = &self.resolved.recording.nodes[id.index()];
        let (Lowering::Pointwise(pointwise), NodeKind::Op(op)) = (&self.resolved.lowerings[&id], &node.kind) else {
            unreachable!("only pointwise ops are grouped as such");
        };
        let shape = &node.outputs[0].shape;
        let access = |place: usize| self.resolved.input(id, place).clone();
        let mut operands = Vec::new();
        for argument in &pointwise.arguments {
            let operand = match argument {
                Argument::Index => Operand::Index,
                Argument::Seed => Operand::Seed,
                Argument::Coordinate(axis) => {
                    Operand::Coordinate { stride: shape.strides()[*axis] as usize, extent: shape[*axis] }
                }
                Argument::Joined { axis, inputs } => {
                    let parts = inputs.iter().map(|&place| access(place)).collect();
                    load(program, Load::Joined { shape: shape.clone(), axis: *axis, parts })
                }
                Argument::Padded { input, before, steps } => load(
                    program,
                    Load::Padded {
                        shape: shape.clone(),
                        access: access(*input),
                        before: before.clone(),
                        steps: steps.clone(),
                    },
                ),
                Argument::Input(place) => {
                    let access = access(*place);
                    let tensor = access.tensor;
                    let in_place = self.resolved.is_whole(&access);
                    if root == Some(tensor) {
                        Operand::Root
                    } else if nodes.contains(&tensor.node)
                        || (self.grouped.free.contains(&tensor.node)
                            && (in_place || self.grouped.uniform.contains(&tensor.node)))
                    {
                        self.step(tensor.node, nodes, root, program, step_of)
                    } else {
                        load(program, Load::Plain(access))
                    }
                }
            };
            operands.push(operand);
        }
        let step =
            Step { node: id, op: Arc::clone(op), pointwise: pointwise.clone(), operands, dtype: node.outputs[0].dtype };
        program.steps.push(step);
        let operand = Operand::Step(program.steps.len() - 1);
        step_of.insert(id, operand);
        operand
    }
}

/// The operand of a load, which is made where it is new.
fn load(program: &mut Program, load: Load) -> Operand {
    let place = program.loads.iter().position(|known| *known == load).unwrap_or_else(|| {
        program.loads.push(load);
        program.loads.len() - 1
    });
    Operand::Load(place)
}
