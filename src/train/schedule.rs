//! Schedules: how the learning rate changes over the updates of a training.
//!
//! A schedule gives a factor of the learning rate for every update, so it goes with any optimizer and with parameter
//! groups, and [`Step::set_learning_rate`](crate::Step::set_learning_rate) still sets what it is a factor of.

use crate::base::{Error, ErrorKind, Result};
use std::f64::consts::PI;
use std::fmt;

/// How the learning rate changes: what [`Training::schedule`](crate::Training::schedule) takes.
pub trait Schedule: Send + Sync + fmt::Debug {
    /// The factor of the learning rate for the update of this number, from 0.
    fn factor(&self, update: u32) -> f64;

    /// Looks at the settings.
    ///
    /// # Errors
    /// When one cannot be used.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// This schedule after `updates` in which the factor rises evenly to f, that of its own update 0: f / updates,
    /// 2 f / updates, .. f. The schedule begins after that, with its own update 0. For those that begin with 1, as all here
    /// but [`OneCycle`], f is 1.
    fn after_warmup(self, updates: u32) -> Warmup<Self>
    where
        Self: Sized,
    {
        Warmup { updates, then: self }
    }
}

fn refuse(schedule: &str, setting: &str, value: impl fmt::Display, allowed: &str) -> Error {
    Error::new(ErrorKind::Argument, format!("{schedule} schedule: {setting} is {value} and must be {allowed}"))
}

fn check_factor(schedule: &str, setting: &str, value: f64) -> Result<()> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(refuse(schedule, setting, value, "finite and at least 0"))
}

fn check_updates(schedule: &str, setting: &str, updates: u32) -> Result<()> {
    if updates > 0 { Ok(()) } else { Err(refuse(schedule, setting, updates, "at least 1")) }
}

/// Always the same: 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant;

impl Schedule for Constant {
    fn factor(&self, _update: u32) -> f64 {
        1.0
    }
}

/// Falls at once, again and again: factor^floor(update / every).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepDecay {
    every: u32,
    factor: f64,
}

impl StepDecay {
    /// Multiplies by `factor` every so many updates.
    #[must_use]
    pub const fn new(every: u32, factor: f64) -> Self {
        Self { every, factor }
    }
}

impl Schedule for StepDecay {
    fn factor(&self, update: u32) -> f64 {
        self.factor.powf(f64::from(update / self.every.max(1)))
    }
    fn check(&self) -> Result<()> {
        check_updates("step", "number of updates", self.every)?;
        check_factor("step", "factor", self.factor)
    }
}

/// Falls by the same factor at every update: factor^update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exponential {
    factor: f64,
}

impl Exponential {
    /// Multiplies by `factor` at every update.
    #[must_use]
    pub const fn new(factor: f64) -> Self {
        Self { factor }
    }
}

impl Schedule for Exponential {
    fn factor(&self, update: u32) -> f64 {
        self.factor.powf(f64::from(update))
    }
    fn check(&self) -> Result<()> {
        check_factor("exponential", "factor", self.factor)
    }
}

/// Falls in a straight line: 1 + (lowest - 1) update / updates, and stays at the lowest after that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    updates: u32,
    lowest: f64,
}

impl Linear {
    /// From 1 to 0 in so many updates.
    #[must_use]
    pub const fn new(updates: u32) -> Self {
        Self { updates, lowest: 0.0 }
    }

    /// Ends at this factor.
    #[must_use]
    pub const fn lowest(self, lowest: f64) -> Self {
        Self { lowest, ..self }
    }
}

impl Schedule for Linear {
    fn factor(&self, update: u32) -> f64 {
        1.0 + (self.lowest - 1.0) * share(update, self.updates)
    }
    fn check(&self) -> Result<()> {
        check_updates("linear", "number of updates", self.updates)?;
        check_factor("linear", "lowest factor", self.lowest)
    }
}

/// Falls along half a wave: lowest + (1 - lowest) (1 + cos(pi update / updates)) / 2, and stays at the lowest after
/// that. Source: Loshchilov, Hutter 2017.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    updates: u32,
    lowest: f64,
}

impl Cosine {
    /// From 1 to 0 in so many updates.
    #[must_use]
    pub const fn new(updates: u32) -> Self {
        Self { updates, lowest: 0.0 }
    }

    /// Ends at this factor.
    #[must_use]
    pub const fn lowest(self, lowest: f64) -> Self {
        Self { lowest, ..self }
    }
}

impl Schedule for Cosine {
    fn factor(&self, update: u32) -> f64 {
        wave(1.0, self.lowest, share(update, self.updates))
    }
    fn check(&self) -> Result<()> {
        check_updates("cosine", "number of updates", self.updates)?;
        check_factor("cosine", "lowest factor", self.lowest)
    }
}

/// Rises to the learning rate and falls below where it began, both along half a wave. Source: Smith, Topin 2018, in the
/// form of `PyTorch`, with two phases.
///
/// With n updates, a rise of r = `rising` n - 1, and s = 1 / `start_divisor`: up to update r from s to 1, and from there
/// to update n - 1 down to s / `end_divisor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    updates: u32,
    rising: f64,
    start_divisor: f64,
    end_divisor: f64,
}

impl OneCycle {
    /// So many updates, of which three tenths rise, from 1 / 25; it ends at 1 / 250,000.
    #[must_use]
    pub const fn new(updates: u32) -> Self {
        Self { updates, rising: 0.3, start_divisor: 25.0, end_divisor: 1e4 }
    }

    /// Which share of the updates rises, above 0 and below 1.
    #[must_use]
    pub const fn rising(self, rising: f64) -> Self {
        Self { rising, ..self }
    }

    /// By what the learning rate is divided at the start, and what that is divided by at the end.
    #[must_use]
    pub const fn divisors(self, start: f64, end: f64) -> Self {
        Self { start_divisor: start, end_divisor: end, ..self }
    }
}

impl Schedule for OneCycle {
    fn factor(&self, update: u32) -> f64 {
        let start = self.start_divisor.recip();
        let (at, last) = (f64::from(update), f64::from(self.updates) - 1.0);
        let top = self.rising * f64::from(self.updates) - 1.0;
        if at <= top && top > 0.0 {
            return wave(start, 1.0, at / top);
        }
        let fall = if last > top { ((at - top) / (last - top)).clamp(0.0, 1.0) } else { 1.0 };
        wave(1.0, start / self.end_divisor, fall)
    }
    fn check(&self) -> Result<()> {
        check_updates("one-cycle", "number of updates", self.updates)?;
        if !(self.rising > 0.0 && self.rising < 1.0) {
            return Err(refuse("one-cycle", "share that rises", self.rising, "above 0 and below 1"));
        }
        for divisor in [self.start_divisor, self.end_divisor] {
            if !(divisor > 0.0 && divisor.is_finite()) {
                return Err(refuse("one-cycle", "divisor", divisor, "positive and finite"));
            }
        }
        Ok(())
    }
}

/// Another schedule after an even rise; made by [`Schedule::after_warmup`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup<S> {
    updates: u32,
    then: S,
}

impl<S: Schedule> Schedule for Warmup<S> {
    fn factor(&self, update: u32) -> f64 {
        match update.checked_sub(self.updates) {
            Some(after) => self.then.factor(after),
            None => f64::from(update + 1) / f64::from(self.updates) * self.then.factor(0),
        }
    }
    fn check(&self) -> Result<()> {
        self.then.check()
    }
}

/// A schedule that is a function of the number of the update.
#[derive(Clone, Copy)]
pub struct Custom<F>(F);

/// The schedule whose factors a function of the number of the update gives.
#[must_use]
pub const fn from_fn<F: Fn(u32) -> f64 + Send + Sync>(factor: F) -> Custom<F> {
    Custom(factor)
}

impl<F> fmt::Debug for Custom<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}

impl<F: Fn(u32) -> f64 + Send + Sync> Schedule for Custom<F> {
    fn factor(&self, update: u32) -> f64 {
        self.0(update)
    }
}

/// How much of so many updates is over, at most 1.
fn share(update: u32, updates: u32) -> f64 {
    f64::from(update.min(updates)) / f64::from(updates.max(1))
}

/// From `from` to `to` along half a wave.
fn wave(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * share).cos())
}
