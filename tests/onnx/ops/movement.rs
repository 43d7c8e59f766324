//! Elements in other places: transposed, joined, cut, repeated, padded, rearranged.

use super::Record;
use super::shape::{extents, permuted};
use crate::call::Call;
use crate::data::{Data, Kind, Stop};
use crate::recorder::{Outcome, Val};
use retrograd::{HostData, HostTensor, Tensor};

pub const OPS: &[(&str, Record)] = &[
    ("Transpose", |cx| {
        let x = cx.float(0)?;
        let order = cx.extents("perm").unwrap_or_else(|| (0..x.rank()).rev().collect());
        cx.same(permuted(x, &order))
    }),
    ("Concat", concat),
    ("Split", split),
    ("Slice", slice),
    ("Tile", |cx| {
        let (x, repeats) = (cx.float(0)?, extents(cx, 1)?);
        cx.same(repeats.iter().enumerate().fold(x, |x, (axis, &count)| tiled(x, axis, count)))
    }),
    ("Pad", pad),
    ("CenterCropPad", center_crop_pad),
    ("DepthToSpace", |cx| {
        let (x, block) = (cx.float(0)?, cx.int("blocksize", 1) as usize);
        let shape = x.shape();
        let (n, c, h, w) = (shape[0], shape[1] / (block * block), shape[2], shape[3]);
        let y = match cx.text("mode", "DCR").as_str() {
            "CRD" => permuted(x.reshape([n, c, block, block, h, w]), &[0, 1, 4, 2, 5, 3]),
            _ => permuted(x.reshape([n, block, block, c, h, w]), &[0, 3, 4, 1, 5, 2]),
        };
        cx.same(y.reshape([n, c, h * block, w * block]))
    }),
    ("SpaceToDepth", |cx| {
        let (x, block) = (cx.float(0)?, cx.int("blocksize", 1) as usize);
        let shape = x.shape();
        let (n, c, h, w) = (shape[0], shape[1], shape[2] / block, shape[3] / block);
        let y = permuted(x.reshape([n, c, h, block, w, block]), &[0, 3, 5, 1, 2, 4]);
        cx.same(y.reshape([n, c * block * block, h, w]))
    }),
    ("Trilu", |cx| {
        let (x, k) = (cx.float(0)?, if cx.optional(1).is_some() { cx.scalar(1)? as i32 } else { 0 });
        cx.same(if cx.int("upper", 1) == 0 { x.tril(k) } else { x - x.tril(k - 1) })
    }),
    ("ReverseSequence", reverse_sequence),
];

fn concat<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let values: Vec<&Val<'g>> = (0..cx.count()).map(|number| cx.value(number)).collect::<Result<_, _>>()?;
    // Extents are joined as what they are: known, and perhaps none.
    if values.iter().all(|value| value.tensor().is_none() && value.shape().len() == 1) {
        let parts = (0..cx.count()).map(|number| cx.known(number)).collect::<Result<Vec<_>, Stop>>()?;
        let values: Vec<f64> = parts.iter().flat_map(|part| part.values.clone()).collect();
        return Ok(vec![Val::known(Data::new(cx.kind(), vec![values.len()], values))]);
    }
    let parts = values.iter().filter(|value| !value.shape().contains(&0));
    let parts: Vec<Tensor<'g>> = parts.map(|value| cx.floats(value)).collect::<Result<_, Stop>>()?;
    let axis = cx.axis("axis", 0)?;
    cx.same(if parts.len() == 1 { parts[0] } else { cx.g.concat(&parts, axis) })
}

/// Sizes are an attribute in older versions and an input in newer ones; without them parts are equal, or the last smaller.
fn split<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, axis) = (cx.float(0)?, cx.axis("axis", 0)?);
    let (extent, count) = (x.shape()[axis as usize], cx.wanted());
    let size = extent.div_ceil(count);
    let sizes: Vec<usize> = cx.attribute_or_input("split", 1)?.map_or_else(
        || (0..count).map(|part| size.min(extent - part * size)).collect(),
        |sizes| sizes.iter().map(|&size| size as usize).collect(),
    );
    let mut start = 0;
    let mut part = |&size: &usize| {
        start += size;
        if size == 0 {
            let mut extents = x.shape().to_vec();
            extents[axis as usize] = 0;
            return Val::known(Data::new(cx.kind(), extents, Vec::new()));
        }
        Val::of(cx.kind(), x.slice(axis, start - size..start))
    };
    Ok(sizes.iter().map(&mut part).collect())
}

/// Starts, ends and steps are attributes in older versions and inputs in newer ones.
fn slice<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let starts = cx.attribute_or_input("starts", 1)?.unwrap_or_default();
    let ends = cx.attribute_or_input("ends", 2)?.unwrap_or_default();
    let axes = cx.attribute_or_input("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = cx.optional_ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let shape = cx.value(0)?.shape();
    let rank = shape.len() as i64;
    let mut picks: Vec<(usize, Vec<usize>)> = Vec::new();
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = ((axis + rank) % rank) as usize;
        let extent = shape[axis] as i64;
        let place = |place: i64| if place < 0 { place.saturating_add(extent) } else { place };
        let (low, high) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
        let (mut at, end) = (place(start).clamp(low.max(0), high), place(end).clamp(low, high));
        let mut places = Vec::new();
        while (step > 0 && at < end) || (step < 0 && at > end) {
            places.push(at as usize);
            at = at.saturating_add(step);
        }
        picks.push((axis, places));
    }
    let empty = picks.iter().any(|(_, places)| places.is_empty());
    if let (None, [(_, places)]) = (cx.value(0)?.tensor(), &picks[..]) {
        let data = cx.known(0)?;
        if rank == 1 {
            let values: Vec<f64> = places.iter().map(|&place| data.values[place]).collect();
            return Ok(vec![Val::known(Data::new(cx.kind(), vec![values.len()], values))]);
        }
    }
    if empty {
        let mut extents = shape.clone();
        for (axis, places) in &picks {
            extents[*axis] = places.len();
        }
        return Ok(vec![Val::known(Data::new(cx.kind(), extents, Vec::new()))]);
    }
    let pick = |x: Tensor<'g>, (axis, places): &(usize, Vec<usize>)| {
        let (first, last, axis) = (places[0], places[places.len() - 1], *axis as isize);
        let step = places.get(1).map_or(1, |second| second.abs_diff(first));
        if last >= first {
            x.slice_step(axis, first..last + 1, step)
        } else {
            // Cut from the last to the first, then turned round.
            x.slice_step(axis, last..first + 1, step).flip(axis)
        }
    };
    cx.same(picks.iter().fold(cx.float(0)?, pick))
}

fn tiled(x: Tensor<'_>, axis: usize, count: usize) -> Tensor<'_> {
    if count == 1 { x } else { x.graph().concat(&vec![x; count], axis as isize) }
}

/// Elements along an axis by places that are known.
pub fn selected(x: Tensor<'_>, axis: usize, places: Vec<usize>) -> Tensor<'_> {
    let places: Vec<i32> = places.into_iter().map(|place| place as i32).collect();
    x.index_select(axis as isize, x.graph().constant(places))
}

/// A mask of this shape, 1 within and 0 in the padding around.
fn within<'g>(x: Tensor<'g>, widths: &[(usize, usize)]) -> Tensor<'g> {
    let g = x.graph();
    let ones =
        g.constant(HostTensor::new(x.shape(), HostData::F32(vec![1.0; x.shape().elements()])).expect("one each"));
    ones.pad(widths).gt(g.scalar(0.0))
}

/// Padding of a value.
pub fn padded<'g>(x: Tensor<'g>, widths: &[(usize, usize)], value: Tensor<'g>) -> Tensor<'g> {
    if widths.iter().all(|&widths| widths == (0, 0)) { x } else { within(x, widths).where_cond(x.pad(widths), value) }
}

/// Negative widths cut.
fn pad<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let mut x = cx.float(0)?;
    let pads = cx.attribute_or_input("pads", 1)?.unwrap_or_default();
    let rank = x.rank();
    let axes = cx.optional_ints(3)?.unwrap_or_else(|| (0..rank as i64).collect());
    let mut widths = vec![(0, 0); rank];
    for (number, &axis) in axes.iter().enumerate() {
        let axis = (axis + rank as i64) as usize % rank;
        widths[axis] = (pads[number], pads[axes.len() + number]);
    }
    for (axis, widths) in widths.iter_mut().enumerate() {
        let (before, after) = *widths;
        if before < 0 || after < 0 {
            let (start, end) = ((-before).max(0) as usize, x.shape()[axis] - (-after).max(0) as usize);
            x = x.slice(axis as isize, start..end);
            *widths = (before.max(0), after.max(0));
        }
    }
    let mode = cx.text("mode", "constant");
    if mode == "constant" {
        let widths: Vec<(usize, usize)> = widths.iter().map(|&(a, b)| (a as usize, b as usize)).collect();
        let value = match cx.optional_float(2)? {
            Some(value) => value.reshape([1]),
            None => cx.g.full([1], cx.number("value", 0.0)),
        };
        return cx.same(padded(x, &widths, value));
    }
    for (axis, &(before, after)) in widths.iter().enumerate() {
        let extent = x.shape()[axis] as i64;
        let place = |place: i64| match mode.as_str() {
            "edge" => place.clamp(0, extent - 1),
            "wrap" => place.rem_euclid(extent),
            _ => {
                let period = (2 * (extent - 1)).max(1);
                let folded = place.rem_euclid(period);
                folded.min(period - folded)
            }
        };
        if before > 0 || after > 0 {
            x = selected(x, axis, (-before..extent + after).map(|at| place(at) as usize).collect());
        }
    }
    cx.same(x)
}

fn center_crop_pad<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let mut x = cx.float(0)?;
    let target = extents(cx, 1)?;
    let rank = x.rank() as i64;
    let axes = cx.ints("axes").unwrap_or_else(|| (0..rank).collect());
    for (&axis, &extent) in axes.iter().zip(&target) {
        let axis = ((axis + rank) % rank) as usize;
        let own = x.shape()[axis];
        if extent < own {
            let start = (own - extent) / 2;
            x = x.slice(axis as isize, start..start + extent);
        } else if extent > own {
            let mut widths = vec![(0, 0); rank as usize];
            let before = (extent - own) / 2;
            widths[axis] = (before, extent - own - before);
            x = x.pad(&widths);
        }
    }
    cx.same(x)
}

/// The first elements of every sequence of a batch in reverse order; their number is known.
fn reverse_sequence<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, lengths) = (cx.float(0)?, cx.known(1)?.to_ints());
    let (batch, time) = (cx.int("batch_axis", 1) as usize, cx.int("time_axis", 0) as usize);
    let shape = x.shape();
    let strides = shape.strides();
    let mut index = vec![0i32; shape.elements()];
    for (place, index) in index.iter_mut().enumerate() {
        let coordinate = |axis: usize| place / strides[axis] as usize % shape[axis];
        let (at, length) = (coordinate(time), lengths[coordinate(batch)] as usize);
        *index = (if at < length { length - 1 - at } else { at }) as i32;
    }
    let index = HostTensor::new(&shape, HostData::I32(index)).expect("one index was made per element");
    Ok(vec![Val::of(Kind::Float, x.gather(time as isize, cx.g.constant(index)))])
}
