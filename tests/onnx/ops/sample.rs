//! Elements of an image or a volume at computed positions between them, by gathering the neighbours of each.

use super::Record;
use super::elementwise::{floor, round};
use crate::call::{Call, one};
use crate::data::Stop;
use crate::recorder::Outcome;
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[("GridSample", grid_sample)];

/// One neighbour along an axis: its place as a float, and how much it counts.
type Tap<'g> = (Tensor<'g>, Tensor<'g>);

/// How positions along an axis become those of elements.
struct Axis<'a> {
    extent: usize,
    align_corners: bool,
    mode: &'a str,
    padding: &'a str,
}

impl Axis<'_> {
    /// From -1 to 1 to elements. Corners are the first and last elements, or their outer edges.
    fn position<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let extent = self.extent as f64;
        if self.align_corners { (x + 1.0) * ((extent - 1.0) / 2.0) } else { (x + 1.0) * (extent / 2.0) - 0.5 }
    }

    /// Where an element past the edges is taken from.
    fn inside<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let last = self.extent as f64 - 1.0;
        match self.padding {
            "border" => x.clamp(0.0, last),
            "reflection" => {
                let low = if self.align_corners { 0.0 } else { -0.5 };
                let range = last - 2.0 * low;
                let away = (x - low).abs();
                let turned = away - floor(away / (2.0 * range)) * (2.0 * range);
                let zero = x.graph().scalar(0.0);
                turned.gt(zero + range).where_cond(2.0 * range - turned, turned) + low
            }
            _ => x,
        }
    }

    /// The neighbours of every position.
    fn taps<'g>(&self, x: Tensor<'g>) -> Vec<Tap<'g>> {
        let x = self.position(x);
        let one = x.graph().full(x.shape(), 1.0);
        let taps: Vec<Tap<'g>> = match self.mode {
            "nearest" => vec![(round(self.inside(x)), one)],
            "linear" | "bilinear" => {
                let x = self.inside(x);
                let first = floor(x);
                vec![(first, 1.0 - (x - first)), (first + 1.0, x - first)]
            }
            _ => {
                // Keys' kernel with a = -0.75, by the distance of each of four neighbours.
                let (first, a) = (floor(x), -0.75);
                let t = x - first;
                let near = |d: Tensor<'g>| ((d * (a + 2.0) - (a + 3.0)) * d) * d + 1.0;
                let far = |d: Tensor<'g>| ((d * a - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
                let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
                let place = |number: usize| self.inside(first + (number as f64 - 1.0));
                weights.into_iter().enumerate().map(|(number, weight)| (round(place(number)), weight)).collect()
            }
        };
        // Past the edges lie zeros, which count nothing; or the element at the edge, as half of it does after a reflection.
        let last = self.extent as f64 - 1.0;
        let counted = |(place, weight): Tap<'g>| {
            let within = place.clamp(0.0, last);
            (within, if self.padding == "zeros" { weight * within.eq(place).to_f32() } else { weight })
        };
        taps.into_iter().map(counted).collect()
    }
}

/// `[batch, channels, ..]` at positions `[batch, .., axes]`, whose last axis names the last axis of the image first.
fn grid_sample<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, grid) = (cx.float(0)?, cx.float(1)?);
    let (mode, padding) = (cx.text("mode", "linear"), cx.text("padding_mode", "zeros"));
    let shape = x.shape();
    let (batch, channels, spatial) = (shape[0], shape[1], &shape[2..]);
    let positions: usize = grid.shape()[1..grid.rank() - 1].iter().product();
    // Every combination of neighbours along all axes.
    let mut all: Vec<Tap<'g>> = Vec::new();
    for (number, &extent) in spatial.iter().enumerate() {
        let place = spatial.len() - 1 - number;
        let align_corners = cx.int("align_corners", 0) != 0;
        let axis = Axis { extent, align_corners, mode: &mode, padding: &padding };
        let taps = axis.taps(grid.slice(-1, place..place + 1).reshape([batch, 1, positions]));
        let join = |(place, weight): &Tap<'g>| {
            let (place, weight) = (*place, *weight);
            taps.iter().map(move |tap| (place * extent as f64 + tap.0, weight * tap.1)).collect::<Vec<_>>()
        };
        all = if number == 0 { taps } else { all.iter().flat_map(join).collect() };
    }
    let flat = x.flatten(2);
    let gathered =
        |(place, weight): Tap<'g>| flat.gather(-1, place.broadcast_to([batch, channels, positions]).to_i32()) * weight;
    let y = all.into_iter().map(gathered).reduce(|a, b| a + b);
    let y = y.ok_or_else(|| Stop::Fails("an image without axes".into()))?;
    let extents: Vec<usize> = [batch, channels].iter().chain(&grid.shape()[1..grid.rank() - 1]).copied().collect();
    one(y.reshape(extents))
}
