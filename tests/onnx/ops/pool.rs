//! Pooling, along one, two and three axes.

use super::Record;
use super::movement::padded;
use super::window::Windows;
use crate::call::{Call, one};
use crate::data::{Stop, lacks};
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;
use retrograd::ops::PoolSettings;

pub const OPS: &[(&str, Record)] = &[
    ("MaxPool", |cx| {
        let (x, windows) = windows(cx)?;
        let lowest = cx.g.full([1], f64::from(f32::MIN));
        let around = padded(x, &windows.widths(), lowest);
        let mut outputs = if windows.is_native() {
            one(planes(x, &windows, true, &|x, settings| x.max_pool2d(settings)))?
        } else {
            one(planes(around, &windows, false, &|x, settings| x.max_pool2d(settings)))?
        };
        if cx.wants(1) {
            outputs.push(positions(cx, x, around, &windows));
        }
        Ok(outputs)
    }),
    ("AveragePool", average_pool),
    ("LpPool", |cx| {
        let (x, windows) = windows(cx)?;
        let p = cx.int("p", 2) as f64;
        one(sums(x.abs().powf(p).pad(&windows.widths()), &windows).powf(1.0 / p))
    }),
    ("GlobalAveragePool", |cx| one(cx.float(0)?.mean_keep(&spatial(cx)?[..]))),
    ("GlobalMaxPool", |cx| one(cx.float(0)?.amax_keep(&spatial(cx)?[..]))),
];

fn spatial(cx: &Call<'_, '_>) -> Result<Vec<isize>, Stop> {
    Ok((2..cx.value(0)?.shape().len() as isize).collect())
}

fn windows<'g>(cx: &Call<'_, 'g>) -> Result<(Tensor<'g>, Windows), Stop> {
    let x = cx.float(0)?;
    let kernel = cx.extents("kernel_shape").unwrap_or_default();
    if kernel.len() > 3 {
        return lacks("pooling along more than three axes");
    }
    let windows = Windows::of(cx, &x.shape()[2..], kernel)?;
    Ok((x, windows))
}

impl Windows {
    /// Whether the crate's own padding says the same.
    fn is_native(&self) -> bool {
        self.is_even() && self.pads.iter().zip(&self.kernel).all(|(pads, kernel)| 2 * pads.0 <= *kernel)
    }

    /// The part of these windows that runs along two axes, or along one after an axis without windows.
    fn settings(&self, axes: [Option<usize>; 2], pads: bool) -> PoolSettings {
        let of = |default: usize, value: &dyn Fn(usize) -> usize| axes.map(|axis| axis.map_or(default, value));
        PoolSettings {
            kernel: of(1, &|axis| self.kernel[axis]),
            stride: of(1, &|axis| self.strides[axis]),
            padding: of(0, &|axis| if pads { self.pads[axis].0 } else { 0 }),
            dilation: of(1, &|axis| self.dilations[axis]),
        }
    }
}

/// Pools planes: the last two axes; one axis as planes of one row; and of three first the planes, then along the first.
fn planes<'g>(
    x: Tensor<'g>,
    windows: &Windows,
    pads: bool,
    pool: &dyn Fn(Tensor<'g>, PoolSettings) -> Tensor<'g>,
) -> Tensor<'g> {
    match windows.kernel.len() {
        1 => pool(x.unsqueeze(2), windows.settings([None, Some(0)], pads)).squeeze(2),
        2 => pool(x, windows.settings([Some(0), Some(1)], pads)),
        _ => {
            let y = pool(x, windows.settings([Some(1), Some(2)], pads));
            let shape = y.shape();
            let (n, c, depth, rest) = (shape[0], shape[1], shape[2], shape[3] * shape[4]);
            let y = pool(y.reshape([n, c, depth, rest]), windows.settings([Some(0), None], pads));
            let depth = y.shape()[2];
            y.reshape([n, c, depth, shape[3], shape[4]])
        }
    }
}

/// The sums of windows over an input that is padded already.
fn sums<'g>(x: Tensor<'g>, windows: &Windows) -> Tensor<'g> {
    let size: usize = windows.kernel.iter().product();
    planes(x, windows, false, &|x, settings| x.avg_pool2d(settings, true)) * size as f64
}

fn average_pool<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, windows) = windows(cx)?;
    let counts_padding = cx.int("count_include_pad", 0) != 0;
    let extents = x.shape()[2..].to_vec();
    if windows.is_native() {
        return one(planes(x, &windows, true, &|x, settings| x.avg_pool2d(settings, counts_padding)));
    }
    let mut y = sums(x.pad(&windows.widths()), &windows);
    for (axis, &extent) in extents.iter().enumerate() {
        let mut shape = vec![1; extents.len() + 2];
        shape[2 + axis] = windows.counts[axis];
        y = y / cx.g.constant(windows.covered(axis, extent, counts_padding).to_host()).reshape(shape);
    }
    one(y)
}

/// Where in the flat input every maximum stands: numbers of elements, of which every window names the greatest element's.
fn positions<'g>(cx: &Call<'_, 'g>, x: Tensor<'g>, around: Tensor<'g>, windows: &Windows) -> Val<'g> {
    let axes = windows.kernel.len();
    let taken = |mut x: Tensor<'g>| {
        for axis in 0..axes {
            x = x.unfold(2 + axis as isize, windows.kernel[axis], windows.strides[axis], windows.dilations[axis]);
        }
        x.flatten(2 + axes)
    };
    let count = x.shape().elements();
    let numbers = cx.g.full([count], 1.0).cumsum(0) - 1.0;
    // Counted row by row, or column by column.
    let numbers = if cx.int("storage_order", 0) == 0 {
        numbers.reshape(x.shape())
    } else {
        numbers.reshape(x.swap_axes(-1, -2).shape()).swap_axes(-1, -2)
    };
    let numbers = numbers.pad(&windows.widths());
    let greatest = taken(around).argmax(-1).unsqueeze(-1);
    Val::int(taken(numbers).gather(-1, greatest).squeeze(-1))
}
