//! Ops as a whole on the host: by a function of their own, or by their reference in single precision.

use super::memory::Places;
use crate::base::{DType, Error, ErrorKind, HostData, Result, Shape, TensorType, Value};
use crate::fuse::{Access, Place, Program, Step};
use crate::record::{EvalContext, HostKernel, Op, TensorId};
use crate::reference::eval_op;

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
///
/// # Errors
/// When its reference does not give what its shape rule promises.
pub fn run(
    op: &dyn Op,
    inputs: &[Access],
    outputs: &[TensorId],
    programs: &[(usize, Program)],
    places: &mut Places<'_>,
    seed: [u32; 2],
) -> Result<()> {
    let values: Vec<Value<f32>> = inputs
        .iter()
        .map(|Access { tensor, layout, dtype }| {
            let words = &places.read(Place::Tensor(*tensor))[..layout.shape.elements()];
            Value::from_data(&layout.shape, &HostData::from_bytes(*dtype, bytemuck::cast_slice(words)))
        })
        .collect();
    let type_of = |access: &Access| TensorType { shape: access.layout.shape.clone(), dtype: access.dtype };
    let types: Vec<TensorType> = inputs.iter().map(type_of).collect();
    let refused = |reason: String| Error::new(ErrorKind::Check, format!("op `{}`: {reason}", op.name()));
    let promised = op.outputs(&types.iter().collect::<Vec<_>>()).map_err(refused)?;
    let results = eval_op(op, &values.iter().collect::<Vec<_>>(), &promised, EvalContext { seed })?;
    for (number, (result, &output)) in results.iter().zip(outputs).enumerate() {
        let host = result.to_host();
        let words: &[u32] = bytemuck::cast_slice(host.data().bytes());
        places.write(target(number, output, programs)).copy_from_slice(words);
    }
    Ok(())
}

/// Evaluates a pointwise step that has no function for the host once, for a few elements: what it gives has to be what its shape
/// rule promises, as its blocks are not looked at while it runs.
///
/// # Errors
/// When it is not.
pub fn try_step(step: &Step, dtypes: &[DType]) -> Result<()> {
    let few: Shape = [3].into();
    let value = |&dtype: &DType| Value::from_data(&few, &HostData::from_bytes(dtype, bytemuck::cast_slice(&[1u32; 3])));
    let values: Vec<Value<f32>> = dtypes.iter().map(value).collect();
    let promised = [TensorType { shape: few.clone(), dtype: step.dtype }];
    eval_op(step.op.as_ref(), &values.iter().collect::<Vec<_>>(), &promised, EvalContext::default()).map(drop)
}
