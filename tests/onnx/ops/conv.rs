//! Convolutions, along one, two and three axes.

use super::Record;
use super::window::Windows;
use crate::call::{Call, one};
use crate::data::{Stop, lacks};
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;
use retrograd::ops::ConvSettings;

pub const OPS: &[(&str, Record)] =
    &[("Conv", conv), ("ConvTranspose", conv_transpose), ("CausalConvWithState", causal_conv), ("Col2Im", col2im)];

/// The settings of a convolution along `N` axes.
fn settings<const N: usize>(windows: &Windows, pads: bool, groups: usize) -> ConvSettings<N> {
    let of = |extents: &[usize]| std::array::from_fn(|axis| extents[axis]);
    let padding: Vec<usize> = windows.pads.iter().map(|pads| pads.0).collect();
    let settings = ConvSettings::new().strides(of(&windows.strides)).dilations(of(&windows.dilations)).groups(groups);
    if pads { settings.paddings(of(&padding)) } else { settings }
}

/// A bias per channel of `[batch, channels, ..]`.
fn biased<'g>(cx: &Call<'_, 'g>, y: Tensor<'g>, number: usize) -> Outcome<'g> {
    let Some(bias) = cx.optional_float(number)? else { return one(y) };
    let mut extents = vec![1; y.rank()];
    extents[1] = bias.shape().elements();
    one(y + bias.reshape(extents))
}

fn conv<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (mut x, w) = (cx.float(0)?, cx.float(1)?);
    let windows = Windows::of(cx, &x.shape()[2..], w.shape()[2..].to_vec())?;
    let groups = cx.int("group", 1) as usize;
    let even = windows.is_even();
    if !even {
        x = x.pad(&windows.widths());
    }
    let y = match w.rank() - 2 {
        1 => x.conv1d(w, &settings(&windows, even, groups)),
        2 => x.conv2d(w, &settings(&windows, even, groups)),
        3 => x.conv3d(w, &settings(&windows, even, groups)),
        _ => return lacks("convolutions along more than three axes"),
    };
    biased(cx, y, 2)
}

/// Zeros between the elements along all axes but the first two, which then lie `strides` apart.
fn spread<'g>(mut x: Tensor<'g>, strides: &[usize]) -> Tensor<'g> {
    for (axis, &stride) in strides.iter().enumerate().map(|(axis, stride)| (2 + axis, stride)) {
        let mut extents = x.shape().to_vec();
        let mut widths = vec![(0, 0); extents.len() + 1];
        widths[axis + 1] = (0, stride - 1);
        extents[axis] *= stride;
        x = x.unsqueeze(axis as isize + 1).pad(&widths).reshape(extents.clone());
        x = x.slice(axis as isize, 0..extents[axis] - (stride - 1));
    }
    x
}

/// Without padding, by the crate's op where it has one, and else as a convolution of the elements spread apart with the
/// weights mirrored; then cut, or continued with zeros, to the extents that are asked for.
fn conv_transpose<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, w) = (cx.float(0)?, cx.float(1)?);
    let (shape, kernel) = (x.shape(), w.shape()[2..].to_vec());
    let axes = kernel.len();
    let groups = cx.int("group", 1) as usize;
    let strides = cx.extents("strides").unwrap_or_else(|| vec![1; axes]);
    let dilations = cx.extents("dilations").unwrap_or_else(|| vec![1; axes]);
    let more = cx.extents("output_padding").unwrap_or_else(|| vec![0; axes]);
    let plain = Windows {
        kernel: kernel.clone(),
        strides: strides.clone(),
        dilations: dilations.clone(),
        pads: vec![(0, 0); axes],
        extra: vec![0; axes],
        counts: Vec::new(),
    };
    let mut y = match axes {
        1 => x.conv_transpose1d(w, &settings(&plain, false, groups), [0]),
        2 => x.conv_transpose2d(w, &settings(&plain, false, groups), [0, 0]),
        3 if groups == 1 => {
            let reach: Vec<usize> = (0..axes).map(|axis| (kernel[axis] - 1) * dilations[axis]).collect();
            let widths: Vec<(usize, usize)> =
                [(0, 0), (0, 0)].into_iter().chain(reach.iter().map(|&reach| (reach, reach))).collect();
            let mirrored = w.swap_axes(0, 1).flip([2, 3, 4]);
            let [a, b, c] = [dilations[0], dilations[1], dilations[2]];
            spread(x, &strides).pad(&widths).conv3d(mirrored, &ConvSettings::new().dilations([a, b, c]))
        }
        _ => return lacks("transposed convolutions along more than two axes in groups"),
    };
    let auto = cx.text("auto_pad", "NOTSET");
    let given = cx.extents("pads").unwrap_or_else(|| vec![0; 2 * axes]);
    let wanted = cx.extents("output_shape");
    for axis in 0..axes {
        let full = y.shape()[2 + axis] + more[axis];
        let target = match &wanted {
            Some(wanted) => Some(wanted[wanted.len() - axes + axis]),
            None => auto.starts_with("SAME").then(|| shape[2 + axis] * strides[axis]),
        };
        let (before, after) = match target {
            Some(target) => {
                let total = full.saturating_sub(target);
                let half = total / 2;
                if auto == "SAME_UPPER" { (half, total - half) } else { (total - half, half) }
            }
            None => (given[axis], given[axes + axis]),
        };
        let end = match target {
            Some(target) => before + target,
            None => full - after,
        };
        let own = y.shape()[2 + axis];
        if end > own {
            let mut widths = vec![(0, 0); axes + 2];
            widths[2 + axis] = (0, end - own);
            y = y.pad(&widths);
        }
        y = y.slice(2 + axis as isize, before..end);
    }
    biased(cx, y, 2)
}

/// A convolution per channel that sees what came before, and the elements that the next one begins with.
fn causal_conv<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, w) = (cx.float(0)?, cx.float(1)?);
    let (channels, before) = (x.shape()[1], w.shape()[2] - 1);
    let padded = match cx.optional(3) {
        Some(past) if !past.shape().contains(&0) => cx.g.concat(&[cx.floats(past)?, x], 2),
        _ => x.pad(&[(0, 0), (0, 0), (before, 0)]),
    };
    let y = biased(cx, padded.conv1d(w, &ConvSettings::new().groups(channels)), 2)?;
    let y = cx.floats(&y[0])?;
    let mut outputs = one(match cx.text("activation", "none").as_str() {
        "none" => y,
        "silu" | "swish" => y.silu(),
        other => return Err(Stop::Fails(format!("an activation {other}"))),
    })?;
    if cx.wants(1) {
        if before == 0 {
            return lacks("tensors without elements");
        }
        let length = padded.shape()[2];
        outputs.push(Val::float(padded.slice(2, length - before..length)));
    }
    Ok(outputs)
}

/// Adds up the windows of an image, given as columns: the reverse of taking windows, which is its gradient.
fn col2im<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let columns = cx.float(0)?;
    let image = super::shape::extents(cx, 1)?;
    let windows = Windows::of(cx, &image, super::shape::extents(cx, 2)?)?;
    let axes = image.len();
    let (batch, channels) = (columns.shape()[0], columns.shape()[1] / windows.kernel.iter().product::<usize>());
    let mut padded = vec![batch, channels];
    padded.extend((0..axes).map(|axis| image[axis] + windows.pads[axis].0 + windows.pads[axis].1));
    let base = cx.g.full(padded.clone(), 0.0);
    let mut taken = base;
    for axis in 0..axes {
        let (stride, dilation) = (windows.strides[axis], windows.dilations[axis]);
        taken = taken.unfold(2 + axis as isize, windows.kernel[axis], stride, dilation);
    }
    // Columns hold the places within a window first, then the windows.
    let extents: Vec<usize> = [batch, channels].iter().chain(&windows.kernel).chain(&windows.counts).copied().collect();
    let mut order = vec![0, 1];
    order.extend(2 + axes..2 + 2 * axes);
    order.extend(2..2 + axes);
    let cotangent = super::shape::permuted(columns.reshape(extents), &order);
    let mut y = cx.g.vector_jacobian(&[(taken, cotangent)], &[base])[0];
    for (axis, (&extent, &(before, _))) in image.iter().zip(&windows.pads).enumerate() {
        y = y.slice(2 + axis as isize, before..before + extent);
    }
    one(y)
}
