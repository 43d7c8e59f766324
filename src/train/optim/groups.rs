//! Parameter groups: parts of a network that train with other settings.

use super::checks::check_least;
use super::{Decaying, Optimizer};
use crate::base::{Error, ErrorKind, Result, Shape};
use crate::plan::{Arena, ArenaEntry, Update};
use std::fmt;

type Chooser = Box<dyn Fn(&str, &Shape) -> bool + Send + Sync>;

/// An optimizer with groups of parameters that train with other settings, by name and shape.
///
/// A parameter belongs to the first group that chooses it, and to the optimizer itself where none does. Every group is
/// one fused dispatch per run of neighbouring parameters: weights lie before vectors in memory, both in the order in
/// which they were added, so groups by rank, and groups by parts of a network, are few runs.
///
/// ```
/// use retrograd::optim::{AdamW, Groups};
///
/// let optimizer = Groups::new(AdamW::new(3e-4).weight_decay(0.1))
///     .group("vectors", |_, shape| shape.rank() < 2, |adam| adam.weight_decay(0.0))
///     .group_at_rate("backbone", 0.1, |name, _| name.starts_with("backbone."), |adam| adam);
/// ```
///
/// Compiling fails with [`ErrorKind::Argument`] where a group has no parameter that is trained, as it chooses none, or others
/// have them, or they are frozen, and where it has a setting that cannot be used.
#[derive(Debug)]
pub struct Groups<O> {
    base: O,
    groups: Vec<Group>,
}

impl<O: Optimizer + Clone + 'static> Groups<O> {
    /// The optimizer of all parameters that no group chooses.
    #[must_use]
    pub const fn new(optimizer: O) -> Self {
        Self { base: optimizer, groups: Vec::new() }
    }

    /// A group of the parameters for which `chosen` holds, given name and shape. `change` makes its optimizer from that
    /// of the others; it may be another one altogether. Its learning rate stays in proportion to that of the others when that is set or
    /// scheduled.
    #[must_use]
    pub fn group<P: Optimizer + 'static>(
        self,
        name: impl Into<String>,
        chosen: impl Fn(&str, &Shape) -> bool + Send + Sync + 'static,
        change: impl FnOnce(O) -> P,
    ) -> Self {
        self.group_at_rate(name, 1.0, chosen, change)
    }

    /// As [`group`](Self::group), with the learning rate of its optimizer times `factor`.
    #[must_use]
    pub fn group_at_rate<P: Optimizer + 'static>(
        mut self,
        name: impl Into<String>,
        factor: f64,
        chosen: impl Fn(&str, &Shape) -> bool + Send + Sync + 'static,
        change: impl FnOnce(O) -> P,
    ) -> Self {
        let optimizer = Box::new(change(self.base.clone()));
        let chosen: Chooser = Box::new(chosen);
        self.groups.push(Group { name: name.into(), factor, optimizer, chosen, may_be_empty: false });
        self
    }
}

/// An optimizer whose weight decay leaves out parameters of less than two axes: biases, and the gains and shifts of
/// normalisation. Networks without any are fine.
#[must_use]
pub fn without_decay_on_vectors<O: Decaying + Clone + 'static>(optimizer: O) -> Groups<O> {
    let mut groups = Groups::new(optimizer).group("vectors", |_, shape| shape.rank() < 2, O::without_decay);
    groups.groups[0].may_be_empty = true;
    groups
}

/// Parameters that train alike, with their optimizer.
pub(super) struct Group {
    name: String,
    factor: f64,
    optimizer: Box<dyn Optimizer>,
    chosen: Chooser,
    may_be_empty: bool,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, factor, optimizer, .. } = self;
        f.debug_struct("Group").field("name", name).field("factor", factor).field("optimizer", optimizer).finish()
    }
}

/// What [`Graph::train`](crate::Graph::train) takes: an optimizer, or one with [groups](Groups).
#[derive(Debug)]
pub struct Grouped {
    base: Box<dyn Optimizer>,
    groups: Vec<Group>,
}

impl<O: Optimizer + 'static> From<O> for Grouped {
    fn from(optimizer: O) -> Self {
        Self { base: Box::new(optimizer), groups: Vec::new() }
    }
}

impl<O: Optimizer + 'static> From<Groups<O>> for Grouped {
    fn from(groups: Groups<O>) -> Self {
        Self { base: Box::new(groups.base), groups: groups.groups }
    }
}

impl Grouped {
    /// The learning rate that training starts with.
    pub(in crate::train) fn learning_rate(&self) -> f64 {
        self.base.learning_rate()
    }

    /// How the parameters of every group change, those that no group chooses first.
    pub(in crate::train) fn updates(&self) -> Result<Vec<Update>> {
        let mut updates = vec![self.base.update()?];
        for group in &self.groups {
            let named = |error: Error| Error::new(error.kind(), format!("group `{}`: {error}", group.name));
            check_least(&format!("group `{}`", group.name), "factor of the learning rate", group.factor)?;
            updates.push(group.optimizer.update().map_err(named)?);
            self.factor(group)?;
        }
        Ok(updates)
    }

    /// The learning rate of a group over that of the others.
    fn factor(&self, group: &Group) -> Result<f64> {
        let (own, base) = (group.optimizer.learning_rate(), self.learning_rate());
        if own == base {
            return Ok(group.factor);
        }
        if base == 0.0 {
            let message = format!(
                "group `{}`: learning rate is {own}, and that of the other parameters 0, of which it cannot be a multiple: \
                 freeze them instead",
                group.name
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        Ok(group.factor * own / base)
    }

    /// The group of every parameter, of which these are trained.
    pub(in crate::train) fn assign(&self, arena: &Arena, trained: &[usize]) -> Result<Vec<usize>> {
        let chooses = |group: &Group, entry: &ArenaEntry| (group.chosen)(&entry.name, &entry.shape);
        let of = |entry| self.groups.iter().position(|group| chooses(group, entry)).map_or(0, |place| place + 1);
        let group_of: Vec<usize> = arena.entries.iter().map(of).collect();
        for (place, group) in self.groups.iter().enumerate().filter(|(_, group)| !group.may_be_empty) {
            if trained.iter().any(|&number| group_of[number] == place + 1) {
                continue;
            }
            let named = |chosen: &dyn Fn(&ArenaEntry) -> bool| {
                let entries = arena.entries.iter().filter(|entry| chosen(entry));
                entries.map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            let chosen = named(&|entry| chooses(group, entry));
            let message = if chosen.is_empty() {
                format!("group `{}` chooses no parameter. There are: {}", group.name, named(&|_| true))
            } else {
                format!(
                    "group `{}` has nothing to train: what it chooses ({chosen}) belongs to groups before it, is frozen, is \
                     not in `Training::only`, or is a cell. Leave the group out, or put it before the others",
                    group.name
                )
            };
            return Err(Error::new(ErrorKind::Argument, message));
        }
        Ok(group_of)
    }

    /// The optimizers of all groups, each with its factor for the learning rate.
    pub(in crate::train) fn into_optimizers(self) -> Result<Vec<(Box<dyn Optimizer>, f64)>> {
        let factors = self.groups.iter().map(|group| self.factor(group)).collect::<Result<Vec<_>>>()?;
        let others = self.groups.into_iter().map(|group| group.optimizer).zip(factors);
        Ok([(self.base, 1.0)].into_iter().chain(others).collect())
    }
}
