//! The matrices that products are measured with, and what their product has to be.

use crate::base::{Generator, HostData, HostTensor, Result};
use crate::record::{Graph, Tensor};

/// What elements are: small integers, so that single precision holds every sum of at most 2^22 products of two, in whatever
/// order they are added up; none zero, which a processor might treat as a special case.
const ELEMENTS: [f32; 4] = [-2.0, -1.0, 1.0, 2.0];

/// A batch of matrices, as they lie on the device.
pub struct Matrices {
    values: Vec<f32>,
    /// Matrices, rows that are stored, elements of a row, and elements that a row is stored with.
    extents: [usize; 4],
    /// Whether what is stored is transposed.
    is_turned: bool,
}

impl Matrices {
    pub fn new(batch: usize, [rows, columns]: [usize; 2], is_turned: bool, is_dense: bool, seed: u64) -> Self {
        let [outer, last] = if is_turned { [columns, rows] } else { [rows, columns] };
        // One element more to a row, so that rows do not begin at vectors.
        let stored = if is_dense { last } else { last + 1 };
        let mut generator = Generator::new(seed);
        let values = (0..batch * outer * stored).map(|_| ELEMENTS[generator.below(ELEMENTS.len())]).collect();
        Self { values, extents: [batch, outer, last, stored], is_turned }
    }

    /// Records them as constants.
    pub fn record<'g>(&self, graph: &'g Graph) -> Result<Tensor<'g>> {
        let [batch, outer, last, stored] = self.extents;
        let values = HostTensor::new([batch, outer, stored], HostData::F32(self.values.clone()))?;
        let matrices = graph.constant(values).slice(-1, 0..last);
        Ok(if self.is_turned { matrices.transpose() } else { matrices })
    }

    /// One of them times a vector.
    fn times(&self, number: usize, vector: &[f64]) -> Vec<f64> {
        let [_, outer, last, stored] = self.extents;
        let rows =
            self.values[number * outer * stored..][..outer * stored].chunks_exact(stored).map(|row| &row[..last]);
        if !self.is_turned {
            return rows.map(|row| dot(row, vector)).collect();
        }
        let mut sums = vec![0.0; last];
        for (row, &factor) in rows.zip(vector) {
            sums.iter_mut().zip(row).for_each(|(sum, &element)| *sum += f64::from(element) * factor);
        }
        sums
    }
}

/// The first row of a product that is not what it has to be, as the number of its matrix and of the row.
///
/// Compares (A B) r with A (B r) for a random vector r of integers, all exactly: the work is that of reading the matrices, and a
/// wrong row passes once in a million times. Source: Freivalds, "Probabilistic machines can use less running time" (1977).
pub fn wrong_row(a: &Matrices, b: &Matrices, product: &[f32]) -> Option<(usize, usize)> {
    /// Entries of r, from 1. Sums of less than 2^44 times a few units stay below the 2^53 that a number in double precision holds.
    const ENTRIES: usize = 1 << 20;
    let columns = if b.is_turned { b.extents[1] } else { b.extents[2] };
    let mut generator = Generator::named(0, "r");
    let vector: Vec<f64> = (0..columns).map(|_| (generator.below(ENTRIES) + 1) as f64).collect();
    let mut rows = product.chunks_exact(columns);
    for number in 0..a.extents[0] {
        for (row, want) in a.times(number, &b.times(number, &vector)).into_iter().enumerate() {
            // A row that is not there, or holds NaN, is wrong as well.
            if rows.next().is_none_or(|got| dot(got, &vector) != want) {
                return Some((number, row));
            }
        }
    }
    None
}

fn dot(row: &[f32], vector: &[f64]) -> f64 {
    row.iter().zip(vector).map(|(&element, factor)| f64::from(element) * factor).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Device;
    use crate::record::Params;

    #[test]
    fn products_are_right_and_every_defect_is_found() {
        for (turned, dense) in [([false; 2], [true; 2]), ([true, false], [false, true]), ([false, true], [true, false])]
        {
            let a = Matrices::new(3, [10, 33], turned[0], dense[0], 1);
            let b = Matrices::new(3, [33, 7], turned[1], dense[1], 2);
            let graph = Graph::new();
            let product = a.record(&graph).unwrap().matmul(b.record(&graph).unwrap());
            let mut step = graph.infer(&[product]).compile(&Device::cpu(), &Params::seeded(0)).unwrap();
            step.run([]).unwrap();
            let right = step.read(product).unwrap().to_vec();
            assert_eq!(wrong_row(&a, &b, &right), None);
            // An element that is off by one, or is not a number.
            for (element, change) in [(0, 1.0), (71, -1.0), (209, f32::NAN)] {
                let mut wrong = right.clone();
                wrong[element] += change;
                assert_eq!(wrong_row(&a, &b, &wrong), Some((element / 70, element / 7 % 10)));
            }
            // Work that was skipped, elements that changed places, and a matrix that is missing.
            let mut wrong = right.clone();
            wrong[140..].fill(0.0);
            assert_eq!(wrong_row(&a, &b, &wrong), Some((2, 0)));
            let mut wrong = right.clone();
            let other = wrong[77..84].iter().position(|&element| element != wrong[77]).unwrap();
            wrong.swap(77, 77 + other);
            assert_eq!(wrong_row(&a, &b, &wrong), Some((1, 1)));
            assert_eq!(wrong_row(&a, &b, &right[..140]), Some((2, 0)));
        }
    }
}
