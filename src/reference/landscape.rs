//! A loss as a function of one leaf at a time, in float64: whether a gradient is the derivative along a direction.

use super::{Precision, evaluate};
use crate::base::{Generator, Result, Value};
use crate::record::{EvalContext, Leaf, Node, NodeId, NodeKind, Recording, TensorId};
use ndarray::ArrayD;
use serde::Serialize;
use std::sync::Arc;

/// How far a gradient may be from a difference, relative to what a derivative along such a direction is on average.
const TOLERANCE: f64 = 1e-6;
/// Differences that are less certain than this, relative to the same, decide nothing.
const CERTAIN: f64 = 1e-3;
/// Steps relative to the elements, in the order in which they are tried. With Richardson's extrapolation truncation is of the
/// fourth order, so that the first suits most; smaller ones pass between kinks, larger ones drown less in rounding.
const STEPS: [f64; 6] = [1e-4, 1e-5, 1e-6, 1e-3, 1e-7, 1e-2];
/// The rounding of a loss, in units of its last place, that is reckoned with.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// A gradient that would change the loss by less than this share of it, were all elements to move by their own size, is zero
/// but for rounding.
const FLAT: f64 = 1e-11;

/// What a comparison along one direction found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Gradient and difference agree.
    Agrees,
    /// Gradient and differences are zero, up to rounding.
    Flat,
    /// The loss has a kink or a jump at this very point, where no difference tells the derivative.
    NotSmooth,
    /// Differences are too uncertain to tell: the gradient is very small, or kinks lie very close.
    Unclear,
    /// The differences agree with one another, and not with the gradient.
    Differs,
    /// The loss or the gradient is NaN or infinite.
    NotFinite,
}

/// A gradient and the differences of the loss along one direction, whose elements are normally distributed with the deviation of
/// the leaf's own elements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slope {
    /// The product of gradient and direction.
    pub derivative: f64,
    /// The central difference, extrapolated.
    pub difference: f64,
    /// How far the difference may be off, judged by another step.
    pub uncertainty: f64,
    /// The difference between both, relative to the root mean square of such derivatives, or to the difference where that is
    /// greater.
    pub error: f64,
    /// The step.
    pub step: f64,
    /// What follows.
    pub outcome: Outcome,
}

/// A scalar of a recording around a point.
#[derive(Debug)]
pub struct Landscape<'a> {
    recording: &'a Recording,
    loss: TensorId,
    cx: EvalContext,
    /// Everything that the loss depends on, at the point.
    values: Vec<Vec<Option<Arc<Value<f64>>>>>,
}

impl<'a> Landscape<'a> {
    /// The point at which the leaves have these values.
    ///
    /// # Errors
    /// Those of `leaf`.
    pub fn new(
        recording: &'a Recording,
        loss: TensorId,
        cx: EvalContext,
        leaf: impl FnMut(NodeId, &Node, &Leaf) -> Result<Arc<Value<f64>>>,
    ) -> Result<Self> {
        let needed = recording.reached_from([loss]);
        let outputs = |index: usize, node: &Node| {
            let outputs = 0..node.outputs.len() as u32;
            outputs.map(move |output| TensorId { node: NodeId(index as u32), output })
        };
        let all: Vec<TensorId> = recording
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| needed[*index])
            .flat_map(|(index, node)| outputs(index, node))
            .collect();
        let evaluation = evaluate::<f64>(recording, &all, &cx, leaf)?;
        let value = |tensor: TensorId| evaluation.get(tensor).cloned();
        let values =
            recording.nodes.iter().enumerate().map(|(index, node)| outputs(index, node).map(value).collect()).collect();
        Ok(Self { recording, loss, cx, values })
    }

    /// A tensor at the point, if the loss depends on it.
    #[must_use]
    pub fn value(&self, tensor: TensorId) -> Option<&Arc<Value<f64>>> {
        self.values.get(tensor.node.index())?.get(tensor.output as usize)?.as_ref()
    }

    /// The loss at the point.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.value(self.loss).map_or(f64::NAN, |loss| loss.real().iter().sum())
    }

    /// The loss where a leaf has another value. What is detached stays as it is at the point: gradients do not pass there, so
    /// differences must not either.
    #[must_use]
    pub fn at(&self, leaf: NodeId, value: ArrayD<f64>) -> f64 {
        let mut moved: Vec<Option<Vec<Arc<Value<f64>>>>> = vec![None; self.recording.nodes.len()];
        moved[leaf.index()] = Some(vec![Arc::new(Value::Real(value))]);
        let last = self.loss.node.index();
        for (index, node) in self.recording.nodes.iter().enumerate().take(last + 1).skip(leaf.index() + 1) {
            let NodeKind::Op(op) = &node.kind else { continue };
            let is_moved = node.inputs.iter().any(|input| moved[input.node.index()].is_some());
            if !is_moved || self.values[index].iter().all(Option::is_none) || node.name() == "detach" {
                continue;
            }
            let inputs: Vec<&Value<f64>> = node
                .inputs
                .iter()
                .filter_map(|input| match &moved[input.node.index()] {
                    Some(outputs) => outputs.get(input.output as usize).map(AsRef::as_ref),
                    None => self.value(*input).map(AsRef::as_ref),
                })
                .collect();
            moved[index] = Some(f64::eval(op.as_ref(), &inputs, &self.cx).into_iter().map(Arc::new).collect());
        }
        match &moved[last] {
            Some(outputs) => outputs[self.loss.output as usize].real().iter().sum(),
            None => self.loss(),
        }
    }

    /// The size of the elements of a leaf: their root mean square, between 0.01 and 1.
    #[must_use]
    pub fn scale(value: &ArrayD<f64>) -> f64 {
        let squares = value.iter().map(|x| x * x).sum::<f64>() / value.len().max(1) as f64;
        squares.sqrt().clamp(1e-2, 1.0)
    }

    /// A random direction for a leaf.
    pub fn direction(value: &ArrayD<f64>, generator: &mut Generator) -> ArrayD<f64> {
        let scale = Self::scale(value);
        ArrayD::from_shape_fn(value.raw_dim(), |_| generator.normal(0.0, scale))
    }

    /// Compares the gradient of a leaf with differences of the loss along a direction. The gradient of a leaf that has none is
    /// zero. `None` where the loss does not depend on the leaf.
    #[must_use]
    pub fn slope(&self, leaf: NodeId, gradient: Option<&ArrayD<f64>>, direction: &ArrayD<f64>) -> Option<Slope> {
        let value = self.value(TensorId { node: leaf, output: 0 })?.real();
        let derivative = gradient.map_or(0.0, |gradient| (gradient * direction).sum());
        let norm = gradient.map_or(0.0, |gradient| gradient.iter().map(|g| g * g).sum::<f64>().sqrt());
        let line = Line {
            origin: self.loss(),
            at: &|step: f64| self.at(leaf, value + &(direction * step)),
            derivative,
            // The root mean square of the derivative over such directions.
            usual: norm * Self::scale(value),
        };
        Some(line.slope())
    }
}

/// The loss along a line.
struct Line<'a> {
    origin: f64,
    at: &'a dyn Fn(f64) -> f64,
    derivative: f64,
    usual: f64,
}

impl Line<'_> {
    fn slope(&self) -> Slope {
        if !(self.origin.is_finite() && self.derivative.is_finite() && self.usual.is_finite()) {
            return self.compared([f64::NAN; 2], 0.0, Outcome::NotFinite);
        }
        if self.usual <= FLAT * self.origin.abs() {
            let [difference, uncertainty] = self.central(STEPS[5]);
            // Both bounds are far above rounding and far below what a wrong gradient leaves out.
            if difference.abs().max(uncertainty) <= 1e-9 * self.origin.abs() {
                return self.compared([difference, uncertainty], STEPS[5], Outcome::Flat);
            }
        }
        let mut best = self.compared([f64::NAN, f64::INFINITY], 0.0, Outcome::NotFinite);
        let mut differences = Vec::new();
        for step in STEPS {
            let slope = self.compared(self.central(step), step, Outcome::Agrees);
            if !slope.difference.is_finite() {
                continue;
            }
            if slope.error <= TOLERANCE {
                return slope;
            }
            differences.push(slope.difference);
            if slope.uncertainty < best.uncertainty {
                best = slope;
            }
        }
        if best.uncertainty.is_infinite() {
            return best;
        }
        let scale = self.scale(best.difference);
        let (is_certain, agrees) = (best.uncertainty <= CERTAIN * scale, best.error * scale <= 4.0 * best.uncertainty);
        // Two steps may agree by chance: another one has to be nearer to them than the gradient is.
        let apart = (best.derivative - best.difference).abs();
        let nearer = differences.iter().filter(|other| (*other - best.difference).abs() <= 0.25 * apart).count();
        best.outcome = match (is_certain, agrees) {
            (true, true) => Outcome::Agrees,
            _ if self.has_kink(scale) => Outcome::NotSmooth,
            (true, false) if nearer > 1 => Outcome::Differs,
            _ => Outcome::Unclear,
        };
        best
    }

    fn scale(&self, difference: f64) -> f64 {
        self.usual.max(difference.abs()).max(f64::MIN_POSITIVE)
    }

    fn compared(&self, [difference, uncertainty]: [f64; 2], step: f64, outcome: Outcome) -> Slope {
        let error = (self.derivative - difference).abs() / self.scale(difference);
        Slope { derivative: self.derivative, difference, uncertainty, error, step, outcome }
    }

    /// The central difference by Richardson's extrapolation, and how far it may be off.
    fn central(&self, step: f64) -> [f64; 2] {
        let difference = |step: f64| {
            let (ahead, behind) = ((self.at)(step), (self.at)(-step));
            ((ahead - behind) / (2.0 * step), ROUNDING * ahead.abs().max(behind.abs()) / step)
        };
        let ((whole, _), (half, rounding)) = (difference(step), difference(step / 2.0));
        [(4.0 * half - whole) / 3.0, (half - whole).abs() + rounding]
    }

    /// Whether the derivatives from both sides differ however small the step.
    fn has_kink(&self, scale: f64) -> bool {
        let jump = |step: f64| {
            let side = |step: f64| {
                let slope = |step: f64| ((self.at)(step) - self.origin) / step;
                2.0 * slope(step / 2.0) - slope(step)
            };
            side(step) - side(-step)
        };
        let (wide, narrow) = (jump(1e-5), jump(1e-6));
        let least = (10.0 * TOLERANCE * scale).max(8.0 * ROUNDING * self.origin.abs() / 1e-6);
        // Not `<`, which NaN would fail.
        narrow.abs() > least && wide.abs() > least && narrow.abs() > 0.5 * wide.abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(derivative: f64, at: impl Fn(f64) -> f64) -> Outcome {
        Line { origin: at(0.0), at: &at, derivative, usual: derivative.abs() }.slope().outcome
    }

    #[test]
    fn right_and_wrong_slopes_are_told_apart() {
        assert_eq!(outcome(1.0, f64::exp), Outcome::Agrees);
        assert_eq!(outcome(1.0 + 1e-5, f64::exp), Outcome::Differs);
        assert_eq!(outcome(0.0, f64::exp), Outcome::Differs);
        assert_eq!(outcome(0.0, |_| 3.0), Outcome::Flat);
        assert_eq!(outcome(1e-3, |_| 3.0), Outcome::Differs);
        assert_eq!(outcome(f64::NAN, f64::exp), Outcome::NotFinite);
        assert_eq!(outcome(1.0, |_| f64::NAN), Outcome::NotFinite);
    }

    #[test]
    fn kinks_are_neither_right_nor_wrong_unless_they_lie_elsewhere() {
        // At the point itself.
        assert_eq!(outcome(0.0, |t| 1.0 + t.max(0.0)), Outcome::NotSmooth);
        assert_eq!(outcome(0.5, |t| 1.0 + t.abs() + t), Outcome::NotSmooth);
        // Within the first step, and within most: smaller ones pass by.
        for distance in [3e-5, 2e-6, 3e-7] {
            assert_eq!(outcome(0.0, |t| 1.0 + (t - distance).max(0.0)), Outcome::Agrees, "{distance}");
            assert_eq!(outcome(2.0, |t| 1.0 + (t + distance).max(0.0)), Outcome::Differs, "{distance}");
        }
    }

    #[test]
    fn what_drowns_in_rounding_is_unclear() {
        assert_eq!(outcome(1e-9, |t| 1.0 + 1e-3 * (t * 1e9).sin() * 1e-9), Outcome::Unclear);
    }
}
