use std::collections::BTreeMap;

/// Storage bindings begin at multiples of this on every device.
const ALIGNMENT: u64 = 256;

/// A buffer that is needed from one dispatch to another.
#[derive(Clone, Debug)]
pub(super) struct Lifetime {
    pub bytes: u64,
    /// The dispatches that use it, and whether they write it: the first does.
    pub uses: BTreeMap<usize, bool>,
}

impl Lifetime {
    fn first(&self) -> usize {
        self.uses.keys().next().copied().unwrap_or(0)
    }

    fn last(&self) -> usize {
        self.uses.keys().next_back().copied().unwrap_or(0)
    }

    /// Whether both are needed at one time.
    fn overlaps(&self, other: &Self) -> bool {
        self.first() <= other.last() && other.first() <= self.last()
    }

    /// Whether one dispatch uses both, and writes one: then they must be different buffers, as WebGPU knows whole
    /// buffers only when it looks whether something is read and written at the same time.
    fn clashes(&self, other: &Self) -> bool {
        self.uses.iter().any(|(time, writes)| other.uses.get(time).is_some_and(|other| *writes || *other))
    }
}

/// Where every buffer lies, and how large the slots are.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// The slot of each buffer, and where in it the buffer begins.
    pub of: Vec<(usize, u64)>,
    pub bytes: Vec<u64>,
    /// The greatest sum of bytes needed at one time.
    pub live: u64,
}

/// Gives buffers places in slots, of at most `most` bytes where that is possible, such that no two that are needed at
/// one time overlap. Buffers are placed in the order of their first use, of their size, and of size times time; what
/// takes least memory is kept.
pub(super) fn assign(lifetimes: &[Lifetime], most: u64) -> Slots {
    let by = |key: &dyn Fn(&Lifetime) -> u64| {
        let mut order: Vec<usize> = (0..lifetimes.len()).collect();
        order.sort_by_key(|&index| (key(&lifetimes[index]), index));
        order
    };
    let orders = [
        by(&|lifetime| lifetime.first() as u64),
        by(&|lifetime| u64::MAX - lifetime.bytes),
        by(&|lifetime| u64::MAX - lifetime.bytes * (lifetime.last() - lifetime.first() + 1) as u64),
    ];
    let all = orders.iter().map(|order| in_order(lifetimes, order, most));
    let mut slots = all.min_by_key(|slots| slots.bytes.iter().sum::<u64>()).unwrap_or_default();
    let live_at =
        |time: usize| lifetimes.iter().filter(|l| l.first() <= time && time <= l.last()).map(|l| l.bytes).sum();
    slots.live = lifetimes.iter().map(|lifetime| live_at(lifetime.first())).max().unwrap_or(0);
    slots
}

/// A buffer goes where slots grow least: into the smallest gap that holds it, else to the end of a slot that it
/// makes longer, else into a slot of its own.
fn in_order(lifetimes: &[Lifetime], order: &[usize], most: u64) -> Slots {
    let mut slots = Slots { of: vec![(0, 0); lifetimes.len()], ..Slots::default() };
    let mut taken: Vec<Vec<usize>> = Vec::new();
    for &index in order {
        let own = &lifetimes[index];
        let place = |slot: usize| {
            if taken[slot].iter().any(|&other| own.clashes(&lifetimes[other])) {
                return None;
            }
            let occupied = taken[slot].iter().filter(|&&other| own.overlaps(&lifetimes[other]));
            let ranges = occupied.map(|&other| (slots.of[other].1, slots.of[other].1 + lifetimes[other].bytes));
            let (start, gap) = gap(ranges.collect(), own.bytes, slots.bytes[slot]);
            let growth = (start + own.bytes).saturating_sub(slots.bytes[slot]);
            (growth == 0 || start + own.bytes <= most).then_some((growth, gap, slot, start))
        };
        let alone = (own.bytes, 0, taken.len(), 0);
        let (_, _, slot, start) = (0..taken.len()).filter_map(place).chain([alone]).min().unwrap_or(alone);
        if slot == taken.len() {
            slots.bytes.push(0);
            taken.push(Vec::new());
        }
        slots.bytes[slot] = slots.bytes[slot].max(start + own.bytes);
        taken[slot].push(index);
        slots.of[index] = (slot, start);
    }
    slots
}

/// Where between occupied ranges so many bytes fit best, and how large the gap is. Behind the last range there is
/// always room.
fn gap(mut ranges: Vec<(u64, u64)>, bytes: u64, end: u64) -> (u64, u64) {
    ranges.sort_unstable();
    let mut best = None;
    let mut start = 0;
    for (first, last) in ranges.into_iter().chain([(end, end)]) {
        let room = first.saturating_sub(start);
        if room >= bytes && best.is_none_or(|(_, known)| room < known) {
            best = Some((start, room));
        }
        start = start.max(last.next_multiple_of(ALIGNMENT));
    }
    let behind = start.min(end.next_multiple_of(ALIGNMENT));
    best.unwrap_or((behind, u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Generator;

    fn lifetime(bytes: u64, first: usize, last: usize) -> Lifetime {
        Lifetime {
            bytes,
            uses: [(first, true)].into_iter().chain((first + 1..=last).map(|time| (time, false))).collect(),
        }
    }

    /// Checks that nothing which is needed at one time overlaps, nor is read and written by one dispatch as one slot.
    fn check(lifetimes: &[Lifetime], slots: &Slots) {
        for (a, left) in lifetimes.iter().enumerate() {
            let (slot, start) = slots.of[a];
            assert!(start % ALIGNMENT == 0 && slots.bytes[slot] >= start + left.bytes);
            for (b, right) in lifetimes.iter().enumerate().skip(a + 1) {
                if slots.of[b].0 != slot || !left.overlaps(right) {
                    continue;
                }
                let other = slots.of[b].1;
                assert!(start + left.bytes <= other || other + right.bytes <= start, "{a} and {b} overlap");
                assert!(!left.clashes(right), "{a} and {b} are read and written at once");
            }
        }
    }

    #[test]
    fn overlapping_lifetimes_never_share() {
        let lifetimes =
            [lifetime(8, 0, 2), lifetime(4, 1, 3), lifetime(8, 3, 4), lifetime(16, 4, 5), lifetime(4, 4, 6)];
        let slots = assign(&lifetimes, 1 << 20);
        check(&lifetimes, &slots);
        assert_eq!(slots.live, 28);
    }

    #[test]
    fn a_large_slot_holds_small_buffers_side_by_side() {
        // Of 0 to 1 one large buffer, later two halves that no dispatch uses together.
        let one = |bytes, uses: &[(usize, bool)]| Lifetime { bytes, uses: uses.iter().copied().collect() };
        let lifetimes = [lifetime(1024, 0, 1), one(512, &[(2, true), (5, false)]), one(512, &[(3, true), (4, false)])];
        let slots = assign(&lifetimes, 1 << 20);
        check(&lifetimes, &slots);
        assert_eq!(slots.bytes, [1024]);
    }

    #[test]
    fn random_lifetimes_keep_apart_and_slots_keep_their_limit() {
        let mut generator = Generator::new(5);
        for _ in 0..300 {
            let mut draw = |most: usize| generator.below(most);
            let lifetimes: Vec<Lifetime> = (0..=draw(30))
                .map(|_| {
                    let first = draw(40);
                    let last = first + draw(12);
                    lifetime(4 * (draw(2000) as u64 + 1), first, last)
                })
                .collect();
            let slots = assign(&lifetimes, 16_000);
            check(&lifetimes, &slots);
            assert!(slots.bytes.iter().all(|&bytes| bytes <= 16_000));
            assert!(slots.bytes.iter().sum::<u64>() >= slots.live);
        }
    }
}
