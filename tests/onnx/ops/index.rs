//! Elements and rows by index, and the reverse.

use super::Record;
use super::movement::padded;
use super::reduce::parts;
use super::shape::permuted;
use crate::call::Call;
use crate::data::{Kind, Stop};
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("Gather", |cx| {
        let (x, axis) = (cx.float(0)?, cx.axis("axis", 0)?);
        let index = cx.index(1, x.shape()[axis as usize])?;
        let mut extents = x.shape()[..axis as usize].to_vec();
        extents.extend(index.shape().iter().chain(&x.shape()[axis as usize + 1..]));
        cx.same(x.index_select(axis, index.reshape([index.shape().elements()])).reshape(extents))
    }),
    ("GatherElements", |cx| {
        let (x, axis) = (cx.float(0)?, cx.axis("axis", 0)?);
        let index = cx.index(1, x.shape()[axis as usize])?;
        cx.same(corner(x, index, axis).gather(axis, index))
    }),
    ("GatherND", gather_nd),
    ("Scatter", scatter_elements),
    ("ScatterElements", scatter_elements),
    ("ScatterND", scatter_nd),
    ("OneHot", one_hot),
    ("TensorScatter", tensor_scatter),
    ("MaxUnpool", max_unpool),
];

/// Of `x` what lies within the extents of `index`, on all axes but one.
fn corner<'g>(x: Tensor<'g>, index: Tensor<'g>, axis: isize) -> Tensor<'g> {
    let extents = index.shape();
    let cut = |x: Tensor<'g>, other: usize| {
        let stays = other == axis as usize || x.shape()[other] == extents[other];
        if stays { x } else { x.slice(other as isize, 0..extents[other]) }
    };
    (0..x.rank()).fold(x, cut)
}

/// Positions in the flat first axes of `shape`, from tuples along the last axis of the indices.
fn flat<'g>(cx: &Call<'_, 'g>, number: usize, shape: &[usize]) -> Result<Tensor<'g>, Stop> {
    let tuples = cx.float(number)?;
    let last = tuples.rank() as isize - 1;
    let zero = cx.g.scalar(0.0);
    let mut position = None;
    for (part, &extent) in parts(tuples, last).zip(shape) {
        let part = part.lt(zero).where_cond(part + extent as f64, part);
        position = Some(position.map_or(part, |before: Tensor<'g>| before * extent as f64 + part));
    }
    let position = position.ok_or_else(|| Stop::Fails("tuples without indices".into()))?;
    Ok(position.reshape([position.shape().elements()]).to_i32())
}

fn gather_nd<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, tuples) = (cx.float(0)?, cx.value(1)?.shape());
    let (shape, depth) = (x.shape(), tuples.last().copied().unwrap_or(1));
    let batch = cx.int("batch_dims", 0) as usize;
    let rows: usize = shape[batch..batch + depth].iter().product();
    let rest = &shape[batch + depth..];
    let batches: usize = shape[..batch].iter().product();
    let position = flat(cx, 1, &shape[batch..batch + depth])?;
    // Every element of a batch has rows of its own.
    let per = position.shape().elements() / batches;
    let offset: Vec<f32> = (0..batches * per).map(|place| (place / per * rows) as f32).collect();
    let position = (position.to_f32() + cx.g.constant(offset)).to_i32();
    let table = x.reshape([batches * rows, rest.iter().product()]);
    let extents: Vec<usize> = tuples[..tuples.len() - 1].iter().chain(rest).copied().collect();
    cx.same(table.embedding(position).reshape(extents))
}

/// Adds to what indices name, or replaces or combines it: entry after entry, as the crate only adds. An entry names no
/// element twice.
fn scattered<'g>(
    cx: &Call<'_, 'g>,
    x: Tensor<'g>,
    axis: isize,
    index: Tensor<'g>,
    updates: Tensor<'g>,
) -> Result<Tensor<'g>, Stop> {
    let op: fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g> = match cx.text("reduction", "none").as_str() {
        "add" => return Ok(x.scatter_add(axis, index, updates)),
        "none" => |_, update| update,
        "mul" => |x, update| x * update,
        "max" => Tensor::maximum,
        "min" => Tensor::minimum,
        other => return Err(Stop::Fails(format!("a reduction {other}"))),
    };
    let (empty, zero) = (cx.g.full(x.shape(), 0.0), cx.g.scalar(0.0));
    let mut y = x;
    for place in 0..index.shape()[axis as usize] {
        let [index, update] = [index, updates].map(|entries| entries.slice(axis, place..place + 1));
        let hit = empty.scatter_add(axis, index, cx.g.full(update.shape(), 1.0)).gt(zero);
        y = hit.where_cond(op(y, empty.scatter_add(axis, index, update)), y);
    }
    Ok(y)
}

fn scatter_elements<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, axis, updates) = (cx.float(0)?, cx.axis("axis", 0)?, cx.float(2)?);
    let index = cx.index(1, x.shape()[axis as usize])?;
    let part = corner(x, index, axis);
    let y = scattered(cx, part, axis, index, updates)?;
    if part.shape() == x.shape() {
        return cx.same(y);
    }
    // The rest of x stays as it is.
    let widths: Vec<(usize, usize)> = x.shape().iter().zip(&y.shape()[..]).map(|(all, own)| (0, all - own)).collect();
    cx.same(padded(y, &widths, x))
}

fn scatter_nd<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, updates) = (cx.float(0)?, cx.float(2)?);
    let (shape, depth) = (x.shape(), cx.value(1)?.shape().last().copied().unwrap_or(1));
    let (rows, inner): (usize, usize) = (shape[..depth].iter().product(), shape[depth..].iter().product());
    let position = flat(cx, 1, &shape[..depth])?;
    let count = position.shape().elements();
    let index = position.unsqueeze(1).broadcast_to([count, inner]);
    let y = scattered(cx, x.reshape([rows, inner]), 0, index, updates.reshape([count, inner]))?;
    cx.same(y.reshape(shape))
}

/// Off and on values; negative indices count from the end.
fn one_hot<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let depth = cx.scalar(1)? as usize;
    let index = if cx.kind() == Kind::Int {
        cx.index(0, depth)?
    } else {
        let index = cx.float(0)?;
        index.lt(cx.g.scalar(0.0)).where_cond(index + depth as f64, index).to_i32()
    };
    let values = cx.float(2)?;
    let (off, on) = (values.slice(0, 0..1), values.slice(0, 1..2));
    let hot = index.one_hot(depth) * (on - off) + off;
    let rank = hot.rank();
    let axis = cx.int("axis", -1);
    let axis = (if axis < 0 { axis + rank as i64 } else { axis }) as usize;
    let mut order: Vec<usize> = (0..rank - 1).collect();
    order.insert(axis, rank - 1);
    Ok(vec![Val::of(cx.value(2)?.kind, permuted(hot, &order))])
}

/// Writes a run of positions of every sequence, at its own start, into a cache.
fn tensor_scatter<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (past, update) = (cx.float(0)?, cx.float(1)?);
    let axis = cx.axis("axis", -2)?;
    let (length, run, batch) = (past.shape()[axis as usize], update.shape()[axis as usize], past.shape()[0]);
    let starts = match cx.optional(2) {
        Some(starts) => cx.floats(starts)?,
        None => cx.g.full([batch], 0.0),
    };
    let mut extents = vec![1; past.rank()];
    extents[axis as usize] = run;
    let steps: Vec<f32> = (0..run).map(|step| step as f32).collect();
    let mut per_batch = vec![1; past.rank()];
    per_batch[0] = batch;
    let place = starts.reshape(per_batch) + cx.g.constant(steps).reshape(extents);
    let full = cx.g.scalar(length as f64);
    // In a ring what is past the end goes to the front.
    let place = if cx.text("mode", "linear") == "circular" {
        place.ge(full).where_cond(place - length as f64, place)
    } else {
        place
    };
    let index = (place + update * 0.0).to_i32();
    cx.same(scattered(cx, past, axis, index, update)?)
}

/// Puts every maximum back where it came from: positions in the flat tensor that was pooled.
fn max_unpool<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let x = cx.float(0)?;
    let shape = x.shape();
    let kernel = cx.extents("kernel_shape").unwrap_or_default();
    let axes = kernel.len();
    let strides = cx.extents("strides").unwrap_or_else(|| vec![1; axes]);
    let pads = cx.extents("pads").unwrap_or_else(|| vec![0; 2 * axes]);
    let mut inferred = shape[..2].to_vec();
    for axis in 0..axes {
        inferred.push((shape[2 + axis] - 1) * strides[axis] + kernel[axis] - pads[axis] - pads[axes + axis]);
    }
    let count = shape.elements();
    let elements: usize = inferred.iter().product();
    let index = cx.index(1, elements)?.reshape([count]);
    let y = cx.g.full([elements], 0.0).scatter_add(0, index, x.reshape([count])).reshape(inferred.clone());
    let Some(output) = cx.optional(2).map(|_| super::shape::extents(cx, 2)).transpose()? else { return cx.same(y) };
    let widths: Vec<(usize, usize)> = output.iter().zip(&inferred).map(|(all, own)| (0, all - own)).collect();
    cx.same(y.pad(&widths))
}
