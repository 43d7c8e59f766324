//! In which order dispatches run.
//!
//! They are recorded in an order that computes what it should, which need not be the one that needs least memory. The
//! dispatches of a list may change places as long as each finds what it reads; those orders are tried that run next,
//! of all that can run, what frees most.

use super::{Draft, Memory};
use crate::fuse::Usage;
use crate::plan::Phase;
use std::collections::HashMap;

/// Memory that a dispatch uses, and whether it writes it.
type Use<'a> = (&'a Memory, bool);
/// All that one dispatch uses.
type Uses<'a> = Vec<Use<'a>>;

/// Orders to try, that of recording first. `bytes` are those of the intermediate buffers, of which `kept` say which
/// outlive the step.
pub(super) fn orders(
    drafts: &[Draft],
    usages: &dyn Fn(&Draft) -> Vec<Usage>,
    bytes: &[u64],
    kept: &[bool],
) -> Vec<Vec<usize>> {
    let uses: Vec<Uses<'_>> = drafts
        .iter()
        .map(|draft| draft.operands.iter().zip(usages(draft)).map(|(memory, usage)| (memory, usage.writes())).collect())
        .collect();
    let mut orders: Vec<Vec<usize>> = vec![(0..drafts.len()).collect()];
    for latest in [false, true] {
        let order = Greedy::new(&uses, bytes, kept, latest).order(drafts);
        if !orders.contains(&order) {
            orders.push(order);
        }
    }
    orders
}

/// Whether one dispatch must see what the other did to this memory.
fn conflicts(one: Use<'_>, other: Use<'_>) -> bool {
    if !one.1 && !other.1 {
        return false;
    }
    match (one.0, other.0) {
        (Memory::Virtual(one), Memory::Virtual(other)) => one == other,
        (
            Memory::Fixed { buffer, offset, bytes },
            Memory::Fixed { buffer: other, offset: other_offset, bytes: other_bytes },
        ) => buffer == other && *offset < other_offset + other_bytes && *other_offset < offset + bytes,
        _ => false,
    }
}

/// For every dispatch of a list those that must come after it, each once.
fn followers(list: &[Uses<'_>]) -> Vec<Vec<usize>> {
    // Who used what so far: only uses of the same buffer can conflict.
    let mut users: HashMap<(bool, usize), Vec<(usize, Use<'_>)>> = HashMap::new();
    let mut then: Vec<Vec<usize>> = vec![Vec::new(); list.len()];
    for (later, uses) in list.iter().enumerate() {
        for &own in uses {
            let key = match *own.0 {
                Memory::Virtual(number) => (true, number),
                Memory::Fixed { buffer, .. } => (false, buffer),
            };
            let earlier = users.entry(key).or_default();
            for &(earlier, _) in earlier.iter().filter(|(_, other)| conflicts(own, *other)) {
                if earlier != later && then[earlier].last() != Some(&later) {
                    then[earlier].push(later);
                }
            }
            earlier.push((later, own));
        }
    }
    then
}

struct Greedy<'a> {
    uses: &'a [Uses<'a>],
    bytes: &'a [u64],
    /// How many dispatches will still use an intermediate buffer.
    left: Vec<usize>,
    allocated: Vec<bool>,
    /// Among equals, whether what could run last comes first.
    latest: bool,
}

impl<'a> Greedy<'a> {
    fn new(uses: &'a [Uses<'a>], bytes: &'a [u64], kept: &[bool], latest: bool) -> Self {
        // What outlives the step is never freed.
        let mut left: Vec<usize> = kept.iter().map(|&kept| usize::from(kept)).collect();
        for uses in uses {
            distinct(uses).for_each(|number| left[number] += 1);
        }
        Self { uses, bytes, left, allocated: vec![false; bytes.len()], latest }
    }

    /// The order, list by list.
    fn order(mut self, drafts: &[Draft]) -> Vec<usize> {
        let mut order = Vec::with_capacity(drafts.len());
        let mut first = 0;
        for list in drafts.chunk_by(|one, next| one.dispatch.phase == next.dispatch.phase) {
            // Batches and updates stay: nothing lies between their dispatches.
            let fixed = matches!(list[0].dispatch.phase, Phase::Batch | Phase::Update);
            if fixed {
                order.extend(first..first + list.len());
            } else {
                self.list(first, list.len(), &mut order);
            }
            first += list.len();
        }
        order
    }

    fn list(&mut self, first: usize, count: usize, order: &mut Vec<usize>) {
        let list = &self.uses[first..first + count];
        let then = followers(list);
        let mut waits: Vec<usize> = vec![0; count];
        then.iter().flatten().for_each(|&later| waits[later] += 1);
        let mut ready: Vec<usize> = (0..count).filter(|&place| waits[place] == 0).collect();
        while !ready.is_empty() {
            let cost =
                |&place: &usize| (self.growth(first + place), if self.latest { usize::MAX - place } else { place });
            let best = (0..ready.len()).min_by_key(|&number| cost(&ready[number])).unwrap_or(0);
            let place = ready.swap_remove(best);
            for number in distinct(&self.uses[first + place]) {
                self.left[number] -= 1;
                self.allocated[number] = true;
            }
            order.push(first + place);
            for &later in &then[place] {
                waits[later] -= 1;
                if waits[later] == 0 {
                    ready.push(later);
                }
            }
        }
    }

    /// How many more bytes are needed after a dispatch than before it.
    fn growth(&self, dispatch: usize) -> i64 {
        let of = |number: usize| {
            let bytes = self.bytes[number] as i64;
            let comes = if self.allocated[number] { 0 } else { bytes };
            comes - if self.left[number] == 1 { bytes } else { 0 }
        };
        distinct(&self.uses[dispatch]).map(of).sum()
    }
}

/// The intermediate buffers that a dispatch uses, each once.
fn distinct<'u>(uses: &'u Uses<'_>) -> impl Iterator<Item = usize> + 'u {
    let number = |memory: &Memory| match *memory {
        Memory::Virtual(number) => Some(number),
        Memory::Fixed { .. } => None,
    };
    uses.iter().enumerate().filter_map(move |(place, (memory, _))| {
        let own = number(memory)?;
        let is_first = uses[..place].iter().all(|(other, _)| number(other) != Some(own));
        is_first.then_some(own)
    })
}
