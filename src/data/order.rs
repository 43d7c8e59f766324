//! Which samples come when: a function of the seed and the epoch alone.

use crate::base::{Generator, threefry};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a loader stands: the batch that comes next. Saved with a checkpoint, it lets a training go on with the same batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Epochs that are over.
    pub epoch: u64,
    /// Batches of this epoch that are over.
    pub batch: u64,
}

impl Position {
    /// The beginning of an epoch, the first of which is 0.
    #[must_use]
    pub const fn epoch(epoch: u64) -> Self {
        Self { epoch, batch: 0 }
    }
}

/// The stream of random numbers that belongs to a seed and some numbers, such as an epoch and a row.
pub(super) fn stream(seed: u64, numbers: &[u64]) -> Generator {
    let key = numbers.iter().fold([seed as u32, (seed >> 32) as u32], |key, &number| {
        // Keys and counters of one round are words of the next: streams of different lists do not meet but by chance.
        threefry(key, [number as u32, (number >> 32) as u32])
    });
    Generator::new(u64::from(key[1]) << 32 | u64::from(key[0]))
}

/// The rows of an epoch, in the order in which they come.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// As they lie in the dataset.
    AsStored(usize),
    /// As drawn.
    Drawn(Arc<[usize]>),
}

impl Order {
    pub fn of_epoch(len: usize, seed: Option<u64>, epoch: u64) -> Self {
        let Some(seed) = seed else { return Self::AsStored(len) };
        let mut rows: Vec<usize> = (0..len).collect();
        stream(seed, &[epoch]).shuffle(&mut rows);
        Self::Drawn(rows.into())
    }

    /// The rows of batch number `batch`, of at most `size`.
    pub fn batch(&self, batch: usize, size: usize) -> Vec<usize> {
        let range = |len: usize| (batch * size).min(len)..(batch * size).saturating_add(size).min(len);
        match self {
            Self::AsStored(len) => range(*len).collect(),
            Self::Drawn(rows) => rows[range(rows.len())].to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_follows_from_seed_and_epoch_and_takes_every_row_once() {
        let rows = |seed, epoch| Order::of_epoch(1000, Some(seed), epoch).batch(0, 1000);
        assert_eq!(rows(1, 3), rows(1, 3));
        assert_ne!(rows(1, 3), rows(1, 4));
        assert_ne!(rows(1, 3), rows(2, 3));
        let mut sorted = rows(1, 3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(Order::of_epoch(5, None, 9).batch(1, 3), [3, 4]);
    }

    #[test]
    fn streams_of_other_numbers_are_others() {
        let first = |numbers: &[u64]| stream(7, numbers).uniform(0.0, 1.0);
        let firsts = [first(&[]), first(&[0]), first(&[0, 0]), first(&[0, 1]), first(&[1, 0]), first(&[1 << 32])];
        for (place, value) in firsts.iter().enumerate() {
            assert!(!firsts[..place].contains(value), "{firsts:?}");
        }
    }
}
