use crate::base::Generator;

/// In which order the rows of a dataset are taken: one permutation per pass over it.
#[derive(Clone, Debug)]
pub struct RowOrder {
    rows: usize,
    seed: Option<u64>,
    current: Option<u32>,
}

impl RowOrder {
    /// For so many rows; with a seed they are shuffled, without they are taken as they come.
    #[must_use]
    pub const fn new(rows: usize, seed: Option<u64>) -> Self {
        Self { rows, seed, current: None }
    }

    /// The order of a pass, where another one was used last.
    pub(super) fn change(&mut self, epoch: u32) -> Option<Vec<i32>> {
        if self.current == Some(epoch) || (self.current.is_some() && self.seed.is_none()) {
            return None;
        }
        self.current = Some(epoch);
        // Rows are numbered with 32 bits, of which buffers of at most 4 GiB never need the last.
        let mut order: Vec<i32> = (0..self.rows as i32).collect();
        if let Some(seed) = self.seed {
            Generator::named(seed, &format!("order of epoch {epoch}")).shuffle(&mut order);
        }
        Some(order)
    }

    /// Forgets which order was used last: it did not reach the device.
    pub(super) fn forget(&mut self) {
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_a_permutation_of_its_own() {
        let mut order = RowOrder::new(100, Some(3));
        let (first, second) = (order.change(0).unwrap(), order.change(1).unwrap());
        assert!(order.change(1).is_none());
        assert_ne!(first, second);
        for mut permutation in [first.clone(), second] {
            permutation.sort_unstable();
            assert_eq!(permutation, (0..100).collect::<Vec<i32>>());
        }
        assert_eq!(RowOrder::new(100, Some(3)).change(0).unwrap(), first);
        order.forget();
        assert!(order.change(1).is_some());
    }
}
