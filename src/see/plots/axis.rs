//! Ranges of axes, and where numbers stand on them.

use crate::see::text::{number, width};
use std::ops::Range;

/// Beyond this, numbers cannot be drawn: their differences would overflow.
pub const MOST: f64 = 1e100;

/// One axis of a plot.
#[derive(Clone, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    /// Whether it shows powers of ten of what is drawn.
    logarithmic: bool,
    /// Whether only whole numbers stand on it.
    whole: bool,
}

impl Axis {
    /// That of these values, with a little room on both sides; of logarithms to base 10 where `logarithmic`. Values that are
    /// not finite do not count; where there are none at all, it is 0 to 1.
    pub fn around(values: impl Iterator<Item = f64>, room: f64, logarithmic: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Of values that are all the same, or nearly, the axis shows some surroundings.
        let least = if logarithmic { 0.2 } else { (low.abs().max(high.abs()) * 1e-6).max(1e-12) };
        if high - low < least {
            let around = if logarithmic { 0.5 } else { (low.abs() * 0.1).max(least) };
            return Self { low: low - around, high: high + around, logarithmic, whole: false };
        }
        let room = (high - low) * room;
        Self { low: low - room, high: high + room, logarithmic, whole: false }
    }

    /// From a number to a greater one.
    pub const fn exactly(low: f64, high: f64) -> Self {
        Self { low, high, logarithmic: false, whole: false }
    }

    /// That of counts up to this.
    pub fn counts(most: f64) -> Self {
        Self { low: 0.0, high: most.max(1.0) * 1.08, logarithmic: false, whole: true }
    }

    pub fn range(&self) -> Range<f64> {
        self.low..self.high
    }

    /// Where at most so many numbers stand: at multiples of 1, 2 or 5 times a power of ten, or at powers of ten.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        if self.logarithmic {
            let decades = self.high - self.low;
            if decades < 1.5 {
                let tens = self.low.floor() as i32..=self.high.ceil() as i32;
                let within = |exponent: &f64| (self.low..=self.high).contains(exponent);
                let factors: &[f64] = if decades < 0.7 { &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0] } else { &[1.0, 2.0, 5.0] };
                let all = tens.flat_map(|ten| factors.iter().map(move |factor| f64::from(ten) + factor.log10()));
                return all.filter(within).collect();
            }
            let step = (decades / most as f64).ceil().max(1.0);
            return multiples(self.low, self.high, step);
        }
        multiples(self.low, self.high, self.step(most))
    }

    /// How many numbers may stand on so many pixels, such that there is room between them.
    pub fn fitting(&self, pixels: f64, size: f64) -> usize {
        let takes = |most: usize| -> f64 {
            self.ticks(most).iter().map(|tick| width(&self.label(*tick, most), size) + 16.0).sum()
        };
        (2..=(pixels / 40.0) as usize).rev().find(|&most| takes(most) <= pixels).unwrap_or(2)
    }

    fn step(&self, most: usize) -> f64 {
        let least = (self.high - self.low) / most.max(1) as f64;
        let ten = 10f64.powf(least.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * ten).find(|step| *step >= least).unwrap_or(least);
        if self.whole { step.max(1.0) } else { step }
    }

    /// What stands at a tick.
    pub fn label(&self, tick: f64, most: usize) -> String {
        if self.logarithmic {
            return number(10f64.powf(tick));
        }
        let step = self.step(most);
        // A rounding error of a step is none of a number beside it.
        let tick = if tick.abs() < step * 1e-6 { 0.0 } else { tick };
        let size = self.low.abs().max(self.high.abs());
        if !(1e-3..1e6).contains(&size) {
            let digits = (size.log10().floor() - step.log10().floor()).clamp(0.0, 12.0) as usize;
            return if tick == 0.0 { "0".into() } else { format!("{tick:.digits$e}") };
        }
        let digits = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        format!("{tick:.digits$}")
    }
}

/// The multiples of a step within a range, of which there are never very many.
fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    let first = (low / step).ceil();
    (0..64).map(|place| (first + f64::from(place)) * step).take_while(|tick| *tick <= high + step * 1e-9).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_an_axis_are_round_and_differ() {
        for values in [
            vec![0.0, 1.0],
            vec![1000.1, 1000.2],
            vec![-3e38, 3e38],
            vec![1e-30, 2e-30],
            vec![5.0],
            vec![],
            vec![f64::NAN, 2.0, f64::INFINITY, 3.0],
            vec![0.0, 1e99],
            vec![-MOST, MOST],
        ] {
            let axis = Axis::around(values.iter().copied(), 0.05, false);
            let ticks = axis.ticks(8);
            let mut labels: Vec<String> = ticks.iter().map(|tick| axis.label(*tick, 8)).collect();
            assert!((2..=10).contains(&labels.len()), "{values:?}: {labels:?}");
            labels.dedup();
            assert_eq!(labels.len(), ticks.len(), "{values:?}: {labels:?}");
            assert!(labels.iter().all(|label| label.len() < 16), "{labels:?}");
        }
        let axis = Axis::around([0.0, 1.0].into_iter(), 0.0, false);
        let labels: Vec<String> = axis.ticks(5).iter().map(|tick| axis.label(*tick, 5)).collect();
        assert_eq!(labels, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let axis = Axis::around([-4.0, 1.0].into_iter(), 0.0, true);
        let labels: Vec<String> = axis.ticks(8).iter().map(|tick| axis.label(*tick, 8)).collect();
        assert_eq!(labels, ["1e-4", "0.001", "0.01", "0.1", "1", "10"]);
    }
}
