//! Larger images: every element repeated, or values between elements by straight lines.

use super::table::table;
use crate::record::{Case, CaseInput, Tensor};

/// Weights of an extent's elements in each of `out` places, as a matrix `[out, extent]`: two neighbours share a place.
#[track_caller]
fn between(x: Tensor<'_>, extent: usize, out: usize, align_corners: bool) -> Tensor<'_> {
    table("upsample_bilinear2d", x, [out, extent], |elements| {
        let mut matrix = vec![0.0f32; elements];
        for place in 0..out {
            let at = if align_corners {
                if out == 1 { 0.0 } else { place as f64 * (extent - 1) as f64 / (out - 1) as f64 }
            } else {
                ((place as f64 + 0.5) * extent as f64 / out as f64 - 0.5).max(0.0)
            };
            let low = (at.floor() as usize).min(extent - 1);
            let high = (low + 1).min(extent - 1);
            let share = (at - low as f64) as f32;
            matrix[place * extent + low] += 1.0 - share;
            matrix[place * extent + high] += share;
        }
        matrix
    })
}

impl Tensor<'_> {
    /// Images `[.., height, width]` with every element repeated `factors` times along both axes.
    #[must_use]
    #[track_caller]
    pub fn upsample_nearest2d(self, factors: [usize; 2]) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        if !self.is_valid() || shape.rank() < 2 || factors.contains(&0) {
            let reason =
                format!("it needs height and width, and factors of at least 1, and has {shape} and {factors:?}");
            return self.graph.fault("upsample_nearest2d", &[self], reason);
        }
        let (lead, [height, width]) = (&shape[..shape.rank() - 2], [shape[shape.rank() - 2], shape[shape.rank() - 1]]);
        let with = |extents: &[usize]| lead.iter().chain(extents).copied().collect::<Vec<_>>();
        // What overflows is refused where it stretches.
        let [down, across] = [height.saturating_mul(factors[0]), width.saturating_mul(factors[1])];
        self.reshape(with(&[height, 1, width, 1]))
            .broadcast_to(with(&[height, factors[0], width, factors[1]]))
            .reshape(with(&[down, across]))
    }

    /// Images `[.., height, width]` at another size, `[.., output[0], output[1]]`, by straight lines between neighbours
    /// along both axes. With `align_corners` the corner elements stay at the corners; else elements are areas whose
    /// centres lie half a step from the edges. It is a product with two matrices, in which infinity and NaN spread to all of
    /// their rows and columns.
    #[must_use]
    #[track_caller]
    pub fn upsample_bilinear2d(self, output: [usize; 2], align_corners: bool) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        if !self.is_valid() || shape.rank() < 2 || output.contains(&0) {
            let reason =
                format!("it needs height and width, and extents of at least 1, and has {shape} and {output:?}");
            return self.graph.fault("upsample_bilinear2d", &[self], reason);
        }
        let rows = between(self, shape[shape.rank() - 2], output[0], align_corners);
        let columns = between(self, shape[shape.rank() - 1], output[1], align_corners);
        rows.matmul(self).matmul(columns.transpose())
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([2, 3, 4, 5], -1.0, 1.0)];
    vec![
        Case::new("nearest", input(), |x| x[0].upsample_nearest2d([2, 3]).sin()),
        Case::new("bilinear", input(), |x| x[0].upsample_bilinear2d([8, 7], false).sin()),
        Case::new("bilinear, corners", input(), |x| x[0].upsample_bilinear2d([7, 10], true).sin()),
        Case::new("bilinear, smaller", input(), |x| x[0].upsample_bilinear2d([3, 1], false).sin()),
    ]
}
