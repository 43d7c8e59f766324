use super::evaluate;
use crate::base::{Error, ErrorKind, Generator, HostTensor, Result, Value};
use crate::record::{EvalContext, Leaf, NodeId, Recording, TensorId};
use ndarray::ArrayD;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a comparison of recorded gradients with central differences found.
#[derive(Clone, Debug)]
pub struct GradientCheck {
    /// The greatest difference between a directional derivative and its central difference,
    /// relative to the norms of gradient and direction.
    pub error: f64,
    /// Gradient elements greater than a thousandth of the greatest.
    pub significant: usize,
    /// All gradient elements.
    pub elements: usize,
}

impl GradientCheck {
    /// Whether enough of the gradient is not negligible for the check to mean something: at least
    /// three elements, or all where there are fewer.
    #[must_use]
    pub fn is_meaningful(&self) -> bool {
        self.significant >= self.elements.min(3)
    }
}

/// Compares recorded gradients of a one-element `loss` with central differences, in float64 along
/// `directions` random directions per leaf.
///
/// `gradients` pairs float leaves with the recorded gradients of them; `leaves` holds the values of
/// all inputs and parameters.
///
/// # Errors
/// When a leaf has no value.
pub fn check_gradient(
    recording: &Recording,
    loss: TensorId,
    gradients: &[(NodeId, TensorId)],
    leaves: &BTreeMap<NodeId, HostTensor>,
    directions: usize,
    generator: &mut Generator,
) -> Result<GradientCheck> {
    /// Balances truncation, about h^2, against rounding, about 1e-16 / h.
    const STEP: f64 = 1e-5;
    let base: BTreeMap<NodeId, Arc<Value<f64>>> =
        leaves.iter().map(|(&node, tensor)| (node, Arc::new(Value::from_host(tensor)))).collect();
    let run = |wanted: &[TensorId], moved: Option<(NodeId, Arc<Value<f64>>)>| {
        evaluate::<f64>(recording, wanted, &EvalContext::default(), |id, node, leaf| match (leaf, &moved) {
            (Leaf::Constant(tensor), _) => Ok(Arc::new(Value::from_host(tensor))),
            (_, Some((changed, value))) if *changed == id => Ok(value.clone()),
            _ => base
                .get(&id)
                .cloned()
                .ok_or_else(|| Error::new(ErrorKind::Feed, format!("{} has no value", node.label()))),
        })
    };
    let scalar = |value: &Value<f64>| value.real().iter().sum::<f64>();
    let wanted: Vec<TensorId> = gradients.iter().map(|&(_, gradient)| gradient).collect();
    let evaluated = run(&wanted, None)?;
    let mut check = GradientCheck { error: 0.0, significant: 0, elements: 0 };
    for &(leaf, gradient) in gradients {
        let (Some(gradient), Some(value)) = (evaluated.get(gradient), base.get(&leaf)) else { continue };
        let (gradient, value) = (gradient.real(), value.real());
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let greatest = gradient.iter().fold(0.0f64, |greatest, g| greatest.max(g.abs()));
        check.elements += gradient.len();
        check.significant += gradient.iter().filter(|g| g.abs() > 1e-3 * greatest).count();
        for _ in 0..directions {
            let direction = ArrayD::from_shape_fn(value.raw_dim(), |_| generator.normal(0.0, 1.0));
            let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
            let at = |h: f64| -> Result<f64> {
                let moved = Value::Real(value + &(&direction * (h / length)));
                let evaluated = run(&[loss], Some((leaf, Arc::new(moved))))?;
                Ok(evaluated.get(loss).map_or(f64::NAN, |loss| scalar(loss)))
            };
            let difference = (at(STEP)? - at(-STEP)?) / (2.0 * STEP);
            let derivative = (gradient * &direction).sum() / length;
            let error = (difference - derivative).abs() / norm.max(1e-3);
            // `max` would drop a NaN.
            check.error = if error > check.error || error.is_nan() { error } else { check.error };
        }
    }
    Ok(check)
}
