//! The test of gradients in float64, and the report.

use super::GradientTest;
use super::device::{OnDevice, Wanted};
use super::report::{GradientReport, GradientRow, GradientVerdict, Suspect};
use super::walk::{Target, Walk, missing, norm};
use crate::base::{Generator, Result, Value};
use crate::record::{Feed, Leaf, Node, NodeId, Params};
use crate::reference::{Evaluation, Landscape, Outcome, Slope, evaluate, wrong_rules};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far the point nearby lies, relative to the size of elements.
const NEARBY: f64 = 1e-2;

impl Walk {
    /// The test.
    pub async fn report(
        &self,
        test: &GradientTest<'_>,
        params: &Params,
        device: &mut OnDevice<'_>,
        feeds: &[Feed<'_>],
    ) -> Result<GradientReport> {
        let leaves = self.leaves(params, feeds);
        let point: BTreeMap<NodeId, Arc<Value<f64>>> =
            leaves.iter().map(|(&node, value)| (node, Arc::new(Value::from_host(value)))).collect();
        let here = self.point(&point)?;
        let generator = |target: &Target| Generator::named(test.seed, &target.name);
        let mut rows = Vec::new();
        for target in &self.targets {
            let slopes = here.slopes(target, test.directions, &mut generator(target));
            rows.push((target, slopes));
        }
        let [gradients, loss] = [self.gradients(), vec![self.loss]];
        let reference = self.evaluate::<f32>(&[gradients, loss].concat(), &leaves)?;
        let value = here.landscape.loss();
        let rounded = reference.get(self.loss).map_or(f64::NAN, |loss| f64::from(loss.real().iter().sum::<f32>()));
        // What rounding in float32 does to the loss, by another order of sums ten times as much.
        // Where float32 does not reach, nothing is excused by it.
        let noise = Some(10.0 * (rounded - value).abs()).filter(|noise| noise.is_finite()).unwrap_or(0.0);
        let is_open = |slope: &Slope| matches!(slope.outcome, Outcome::NotSmooth | Outcome::Unclear);
        let mut nearby = None;
        if rows.iter().any(|(_, slopes)| slopes.iter().any(is_open)) {
            nearby = Some(self.point(&self.moved(&point, test.seed))?);
        }
        let mut done = Vec::new();
        for (target, slopes) in rows {
            let open = slopes.iter().any(is_open);
            let nearby = match &nearby {
                Some(nearby) if open => nearby.slopes(target, test.directions, &mut generator(target)),
                _ => Vec::new(),
            };
            let gradient = target.gradient.and_then(|gradient| here.gradients.get(gradient)).map(|value| value.real());
            let (verdict, error) = GradientRow::judge(&slopes, &nearby, target.gradient.is_some());
            let on_device = match (gradient, target.gradient.and_then(|gradient| reference.get(gradient))) {
                (Some(gradient), Some(rounded)) => {
                    let wanted = Wanted { gradient, rounded: rounded.real(), loss: value, noise };
                    device.gradient(self, target, &wanted, &leaves, generator(target)).await?
                }
                _ => None,
            };
            done.push(GradientRow {
                name: target.name.clone(),
                is_input: target.is_input,
                shape: target.shape.clone(),
                norm: gradient.map_or(0.0, norm),
                error,
                slopes,
                nearby,
                verdict,
                device: on_device,
            });
        }
        let mut suspects = Vec::new();
        for point in [Some(&here), nearby.as_ref()].into_iter().flatten() {
            if suspects.is_empty() && done.iter().any(|row| row.verdict == GradientVerdict::Wrong) {
                suspects = self.suspects(point, test.seed)?;
            }
        }
        let location = &self.recording.node(self.loss).place.location;
        Ok(GradientReport {
            loss: format!("{} at {location}", self.recording.tensor_type(self.loss)),
            device: test.device.name(),
            value,
            device_value: device.loss,
            device_allowed: 1e-5 * value.abs() + noise,
            directions: test.directions,
            rows: done,
            suspects,
            ends: self.ends.clone(),
        })
    }

    fn point(&self, leaves: &BTreeMap<NodeId, Arc<Value<f64>>>) -> Result<Point<'_>> {
        let value = |id: NodeId, node: &Node, leaf: &Leaf| match leaf {
            Leaf::Constant(tensor) => Ok(Arc::new(Value::from_host(tensor))),
            _ => leaves.get(&id).cloned().ok_or_else(|| missing(node)),
        };
        let gradients = evaluate::<f64>(&self.recording, &self.gradients(), &self.cx, value)?;
        Ok(Point { landscape: Landscape::new(&self.recording, self.loss, self.cx, value)?, gradients })
    }

    /// The point with everything that is tested moved a little, off kinks.
    fn moved(&self, point: &BTreeMap<NodeId, Arc<Value<f64>>>, seed: u64) -> BTreeMap<NodeId, Arc<Value<f64>>> {
        let mut moved = point.clone();
        for target in &self.targets {
            let Some(node) = target.leaf.map(|leaf| leaf.node) else { continue };
            if let Some(value) = moved.get_mut(&node) {
                let mut generator = Generator::named(seed, &format!("near {}", target.name));
                let direction = Landscape::direction(value.real(), &mut generator);
                *value = Arc::new(Value::Real(value.real() + &(direction * NEARBY)));
            }
        }
        moved
    }

    /// The ops whose own rules are wrong.
    fn suspects(&self, point: &Point<'_>, seed: u64) -> Result<Vec<Suspect>> {
        let mut suspects = Vec::new();
        for &id in &self.ops {
            let mut generator = Generator::named(seed, &format!("op {}", id.0));
            for wrong in wrong_rules(&self.recording, id, &point.landscape, self.cx, &mut generator)? {
                let node = &self.recording.nodes[id.index()];
                suspects.push(Suspect {
                    op: node.label(),
                    location: node.place.location.clone(),
                    scope: node.place.scope.clone(),
                    input: wrong.input,
                    has_gradient: wrong.has_gradient,
                    slope: wrong.slope,
                });
            }
        }
        Ok(suspects)
    }
}

/// The loss and its gradients at a point.
struct Point<'a> {
    landscape: Landscape<'a>,
    gradients: Evaluation<f64>,
}

impl Point<'_> {
    /// The gradient of a tensor along random directions.
    fn slopes(&self, target: &Target, directions: usize, generator: &mut Generator) -> Vec<Slope> {
        let gradient = target.gradient.and_then(|gradient| self.gradients.get(gradient)).map(|value| value.real());
        // An input that nothing comes back to is nobody's concern: as targets and masks, which count as constant.
        let Some(leaf) = target.leaf.filter(|_| !target.is_input || gradient.is_some()) else { return Vec::new() };
        let Some(value) = self.landscape.value(leaf) else { return Vec::new() };
        let slope = |_| {
            let direction = Landscape::direction(value.real(), generator);
            self.landscape.slope(leaf.node, gradient, &direction)
        };
        (0..directions).filter_map(slope).collect()
    }
}
