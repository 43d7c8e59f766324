use super::State;
use crate::base::{Error, ErrorKind, HostData, HostTensor, Result, Value};
use crate::plan::{StepScalars, Update};
use crate::record::{EvalContext, Leaf, NodeId, NodeKind, Recording, TensorId};
use crate::reference::{Evaluation, evaluate};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A recording on the host: every op by its reference in single precision.
#[derive(Debug)]
pub(super) struct CpuProgram {
    recording: Arc<Recording>,
    wanted: Vec<TensorId>,
    gradients: Vec<(usize, TensorId)>,
    update: Option<Update>,
    constants: BTreeMap<NodeId, Arc<Value<f32>>>,
    result: Option<Evaluation<f32>>,
}

impl CpuProgram {
    pub fn new(
        recording: Arc<Recording>,
        kept: &[TensorId],
        gradients: &[(usize, TensorId)],
        update: Option<Update>,
    ) -> Self {
        let constant = |(index, node): (usize, &crate::record::Node)| match &node.kind {
            NodeKind::Leaf(Leaf::Constant(tensor)) => Some((NodeId(index as u32), Arc::new(Value::from_host(tensor)))),
            _ => None,
        };
        let constants = recording.nodes.iter().enumerate().filter_map(constant).collect();
        let wanted = kept.iter().copied().chain(gradients.iter().map(|&(_, gradient)| gradient)).collect();
        Self { recording, wanted, gradients: gradients.to_vec(), update, constants, result: None }
    }

    /// Runs one step: evaluates everything wanted, then changes the parameters.
    pub fn run(&mut self, feeds: &[(NodeId, &HostData)], scalars: &StepScalars, state: &State) -> Result<()> {
        let recording = Arc::clone(&self.recording);
        let mut inputs: BTreeMap<NodeId, Arc<Value<f32>>> = BTreeMap::new();
        for &(node, data) in feeds {
            let shape = &recording.nodes[node.index()].outputs[0].shape;
            inputs.insert(node, Arc::new(Value::from_data(shape, data)));
        }
        let missing = || Error::new(ErrorKind::Driver, "the state of this step does not live on the host");
        let parameters = state.with_host(|memory| memory.parameters.clone()).ok_or_else(missing)?;
        let cx = EvalContext { seed: scalars.seed };
        let result = evaluate::<f32>(&recording, &self.wanted, &cx, |id, node, leaf| match leaf {
            Leaf::Constant(_) => Ok(self.constants[&id].clone()),
            Leaf::Parameter(info) => Ok(parameters[info.index].clone()),
            Leaf::Input { .. } => inputs
                .get(&id)
                .cloned()
                .ok_or_else(|| Error::new(ErrorKind::Feed, format!("{} was not fed", node.label()))),
        })?;
        drop(parameters);
        if let Some(update) = &self.update {
            state.with_host(|memory| {
                for &(number, gradient) in &self.gradients {
                    let Some(gradient) = result.get(gradient) else { continue };
                    let gradient: Vec<f32> = gradient.real().iter().copied().collect();
                    let mut weight = memory.parameters[number].real().clone();
                    let mut states: Vec<Vec<f32>> = update
                        .states
                        .iter()
                        .map(|name| std::mem::take(&mut state.host_state(memory, name)[number]))
                        .collect();
                    if let Some(weights) = weight.as_slice_mut() {
                        update.host.apply_f32(scalars, &gradient, weights, &mut states);
                    }
                    for (name, values) in update.states.iter().zip(states) {
                        state.host_state(memory, name)[number] = values;
                    }
                    memory.parameters[number] = Arc::new(Value::Real(weight));
                }
            });
        }
        self.result = Some(result);
        Ok(())
    }

    /// The value of a kept tensor after the last step.
    pub fn read(&self, tensor: TensorId) -> Option<HostTensor> {
        Some(self.result.as_ref()?.get(tensor)?.to_host())
    }
}
