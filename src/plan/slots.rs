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

/// Gives buffers slots such that no two that are needed at one time share one. Buffers are placed in the order of
/// their first use, of their size, and of size times time; what takes least memory is kept.
pub(super) fn assign(lifetimes: &[Lifetime]) -> Slots {
    let by = |key: &dyn Fn(&Lifetime) -> u64| {
        let mut order: Vec<usize> = (0..lifetimes.len()).collect();
        order.sort_by_key(|&index| (key(&lifetimes[index]), index));
        order
    };
    let orders = [
        by(&|lifetime| lifetime.first as u64),
        by(&|lifetime| u64::MAX - lifetime.bytes),
        by(&|lifetime| u64::MAX - lifetime.bytes * (lifetime.last - lifetime.first + 1) as u64),
    ];
    let all = orders.iter().map(|order| in_order(lifetimes, order));
    let mut slots = all.min_by_key(|slots| slots.bytes.iter().sum::<u64>()).unwrap_or_default();
    let live_at = |time: usize| lifetimes.iter().filter(|l| l.first <= time && time <= l.last).map(|l| l.bytes).sum();
    slots.live = lifetimes.iter().map(|lifetime| live_at(lifetime.first)).max().unwrap_or(0);
    slots
}

/// A buffer takes the smallest slot that is free for its whole lifetime and holds it, else grows the largest free
/// one, else opens a new one.
fn in_order(lifetimes: &[Lifetime], order: &[usize]) -> Slots {
    let mut slots = Slots { of: vec![0; lifetimes.len()], ..Slots::default() };
    let mut taken: Vec<Vec<usize>> = Vec::new();
    for &index in order {
        let own = &lifetimes[index];
        let apart = |&other: &usize| lifetimes[other].last < own.first || own.last < lifetimes[other].first;
        let free: Vec<usize> = (0..taken.len()).filter(|&slot| taken[slot].iter().all(apart)).collect();
        let fitting = free.iter().copied().filter(|&slot| slots.bytes[slot] >= own.bytes);
        let smallest = fitting.min_by_key(|&slot| slots.bytes[slot]);
        let largest = free.iter().copied().max_by_key(|&slot| slots.bytes[slot]);
        let slot = smallest.or(largest).unwrap_or(taken.len());
        if slot == taken.len() {
            slots.bytes.push(0);
            taken.push(Vec::new());
        }
        slots.bytes[slot] = slots.bytes[slot].max(own.bytes);
        taken[slot].push(index);
        slots.of[index] = slot;
    }
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
