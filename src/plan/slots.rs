/// A buffer that is needed from one dispatch to another.
#[derive(Clone, Debug)]
pub(super) struct Lifetime {
    pub bytes: u64,
    /// The dispatch that writes it first.
    pub first: usize,
    /// The dispatch that uses it last.
    pub last: usize,
}

/// Which slot every buffer takes, and how large the slots are.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub of: Vec<usize>,
    pub bytes: Vec<u64>,
    /// The greatest sum of bytes needed at one time.
    pub live: u64,
}

/// Gives buffers slots such that no two that are needed at one time share one. A buffer takes the
/// smallest free slot that holds it, else grows the largest free one, else opens a new one.
pub(super) fn assign(lifetimes: &[Lifetime]) -> Slots {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&index| (lifetimes[index].first, index));
    let mut slots = Slots { of: vec![0; lifetimes.len()], ..Slots::default() };
    let mut taken_until: Vec<usize> = Vec::new();
    for index in order {
        let Lifetime { bytes, first, last } = lifetimes[index];
        let free = || (0..slots.bytes.len()).filter(|&slot| taken_until[slot] < first);
        let fitting = free().filter(|&slot| slots.bytes[slot] >= bytes).min_by_key(|&slot| slots.bytes[slot]);
        let largest = free().max_by_key(|&slot| slots.bytes[slot]);
        let slot = fitting.or(largest).unwrap_or(slots.bytes.len());
        if slot == slots.bytes.len() {
            slots.bytes.push(0);
            taken_until.push(0);
        }
        slots.bytes[slot] = slots.bytes[slot].max(bytes);
        taken_until[slot] = last;
        slots.of[index] = slot;
    }
    let live_at = |time: usize| lifetimes.iter().filter(|l| l.first <= time && time <= l.last).map(|l| l.bytes).sum();
    slots.live = lifetimes.iter().map(|lifetime| live_at(lifetime.first)).max().unwrap_or(0);
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_lifetimes_never_share() {
        let lifetime = |bytes, first, last| Lifetime { bytes, first, last };
        let lifetimes =
            [lifetime(8, 0, 2), lifetime(4, 1, 3), lifetime(8, 3, 4), lifetime(16, 4, 5), lifetime(4, 4, 6)];
        let slots = assign(&lifetimes);
        for (a, left) in lifetimes.iter().enumerate() {
            for (b, right) in lifetimes.iter().enumerate().skip(a + 1) {
                let overlap = left.first <= right.last && right.first <= left.last;
                assert!(!(overlap && slots.of[a] == slots.of[b]), "{a} and {b} share slot {}", slots.of[a]);
            }
            assert!(slots.bytes[slots.of[a]] >= left.bytes);
        }
        assert_eq!(slots.live, 28);
    }
}
