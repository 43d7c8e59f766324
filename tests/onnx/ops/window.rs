//! How windows of convolutions and pooling move, and window functions of signals.

use super::Record;
use crate::call::{Call, one};
use crate::data::{Data, Stop};
use crate::recorder::Outcome;

pub const OPS: &[(&str, Record)] = &[
    ("BlackmanWindow", |cx| signal(cx, [0.42, -0.5, 0.08])),
    ("HammingWindow", |cx| signal(cx, [25.0 / 46.0, -21.0 / 46.0, 0.0])),
    ("HannWindow", |cx| signal(cx, [0.5, -0.5, 0.0])),
];

/// The sum of shares cos(2 pi k n / N) for k = 0, 1, 2, over a period of N or, if it is symmetric, N - 1 samples.
fn signal<'g>(cx: &Call<'_, 'g>, shares: [f64; 3]) -> Outcome<'g> {
    let count = cx.scalar(0)? as usize;
    let period = if cx.int("periodic", 1) == 0 { count - 1 } else { count } as f64;
    let angle = (cx.g.full([count], 1.0).cumsum(0) - 1.0) * (std::f64::consts::TAU / period);
    one(angle.cos() * shares[1] + (angle * 2.0).cos() * shares[2] + shares[0])
}

/// Windows along all axes but the first two.
#[derive(Debug)]
pub struct Windows {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    /// Before and after, as the attributes say.
    pub pads: Vec<(usize, usize)>,
    /// What is left over past the last window that `ceil_mode` adds.
    pub extra: Vec<usize>,
    /// The number of windows.
    pub counts: Vec<usize>,
}

impl Windows {
    /// From the attributes of a node, for an input with these extents.
    pub fn of(cx: &Call<'_, '_>, extents: &[usize], kernel: Vec<usize>) -> Result<Self, Stop> {
        let axes = kernel.len();
        let strides = cx.extents("strides").unwrap_or_else(|| vec![1; axes]);
        let dilations = cx.extents("dilations").unwrap_or_else(|| vec![1; axes]);
        let given = cx.extents("pads").unwrap_or_else(|| vec![0; 2 * axes]);
        let auto = cx.text("auto_pad", "NOTSET");
        let ceil = cx.int("ceil_mode", 0) != 0;
        let (mut pads, mut extra, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for axis in 0..axes {
            let reach = (kernel[axis] - 1) * dilations[axis] + 1;
            let (extent, stride) = (extents[axis], strides[axis]);
            let (before, after) = if auto.starts_with("SAME") {
                let total = ((extent.div_ceil(stride) - 1) * stride + reach).saturating_sub(extent);
                let half = total / 2;
                if auto == "SAME_UPPER" { (half, total - half) } else { (total - half, half) }
            } else {
                (given[axis], given[axes + axis])
            };
            let padded = extent + before + after;
            let Some(left) = padded.checked_sub(reach) else {
                return Err(Stop::Fails(format!("a window of {reach} in {padded} elements")));
            };
            let mut count = if ceil { left.div_ceil(stride) + 1 } else { left / stride + 1 };
            // A window that would begin in the padding after the input is left out.
            if ceil && (count - 1) * stride >= extent + before {
                count -= 1;
            }
            pads.push((before, after));
            extra.push(((count - 1) * stride + reach).saturating_sub(padded));
            counts.push(count);
        }
        Ok(Self { kernel, strides, dilations, pads, extra, counts })
    }

    /// Padding along all axes of `[batch, channels, ..]`, with what `ceil_mode` adds.
    pub fn widths(&self) -> Vec<(usize, usize)> {
        let spatial = self.pads.iter().zip(&self.extra).map(|(&(before, after), extra)| (before, after + extra));
        [(0, 0), (0, 0)].into_iter().chain(spatial).collect()
    }

    /// How many elements along an axis every window covers, those in the padding included or not.
    pub fn covered(&self, axis: usize, extent: usize, counts_padding: bool) -> Data {
        let (before, after) = self.pads[axis];
        let (low, high) = if counts_padding { (0, before + extent + after) } else { (before, before + extent) };
        let within = |window: usize| {
            let places = (0..self.kernel[axis]).map(|tap| window * self.strides[axis] + tap * self.dilations[axis]);
            places.filter(|place| (low..high).contains(place)).count() as f64
        };
        let values: Vec<f64> = (0..self.counts[axis]).map(within).collect();
        Data::new(crate::data::Kind::Float, vec![values.len()], values)
    }

    /// Whether padding is the same on either side, and nothing is left over.
    pub fn is_even(&self) -> bool {
        self.pads.iter().all(|(before, after)| before == after) && self.extra.iter().all(|&extra| extra == 0)
    }
}
