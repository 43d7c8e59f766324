//! One op on the host: its reference has to keep what its shape rule promises.

use super::Precision;
use crate::base::{Error, ErrorKind, MetIntegers, Result, TensorType, Value};
use crate::record::{EvalContext, Op};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Evaluates an op whose outputs should have these types.
///
/// # Errors
/// [`ErrorKind::Check`] where the reference works on floats and its shape rule let integers through, or where number, shapes
/// or element types of what it gives are not those that the shape rule promised.
pub(crate) fn eval_op<T: Precision>(
    op: &dyn Op,
    inputs: &[&Value<T>],
    promised: &[TensorType],
    cx: EvalContext,
) -> Result<Vec<Value<T>>> {
    let wrong = |reason: String| {
        let message = format!("op `{}` is defective: {reason}. `Case::check` finds such things", op.name());
        Err(Error::new(ErrorKind::Check, message))
    };
    let type_of = |value: &Value<T>| TensorType { shape: value.shape().into(), dtype: value.dtype() };
    // An op has no state that a reference could leave half changed.
    let results = match catch_unwind(AssertUnwindSafe(|| T::eval(op, inputs, &cx))) {
        Ok(results) => results,
        Err(panic) if panic.is::<MetIntegers>() => {
            let types: Vec<String> = inputs.iter().map(|input| type_of(input).to_string()).collect();
            let types = types.join(", ");
            return wrong(format!("its reference works on floats, and its shape rule accepts ({types})"));
        }
        // A panic of the reference itself is the business of whoever wrote it.
        Err(panic) => resume_unwind(panic),
    };
    if results.len() != promised.len() {
        let (given, wanted) = (results.len(), promised.len());
        return wrong(format!("its reference gives {given} outputs, and its shape rule promises {wanted}"));
    }
    for (number, (result, promised)) in results.iter().zip(promised).enumerate() {
        let given = type_of(result);
        if given != *promised {
            let reason =
                format!("its reference gives {given} as output {number}, and its shape rule promises {promised}");
            return wrong(reason);
        }
    }
    Ok(results)
}
