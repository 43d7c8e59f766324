//! A range of memory that a check of numbers looks at.

use super::{Binding, StepScalars};
use crate::base::Shape;
use std::ops::Range;

/// Most words of one scan: a word's number and what it holds share 32 bits.
pub(super) const MOST_WORDS: u64 = 1 << 28;

/// A range of a buffer that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The dispatch that wrote it, by its number in the plan; none where it is there before the first.
    pub after: Option<usize>,
    /// The range.
    pub binding: Binding,
    /// In which runs.
    pub when: When,
    /// What lies in it, by where it begins. What lies between, such as padding, holds nothing.
    pub spans: Vec<Span>,
    /// The source line that recorded it, where one did.
    pub location: String,
    /// The scopes that it was recorded in.
    pub scope: String,
    /// All ops that the dispatch computes in one kernel, where there are several, with their source lines.
    pub ops: Vec<String>,
    /// For a backward dispatch: the forward op whose gradient it helps to compute.
    pub origin: Option<String>,
    /// Constants that the dispatch reads and that are not finite.
    pub constants: Vec<String>,
}

/// In which runs something is looked at; of those that it is there after, only in those that run its dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In all.
    Always,
    /// Where gradients were added up by the runs before.
    Gathered,
    /// Where there is an update.
    Updates,
}

/// A tensor, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What a message calls it.
    pub name: String,
    /// The shape of the whole tensor.
    pub shape: Shape,
    /// Its words in the range.
    pub words: Range<u32>,
    /// The row-major number of the element that the first word is.
    pub first: usize,
}

impl Scan {
    /// Whether it is for a run with these numbers.
    #[must_use]
    pub const fn applies(&self, scalars: &StepScalars) -> bool {
        match self.when {
            When::Always => true,
            When::Gathered => scalars.gathered > 0,
            When::Updates => !scalars.gathers_only,
        }
    }

    /// What messages call all that lies in it.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.spans.iter().map(|span| span.name.as_str()).collect();
        names.join(", ")
    }
}

/// The first few of a list of names.
pub(super) fn shortened(names: &str) -> String {
    const MOST: usize = 4;
    let all: Vec<&str> = names.split(", ").collect();
    match all.len() {
        0..=MOST => names.to_owned(),
        count => format!("{} and {} more", all[..MOST - 1].join(", "), count + 1 - MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_names_are_cut() {
        assert_eq!(shortened("a"), "a");
        assert_eq!(shortened("a, b, c, d"), "a, b, c, d");
        assert_eq!(shortened("a, b, c, d, e"), "a, b, c and 2 more");
    }
}
