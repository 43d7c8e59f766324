//! Numbers that are not finite, looked for on the host.

use super::memory::{Words, range};
use crate::plan::{NumberCheck, Scan, StepScalars};
use rayon::prelude::*;
use std::sync::Arc;

/// Words that are looked at together, as vectors are.
const BLOCK: usize = 1 << 10;
/// Fewer words than this are not worth a thread.
const PART: usize = 1 << 16;
/// The exponent of all ones that NaN and infinity have.
const EXPONENT: u32 = 0x7f80_0000;

/// A check of numbers, and what it has found.
#[derive(Debug)]
pub struct CpuNumbers {
    check: Arc<NumberCheck>,
    /// As on a device.
    found: Vec<u32>,
}

impl CpuNumbers {
    /// Nothing is found yet.
    pub fn new(check: Arc<NumberCheck>) -> Self {
        let found = vec![0; check.words()];
        Self { check, found }
    }

    /// Looks at what a dispatch has written, or at what is there before the first.
    pub fn look(&mut self, buffers: &[Words], dispatch: Option<usize>, scalars: &StepScalars) {
        // What the first check to find anything found stays.
        if scalars.checked == 0 || (self.found[0] != 0 && self.found[0] != !scalars.checked) {
            return;
        }
        for place in self.check.scans_after(dispatch) {
            let scan = &self.check.scans[place];
            if let Some(found) = Some(scan).filter(|scan| scan.applies(scalars)).and_then(|scan| first(scan, buffers)) {
                (self.found[0], self.found[1]) = (!scalars.checked, scalars.number);
                self.found[NumberCheck::HEAD + place] = found;
            }
        }
    }

    /// What was found.
    pub fn found(&self) -> &[u32] {
        &self.found
    }

    /// Forgets it.
    pub fn forget(&mut self) {
        self.found.fill(0);
    }
}

/// What is written down of the first word of a scan that is not finite.
fn first(scan: &Scan, buffers: &[Words]) -> Option<u32> {
    let words = &buffers[scan.binding.buffer][range(&scan.binding)];
    scan.spans.iter().find_map(|span| {
        let own = &words[span.words.start as usize..span.words.end as usize];
        let place = if own.len() < 2 * PART {
            position(own)
        } else {
            let parts = own.par_chunks(PART).enumerate();
            parts.find_map_first(|(part, words)| Some(part * PART + position(words)?))
        };
        place.map(|place| NumberCheck::found(span.words.start + place as u32, own[place]))
    })
}

/// The first word that is not finite.
fn position(words: &[u32]) -> Option<usize> {
    let is_not = |word: u32| word & EXPONENT == EXPONENT;
    let block = pulp::Arch::new().dispatch(|| {
        let any = |block: &[u32]| block.iter().fold(false, |any, &word| any | is_not(word));
        words.chunks(BLOCK).position(any)
    })?;
    let begin = block * BLOCK;
    words[begin..].iter().position(|&word| is_not(word)).map(|place| begin + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_looked_at() {
        for length in [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let mut words = vec![f32::MAX.to_bits(); length];
            assert_eq!(position(&words), None);
            for place in [length - 1, length / 2, 0] {
                words[place] = f32::NEG_INFINITY.to_bits();
                assert_eq!(position(&words), Some(place), "{place} of {length}");
            }
        }
    }
}
