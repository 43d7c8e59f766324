//! Ops as a whole on the host: by a function of their own, or by their reference in single precision.

use super::memory::Places;
use crate::base::{HostData, Value};
use crate::fuse::{Access, Place, Program};
use crate::record::{EvalContext, HostKernel, Op, TensorId};

/// Computes an op by its own function: outputs go where programs go on with them, in the place of their first store.
pub fn call(
    kernel: &HostKernel,
    inputs: &[Access],
    outputs: &[TensorId],
    programs: &[(usize, Program)],
    places: &mut Places<'_>,
) {
    let read = |Access { tensor, layout, .. }: &Access| &places.read(Place::Tensor(*tensor))[..layout.shape.elements()];
    let inputs: Vec<&[u32]> = inputs.iter().map(read).collect();
    let to: Vec<Place> = (0..outputs.len()).map(|number| target(number, outputs[number], programs)).collect();
    kernel.call(&inputs, &mut places.writes(&to));
}

/// Where an output goes.
fn target(number: usize, output: TensorId, programs: &[(usize, Program)]) -> Place {
    let program = programs.iter().find(|(of, _)| *of == number).and_then(|(_, program)| program.stores.first());
    Place::Tensor(program.map_or(output, |store| store.tensor))
}

/// Evaluates an op and stores its outputs: where programs go on with them, in the place of their first store.
pub fn run(
    op: &dyn Op,
    inputs: &[Access],
    outputs: &[TensorId],
    programs: &[(usize, Program)],
    places: &mut Places<'_>,
    seed: [u32; 2],
) {
    let values: Vec<Value<f32>> = inputs
        .iter()
        .map(|Access { tensor, layout, dtype }| {
            let words = &places.read(Place::Tensor(*tensor))[..layout.shape.elements()];
            Value::from_data(&layout.shape, &HostData::from_bytes(*dtype, bytemuck::cast_slice(words)))
        })
        .collect();
    let results = op.eval_f32(&values.iter().collect::<Vec<_>>(), &EvalContext { seed });
    for (number, (result, &output)) in results.iter().zip(outputs).enumerate() {
        let host = result.to_host();
        let words: &[u32] = bytemuck::cast_slice(host.data().bytes());
        places.write(target(number, output, programs)).copy_from_slice(words);
    }
}
