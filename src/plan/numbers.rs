//! What a check of numbers looks at: everything that the dispatches of a plan write and that is a float.

use super::scan::shortened;
use super::{Arena, Binding, NonFinite, Plan, Scan, When, scans};
use crate::base::Shape;
use crate::record::Recording;
use std::fmt;
use std::ops::Range;

/// A check of the numbers of a step: plain data, made of its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberCheck {
    /// Every step whose number is a multiple of this is looked at, and the first.
    pub every: u32,
    /// What is looked at, in the order in which it is there.
    pub scans: Vec<Scan>,
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
                (span.name.clone(), span.shape.place_of(element), span.shape.clone())
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
    use super::super::scan::MOST_WORDS;
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
}
