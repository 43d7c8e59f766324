//! The gradients and losses that a device computes.

use super::report::DeviceGradient;
use super::walk::{Leaves, Target, Walk, norm};
use crate::base::{Generator, HostTensor, Result};
use crate::dispatch::{Device, State};
use crate::record::{Feed, Params, TensorId};
use crate::reference::Landscape;
use crate::train::Step;
use crate::train::draft::Draft;
use crate::train::recover::Snapshots;
use crate::train::source::Source;
use ndarray::ArrayD;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How far ahead and behind the loss is looked at, relative to the size of elements: farther than in float64, as it is rounded to
/// some seven digits.
const STEP: f64 = 1e-2;
/// How far a gradient may be from that in float64, where the reference in float32 is near.
const TOLERANCE: f64 = 1e-4;
/// How far it may be at most, however inexact float32 is there.
const MOST: f64 = 1e-2;
/// How many times the error of the reference in float32 is allowed: kernels add up in another order.
const SHARE: f64 = 10.0;
/// So many times the least gradient that moves the loss may be rounding.
const LAST_DIGITS: f64 = 64.0;
/// The rounding of a loss that is reckoned with, relative to it.
const ROUNDING: f64 = 64.0 * f32::EPSILON as f64;

/// What a device should come to.
pub(super) struct Wanted<'a> {
    /// The gradient in float64.
    pub gradient: &'a ArrayD<f64>,
    /// That of the reference in float32, which rounds as well.
    pub rounded: &'a ArrayD<f32>,
    /// The loss in float64.
    pub loss: f64,
    /// What rounding may do to the loss.
    pub noise: f64,
}

/// A step that computes the loss and its gradients.
pub(super) struct OnDevice<'f> {
    step: Step,
    feeds: &'f [Feed<'f>],
    pub loss: f64,
    gradients: BTreeMap<TensorId, HostTensor>,
}

impl<'f> OnDevice<'f> {
    pub async fn new(
        walk: &Walk,
        draft: Draft,
        device: &Device,
        params: &Params,
        feeds: &'f [Feed<'f>],
    ) -> Result<Self> {
        let state = State::new_async(device, params).await?;
        let source = Source::new(draft, None, Vec::new(), false);
        let mut step = Step::new(source, &state, None, Snapshots::default()).await?;
        step.run(feeds)?;
        let loss = step.begin_read(walk.loss)?.finish().await?;
        let mut gradients = BTreeMap::new();
        for gradient in walk.gradients() {
            gradients.insert(gradient, step.begin_read(gradient)?.finish().await?);
        }
        Ok(Self { step, feeds, loss: f64::from(loss.item()), gradients })
    }

    /// Compares the gradient of a tensor with what it should be, and what the loss does with what the gradient says.
    pub async fn gradient(
        &mut self,
        walk: &Walk,
        target: &Target,
        wanted: &Wanted<'_>,
        leaves: &Leaves,
        mut generator: Generator,
    ) -> Result<Option<DeviceGradient>> {
        let got = target.gradient.and_then(|gradient| self.gradients.get(&gradient));
        let (Some(leaf), Some(got)) = (target.leaf, got) else { return Ok(None) };
        let Some(value) = leaves.get(&leaf.node) else { return Ok(None) };
        let value = value.to_array().mapv(f64::from);
        // Not that of the device, which may be infinite and would excuse everything.
        let Wanted { gradient, rounded, loss, noise } = wanted;
        let loss = loss.abs();
        // A gradient that moves the loss by less than its last digit, were all elements to move by their own size, is rounding.
        let least = f64::from(f32::EPSILON) * loss / Landscape::scale(&value);
        let size = norm(gradient).max(least).max(f64::MIN_POSITIVE);
        let error = norm(&(got.to_array().mapv(f64::from) - *gradient)) / size;
        let allowed = allowed(norm(&(rounded.mapv(f64::from) - *gradient)) / size, least / size);

        let direction = Landscape::direction(&value, &mut generator) * STEP;
        let mut change = [0.0; 2];
        for sign in [1.0, -1.0] {
            let moved = (&value + &(&direction * sign)).mapv(|x| x as f32);
            let moved = HostTensor::from(&moved);
            change[0] += sign * self.loss_at(walk, target, leaf, &moved).await?;
            change[1] += sign * walk.loss_at(leaf, moved, leaves)?;
        }
        let [change, reference_change] = change;
        let change_allowed = 2.0 * (ROUNDING * loss).max(*noise) + 1e-3 * reference_change.abs();
        Ok(Some(DeviceGradient { error, allowed, change, reference_change, change_allowed }))
    }

    /// The loss where a tensor has another value.
    async fn loss_at(&mut self, walk: &Walk, target: &Target, leaf: TensorId, value: &HostTensor) -> Result<f64> {
        // The key of random streams follows from the number of the run.
        self.step.rewind();
        if target.is_input {
            let feeds: Vec<Feed<'_>> = self
                .feeds
                .iter()
                .map(|feed| {
                    let data = if feed.tensor == leaf { value.data() } else { feed.data.as_ref() };
                    Feed { data: Cow::Borrowed(data), shape: feed.shape.clone(), ..*feed }
                })
                .collect();
            self.step.run(feeds)?;
        } else {
            let before = self.step.state().parameter_async(&target.name).await?;
            self.step.state().set_parameter(&target.name, value.clone())?;
            self.step.run(self.feeds)?;
            self.step.state().set_parameter(&target.name, before)?;
        }
        Ok(f64::from(self.step.begin_read(walk.loss)?.finish().await?.item()))
    }
}

/// How far a gradient may be from that in float64, relative to its size, where the reference in float32 is so far, and the least
/// gradient that moves the loss at all is so large.
fn allowed(rounding: f64, least: f64) -> f64 {
    // Where float32 does not reach, its reference excuses nothing.
    if !rounding.is_finite() {
        return TOLERANCE;
    }
    // A gradient near the least one is made of last digits.
    let most = MOST.max(LAST_DIGITS * least);
    (SHARE * rounding).clamp(TOLERANCE, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_of_the_reference_excuses_no_more_than_rounding() {
        assert_eq!(allowed(0.0, 0.0), TOLERANCE);
        assert_eq!(allowed(5e-4, 0.0), 5e-3);
        assert_eq!(allowed(0.5, 1e-5), MOST);
        assert_eq!(allowed(f64::INFINITY, 0.0), TOLERANCE);
        assert_eq!(allowed(f64::NAN, 0.0), TOLERANCE);
        // Sums that cancel to zero.
        assert_eq!(allowed(0.5, 1.0), 5.0);
        assert_eq!(allowed(1e9, 1.0), LAST_DIGITS);
    }
}
