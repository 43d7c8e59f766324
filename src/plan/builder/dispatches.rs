//! Dispatches from lowerings.

use super::{Builder, Draft, Located, Memory, defect};
use crate::base::{DType, Error, ErrorKind, Result, TensorType};
use crate::fuse::{self, Source};
use crate::plan::{Dispatch, KernelText, Phase};
use crate::record::{Argument, Kernel, Node, NodeId, Operand, Pointwise, Reduce, Stage};

impl Builder<'_> {
    /// Copies a tensor to `target`, densely.
    pub(super) fn copy_to(&mut self, id: NodeId, node: &Node, input: &Located, target: Memory) -> Result<()> {
        let tensor_type = TensorType { shape: input.layout.shape.clone(), dtype: input.dtype };
        let copy = Pointwise { expression: "{0}".into(), arguments: vec![Argument::Input(0)], libraries: Vec::new() };
        self.pointwise("copy", id, node, &copy, std::slice::from_ref(input), target, &tensor_type)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn pointwise(
        &mut self,
        name: &str,
        id: NodeId,
        node: &Node,
        op: &Pointwise,
        inputs: &[Located],
        output: Memory,
        output_type: &TensorType,
    ) -> Result<()> {
        let mut operands: Vec<Memory> = Vec::new();
        let mut sources = Vec::new();
        for input in inputs {
            let binding = operands.iter().position(|&memory| memory == input.memory).unwrap_or_else(|| {
                operands.push(input.memory);
                operands.len() - 1
            });
            sources.push(Source { binding, layout: input.layout.clone(), dtype: input.dtype });
        }
        let (wgsl, workgroups) = fuse::pointwise(op, &sources, output_type);
        let mut writes = vec![false; operands.len()];
        writes.push(true);
        operands.push(output);
        let uses_step = op.arguments.contains(&Argument::Seed);
        let kernel = self.kernel_number(KernelText { name: name.to_owned(), wgsl, writes, uses_step });
        self.dispatch(id, node, kernel, operands, workgroups)
    }

    pub(super) fn reduce(
        &mut self,
        id: NodeId,
        node: &Node,
        op: &Reduce,
        input: &Located,
        output: Memory,
    ) -> Result<()> {
        let kernels = fuse::reduce(op, &input.layout).map_err(|reason| defect(node, &reason))?;
        let mut from = input.memory;
        let count = kernels.len();
        for (number, kernel) in kernels.into_iter().enumerate() {
            let to = if number + 1 == count {
                output
            } else {
                self.intermediate(node, &TensorType::f32([kernel.elements]))?
            };
            let name = format!("reduce_{}", op.kind.name());
            let text = KernelText { name, wgsl: kernel.wgsl, writes: vec![false, true], uses_step: false };
            let kernel_number = self.kernel_number(text);
            self.dispatch(id, node, kernel_number, vec![from, to], kernel.workgroups)?;
            from = to;
        }
        Ok(())
    }

    pub(super) fn kernel(&mut self, id: NodeId, node: &Node, kernel: Kernel, inputs: &[Located]) -> Result<()> {
        let outputs =
            (0..node.outputs.len()).map(|output| self.output(id, node, output)).collect::<Result<Vec<_>>>()?;
        let scratch = kernel
            .scratch
            .iter()
            .map(|&elements| self.intermediate(node, &TensorType::f32([elements])))
            .collect::<Result<Vec<_>>>()?;
        let memory = |operand: &Operand| match *operand {
            Operand::Input(number) => inputs[number].memory,
            Operand::Output(number) => outputs[number],
            Operand::Scratch(number) => scratch[number],
        };
        for stage in kernel.stages {
            match stage {
                Stage::Dispatch(dispatched) => {
                    let wgsl = dispatched.text.assemble().map_err(|reason| defect(node, &reason))?;
                    let operands: Vec<Memory> = dispatched.reads.iter().chain(&dispatched.writes).map(memory).collect();
                    let writes = (0..operands.len()).map(|place| place >= dispatched.reads.len()).collect();
                    let name = dispatched.name.to_owned();
                    let number = self.kernel_number(KernelText { name, wgsl, writes, uses_step: dispatched.uses_step });
                    self.dispatch(id, node, number, operands, dispatched.workgroups)?;
                }
                Stage::Reduce { from: (from, layout), reduce, to } => {
                    let from = Located { memory: memory(&from), layout, dtype: DType::F32 };
                    self.reduce(id, node, &reduce, &from, memory(&to))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn kernel_number(&mut self, text: KernelText) -> usize {
        if let Some(&number) = self.kernel_numbers.get(&text.wgsl) {
            return number;
        }
        self.kernel_numbers.insert(text.wgsl.clone(), self.kernels.len());
        self.kernels.push(text);
        self.kernels.len() - 1
    }

    pub(super) fn dispatch(
        &mut self,
        id: NodeId,
        node: &Node,
        kernel: usize,
        operands: Vec<Memory>,
        workgroups: [u32; 3],
    ) -> Result<()> {
        let phase = if node.origin.is_some() { Phase::Backward } else { Phase::Forward };
        let types: Vec<String> = node.outputs.iter().map(ToString::to_string).collect();
        let dispatch = Dispatch {
            phase,
            kernel,
            label: format!("{} {}", node.label(), types.join(", ")),
            bindings: Vec::new(),
            workgroups,
            node: Some(id),
            origin: node.origin,
            location: node.place.location.clone(),
            scope: node.place.scope.clone(),
        };
        self.push(Draft { dispatch, operands })
    }

    pub(super) fn push(&mut self, draft: Draft) -> Result<()> {
        let profile = self.request.profile;
        let (dispatch, bound) = (&draft.dispatch, draft.operands.len());
        let [x, y, z] = dispatch.workgroups;
        let what = || format!("{} at {}", dispatch.label, dispatch.location);
        if bound > profile.storage_buffers {
            let message = format!(
                "{} binds {bound} storage buffers and {} allows {}",
                what(),
                profile.name,
                profile.storage_buffers
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if x.max(y).max(z) > profile.workgroups {
            let message = format!(
                "{} needs {x} x {y} x {z} workgroups and {} allows {} in each direction",
                what(),
                profile.name,
                profile.workgroups
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.drafts.push(draft);
        Ok(())
    }
}
