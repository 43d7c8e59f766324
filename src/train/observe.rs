//! Helpers that look at a value after every epoch, such as the loss on held-out data.

use crate::base::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// The best value so far, and how many have come since.
#[derive(Clone, Debug, PartialEq)]
struct Best {
    higher_is_better: bool,
    min_delta: f64,
    value: Option<f64>,
    since: u32,
}

impl Best {
    const fn new() -> Self {
        Self { higher_is_better: false, min_delta: 0.0, value: None, since: 0 }
    }

    /// Whether this value is better than all before, by more than the least difference. NaN never is.
    fn improves(&mut self, value: f64) -> bool {
        let better = match self.value {
            None => !value.is_nan(),
            Some(best) if self.higher_is_better => value > best + self.min_delta,
            Some(best) => value < best - self.min_delta,
        };
        if better {
            (self.value, self.since) = (Some(value), 0);
        } else {
            self.since = self.since.saturating_add(1);
        }
        better
    }
}

/// What a helper has seen so far, without its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    best: Option<f64>,
    since: u32,
    factor: f64,
    resting: u32,
}

/// Tells when training no longer helps: a value, such as the loss on held-out data, has not become better for a while.
///
/// ```
/// use retrograd::train::EarlyStopping;
///
/// let mut stopping = EarlyStopping::new(2).min_delta(0.01);
/// let stops: Vec<bool> = [0.9, 0.5, 0.495, 0.6].into_iter().map(|loss| stopping.observe(loss)).collect();
/// assert_eq!((stops, stopping.best()), (vec![false, false, false, true], Some(0.5)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    patience: u32,
    best: Best,
}

impl EarlyStopping {
    /// Stops at the value of this number in a row that is not better than the best; at the first where it is 0 or 1.
    #[must_use]
    pub const fn new(patience: u32) -> Self {
        Self { patience, best: Best::new() }
    }

    /// By how much more a value must differ from the best to count as better; NaN is as good as 0.
    #[must_use]
    pub const fn min_delta(mut self, min_delta: f64) -> Self {
        self.best.min_delta = if min_delta.is_nan() { 0.0 } else { min_delta };
        self
    }

    /// For values such as an accuracy, of which higher ones are better.
    #[must_use]
    pub const fn higher_is_better(mut self) -> Self {
        self.best.higher_is_better = true;
        self
    }

    /// Takes the next value, and returns whether to stop. NaN is never better than anything.
    pub fn observe(&mut self, value: f64) -> bool {
        !self.best.improves(value) && self.best.since >= self.patience
    }

    /// Whether the value that was observed last is the best so far: the moment to save.
    #[must_use]
    pub const fn is_best(&self) -> bool {
        self.best.value.is_some() && self.best.since == 0
    }

    /// The best value so far.
    #[must_use]
    pub const fn best(&self) -> Option<f64> {
        self.best.value
    }

    /// Whether the last value was one at which training stops.
    #[must_use]
    pub const fn has_stopped(&self) -> bool {
        self.best.since > 0 && self.best.since >= self.patience
    }

    /// What it has seen, for a checkpoint.
    pub(crate) const fn seen(&self) -> Seen {
        Seen { best: self.best.value, since: self.best.since, factor: 1.0, resting: 0 }
    }

    /// Goes on from what one of perhaps other settings has seen.
    pub(crate) const fn go_on(&mut self, seen: &Seen) {
        (self.best.value, self.best.since) = (seen.best, seen.since);
    }

    pub(crate) const fn set_direction(&mut self, higher_is_better: bool) {
        self.best.higher_is_better = higher_is_better;
    }
}

/// Lowers the learning rate where a value, such as the loss on held-out data, has not become better for a while.
///
/// It gives a factor, for [`Step::set_learning_rate`](crate::Step::set_learning_rate):
/// `step.set_learning_rate(rate * plateau.observe(loss))`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceOnPlateau {
    reduction: f64,
    patience: u32,
    cooldown: u32,
    lowest: f64,
    factor: f64,
    resting: u32,
    best: Best,
}

impl ReduceOnPlateau {
    /// Multiplies by `factor` once more than `patience` values in a row are not better than the best, as `PyTorch` does.
    ///
    /// # Errors
    /// When the factor is not above 0 and below 1.
    pub fn new(factor: f64, patience: u32) -> Result<Self> {
        if !(factor > 0.0 && factor < 1.0) {
            let message = format!("reduce on plateau: factor is {factor} and must be above 0 and below 1");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let best = Best::new();
        Ok(Self { reduction: factor, patience, cooldown: 0, lowest: 0.0, factor: 1.0, resting: 0, best })
    }

    /// So many values after a reduction do not count against the next.
    #[must_use]
    pub const fn cooldown(mut self, cooldown: u32) -> Self {
        self.cooldown = cooldown;
        self
    }

    /// The factor never falls below this; it never rises either, so one that is below it already stays. NaN is as good as 0.
    #[must_use]
    pub const fn lowest(mut self, lowest: f64) -> Self {
        self.lowest = lowest;
        self
    }

    /// By how much more a value must differ from the best to count as better; NaN is as good as 0.
    #[must_use]
    pub const fn min_delta(mut self, min_delta: f64) -> Self {
        self.best.min_delta = if min_delta.is_nan() { 0.0 } else { min_delta };
        self
    }

    /// For values such as an accuracy, of which higher ones are better.
    #[must_use]
    pub const fn higher_is_better(mut self) -> Self {
        self.best.higher_is_better = true;
        self
    }

    /// Takes the next value, and returns the factor of the learning rate from now on.
    pub fn observe(&mut self, value: f64) -> f64 {
        self.best.improves(value);
        if self.resting > 0 {
            self.resting -= 1;
            self.best.since = 0;
        }
        if self.best.since > self.patience {
            self.factor = (self.factor * self.reduction).max(self.lowest).min(self.factor);
            self.resting = self.cooldown;
            self.best.since = 0;
        }
        self.factor
    }

    /// The factor as it is.
    #[must_use]
    pub const fn factor(&self) -> f64 {
        self.factor
    }

    /// What it has seen, for a checkpoint.
    pub(crate) const fn seen(&self) -> Seen {
        Seen { best: self.best.value, since: self.best.since, factor: self.factor, resting: self.resting }
    }

    /// Goes on from what one of perhaps other settings has seen.
    pub(crate) const fn go_on(&mut self, seen: &Seen) {
        (self.best.value, self.best.since) = (seen.best, seen.since);
        (self.factor, self.resting) = (seen.factor, seen.resting);
    }

    pub(crate) const fn set_direction(&mut self, higher_is_better: bool) {
        self.best.higher_is_better = higher_is_better;
    }
}
