//! What a check of numbers looks at: everything that the dispatches of a plan write and that is a float.

use super::{Arena, Binding, NonFinite, Plan, StepScalars, scans};
use crate::base::Shape;
use crate::record::Recording;
use std::fmt;
use std::ops::Range;

/// Most words of one scan: a word's number and what it holds share 32 bits.
pub(super) const MOST_WORDS: u64 = 1 << 28;

/// A check of the numbers of a step: plain data, made of its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberCheck {
    /// Every step whose number is a multiple of this is looked at, and the first.
    pub every: u32,
    /// What is looked at, in the order in which it is there.
    pub scans: Vec<Scan>,
}

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

impl NumberCheck {
    /// Words before those of the scans: the complement of the number of the check that found something first, and the
    /// step that it looked at.
    pub const HEAD: usize = 2;

    /// What to look at in a plan. `recording` is the one that its dispatches name.
    #[must_use]
    pub fn new(every: u32, plan: &Plan, recording: &Recording, arena: &Arena) -> Self {
        Self { every, scans: scans::all(plan, recording, arena) }
    }

    /// How many words there are of what was found: those of [`HEAD`](Self::HEAD), and one for every scan.
    #[must_use]
    pub fn words(&self) -> usize {
        Self::HEAD + self.scans.len()
    }

    /// Which scans follow a dispatch, or stand before the first.
    #[must_use]
    pub fn scans_after(&self, dispatch: Option<usize>) -> Range<usize> {
        let first = self.scans.partition_point(|scan| scan.after < dispatch);
        first..self.scans.partition_point(|scan| scan.after <= dispatch)
    }

    /// What a scan writes down of a word: greater for words that come before. Zero stands for nothing.
    #[must_use]
    pub const fn found(word: u32, bits: u32) -> u32 {
        let kind = if bits & 0x007f_ffff != 0 { 0 } else { 1 + (bits >> 31) };
        !(word * 4 + kind)
    }

    /// What was found first, if anything was.
    #[must_use]
    pub fn first(&self, plan: &Plan, words: &[u32]) -> Option<NonFinite> {
        let found = words.get(Self::HEAD..)?;
        let place = found.iter().position(|&found| found != 0)?;
        let others = found.iter().filter(|&&found| found != 0).count() - 1;
        let (word, kind) = (!found[place] / 4, !found[place] % 4);
        let scan = self.scans.get(place)?;
        let span = scan.spans.iter().find(|span| span.words.contains(&word));
        let (tensor, element, shape) = span.map_or_else(
            // Nothing should be there: that something is, is told all the same.
            || {
                (
                    format!("word {word} of the memory of {}, which is no element,", scan.names()),
                    Vec::new(),
                    Shape::default(),
                )
            },
            |span| {
                let element = span.first + (word - span.words.start) as usize;
                (span.name.clone(), place_of(element, &span.shape), span.shape.clone())
            },
        );
        let dispatch = scan.after.map(|number| &plan.dispatches[number]);
        Some(NonFinite {
            step: words[1],
            phase: dispatch.map(|dispatch| dispatch.phase),
            dispatch: scan.after,
            work: dispatch.map(|dispatch| match dispatch.work {
                Some(_) => format!("{} of {}", plan.kernels[dispatch.kernel].name, shortened(&dispatch.label)),
                None => dispatch.label.trim_end().to_owned(),
            }),
            ops: scan.ops.clone(),
            origin: scan.origin.clone(),
            constants: scan.constants.clone(),
            tensor,
            element,
            shape,
            value: [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][kind.min(2) as usize],
            location: scan.location.clone(),
            scope: scan.scope.clone(),
            others,
        })
    }
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
    fn names(&self) -> String {
        let names: Vec<&str> = self.spans.iter().map(|span| span.name.as_str()).collect();
        names.join(", ")
    }
}

/// The first few of a list of names.
fn shortened(names: &str) -> String {
    const MOST: usize = 4;
    let all: Vec<&str> = names.split(", ").collect();
    match all.len() {
        0..=MOST => names.to_owned(),
        count => format!("{} and {} more", all[..MOST - 1].join(", "), count + 1 - MOST),
    }
}

/// The position of an element, given in row-major order.
pub(super) fn place_of(mut element: usize, shape: &Shape) -> Vec<usize> {
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let along = element % extent.max(1);
            element /= extent.max(1);
            along
        })
        .collect();
    place.reverse();
    place
}

impl fmt::Display for NumberCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "numbers of every {} steps: {} ranges", self.every, self.scans.len())?;
        for scan in &self.scans {
            match scan.after {
                Some(number) => write!(f, "  after {number:>3}: ")?,
                None => write!(f, "  before    : ")?,
            }
            let Binding { buffer, offset, bytes } = scan.binding;
            write!(f, "{} in {bytes} bytes of buffer {buffer} from {offset}", scan.names())?;
            match scan.when {
                When::Always => {}
                When::Gathered => write!(f, ", where gradients were added up before")?,
                When::Updates => write!(f, ", where there is an update")?,
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_words_are_greater_findings_and_nothing_is_zero() {
        let kinds = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN];
        let found = |word: u32| kinds.map(|value| NumberCheck::found(word, value.to_bits()));
        assert_eq!(found(0), [!0, !1, !2, !0]);
        let last = MOST_WORDS as u32 - 1;
        assert!(found(6).iter().min() > found(7).iter().max());
        assert!(found(last).into_iter().all(|found| found > 0 && !found / 4 == last));
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        assert_eq!(shortened("a"), "a");
        assert_eq!(shortened("a, b, c, d"), "a, b, c, d");
        assert_eq!(shortened("a, b, c, d, e"), "a, b, c and 2 more");
    }

    #[test]
    fn elements_have_a_place_on_every_axis() {
        assert_eq!(place_of(23, &[2, 3, 4].into()), [1, 2, 3]);
        assert_eq!(place_of(0, &Shape::default()), [0; 0]);
    }
}
