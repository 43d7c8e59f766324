//! Rotary position embedding: pairs of elements of every row are turned by an angle that grows with the row's position,
//!
//! (a, b) -> (a cos t - b sin t, a sin t + b cos t), t = position base^(-2 i / size) for pair i.
//!
//! Composed of pointwise ops over tables of sines and cosines. Source: Su, Lu, Pan, Murtadha, Wen, Liu 2021.

use super::table::table;
use crate::record::{Case, CaseInput, Tensor};

/// How pairs are made of the elements of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RotaryPairs {
    /// Element i with element i + size / 2, as in GPT-NeoX and Llama.
    #[default]
    Halves,
    /// Neighbours, as in the paper.
    Neighbours,
}

/// The sine and cosine tables for positions `first ..`, `[length, size / 2]`.
#[track_caller]
fn tables(x: Tensor<'_>, first: usize, length: usize, size: usize, base: f64) -> [Tensor<'_>; 2] {
    let half = size / 2;
    let angle = |element: usize| {
        let (position, pair) = (first as f64 + (element / half) as f64, element % half);
        position * base.powf(-2.0 * pair as f64 / size as f64)
    };
    [f64::sin, f64::cos].map(|function| {
        let turned = |element: usize| function(angle(element)) as f32;
        table("rotary", x, [length, half], |elements| (0..elements).map(turned).collect())
    })
}

impl Tensor<'_> {
    /// Turns the pairs of every row of `[.., length, size]` by their position, counted from `first`, with angles
    /// position base^(-2 i / size) for pair i; 10,000 is the usual base. The size must be even.
    #[must_use]
    #[track_caller]
    pub fn rotary(self, first: usize, base: f64, pairs: RotaryPairs) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        let rank = shape.rank();
        if !self.is_valid() || rank < 2 {
            return self.graph.fault(
                "rotary",
                &[self],
                format!("it needs positions and elements, and {shape} has no two axes"),
            );
        }
        let (length, size) = (shape[rank - 2], shape[rank - 1]);
        if size % 2 != 0 {
            return self.graph.fault(
                "rotary",
                &[self],
                format!("rows have {size} elements, which make no pairs: the size must be even"),
            );
        }
        if base.is_nan() || base <= 1.0 || base.is_infinite() {
            return self.graph.fault("rotary", &[self], format!("the base must be finite and above 1, and is {base}"));
        }
        let [sines, cosines] = tables(self, first, length, size, base);
        let half = size / 2;
        if pairs == RotaryPairs::Halves {
            let (a, b) = (self.slice(-1, 0..half), self.slice(-1, half..size));
            return self.graph.concat(&[a * cosines - b * sines, a * sines + b * cosines], -1);
        }
        let of = |part: usize| self.slice_step(-1, part..size, 2);
        let (a, b) = (of(0), of(1));
        self.graph.stack(&[a * cosines - b * sines, a * sines + b * cosines], -1).reshape(shape)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::uniform(shape, -1.0, 1.0)];
    vec![
        Case::new("halves", input(&[2, 3, 7, 8]), |x| x[0].rotary(0, 10_000.0, RotaryPairs::Halves).sin()),
        Case::new("neighbours", input(&[5, 6]), |x| x[0].rotary(3, 100.0, RotaryPairs::Neighbours).sin()),
        Case::new("one pair", input(&[65, 2]), |x| x[0].rotary(1, 10_000.0, RotaryPairs::Halves).sin()),
    ]
}
