//! Indices that a step computes are checked by the step: y = 1 where an index lies outside of 0 .. limit, else 0. What is
//! found is told when something is read.

use super::elementwise::integers;
use crate::base::{DType, Real, TensorType, Value};
use crate::base::{HostData, Layout};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Draw, EvalContext, Graph, HostFunction, KernelClass, Leaf, LowerContext,
    Lowering, NodeKind, Op, Pointwise, Reference, Tensor, TensorId, Vjp,
};

#[derive(Debug)]
struct Outside {
    limit: usize,
}

impl Op for Outside {
    fn name(&self) -> &'static str {
        "outside"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        integers(inputs[0])?;
        Ok(vec![TensorType::f32(&inputs[0].shape)])
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::ends(1)
    }
    fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
        let limit = self.limit as u32;
        let host = HostFunction::new(move |block, out| {
            for (y, &index) in out.iter_mut().zip(block.arguments[0]) {
                *y = if index < limit { 0.0f32 } else { 1.0 }.to_bits();
            }
        });
        let expression = format!("select(1.0f, 0.0f, u32({{0}}) < {limit}u)");
        Lowering::Pointwise(Pointwise::of_inputs(expression, 1, &[]).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("limit", self.limit)
    }
}

impl Reference for Outside {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let outside = |&index: &i64| if (0..self.limit as i64).contains(&index) { T::zero() } else { T::one() };
        vec![Value::Real(inputs[0].integers().map(outside))]
    }
}

/// Where an index comes from.
enum Source {
    /// It is fed, and checked then.
    Fed,
    /// It is a constant: these elements.
    Constant(HostData),
    /// It is computed.
    Computed,
}

/// The source of a tensor, through all views.
fn source(graph: &Graph, tensor: TensorId) -> Source {
    graph.with_recording(|recording| {
        let mut tensor = tensor;
        loop {
            let node = recording.node(tensor);
            let op = match &node.kind {
                NodeKind::Leaf(Leaf::Constant(value)) => return Source::Constant(value.data().clone()),
                NodeKind::Leaf(_) => return Source::Fed,
                NodeKind::Op(op) => op,
            };
            let types: Vec<TensorType> =
                node.inputs.iter().map(|&input| recording.tensor_type(input).clone()).collect();
            let layouts: Vec<Layout> = types.iter().map(|input| Layout::dense(&input.shape)).collect();
            let cx =
                LowerContext { inputs: &types, layouts: &layouts, outputs: &node.outputs, class: KernelClass::Cpu };
            match op.lower(&cx) {
                Lowering::View(_) => tensor = node.inputs[0],
                _ => return Source::Computed,
            }
        }
    })
}

impl Graph {
    /// Whether an index is computed by the step, and not known when it is fed or recorded.
    pub(super) fn is_computed(&self, index: Tensor<'_>) -> bool {
        index.is_valid() && matches!(source(self, index.id()), Source::Computed)
    }

    /// Sees to it that an index outside of 0 .. `limit` does not go unnoticed, as a mistake of `op`: one that is fed, as it
    /// is or seen through views, is checked when it is fed; a constant is checked here; and one that is computed is checked
    /// by the step, which tells the first that lies outside when something is read.
    #[track_caller]
    pub fn check_index(&self, op: &str, index: Tensor<'_>, limit: usize) {
        let _here = self.here();
        if !index.is_valid() || index.dtype() != DType::I32 || self.is_checked(index.id(), limit) {
            return;
        }
        match source(self, index.id()) {
            Source::Constant(HostData::I32(elements)) => {
                let outside =
                    elements.iter().enumerate().find(|(_, element)| !(0..limit as i64).contains(&i64::from(**element)));
                if let Some((position, element)) = outside {
                    let reason =
                        format!("index {element} at position {position} of a constant lies outside of 0 .. {limit}");
                    self.fault(op, &[index], reason);
                }
            }
            Source::Fed | Source::Constant(_) => {}
            Source::Computed => {
                let outside = self.record(Outside { limit }, &[index]).flat();
                self.add_check(op, index, limit, outside.amax(..), outside.argmax(0));
            }
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("some", vec![CaseInput::new([3, 65], Draw::Labels { below: 9 })], |x| {
            x[0].graph().record(Outside { limit: 5 }, &[x[0]])
        })
        .value_only(),
    ]
}
