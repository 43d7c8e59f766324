//! Reductions over axes, running sums and products, and positions of extremes.

use super::Record;
use crate::call::Call;
use crate::data::lacks;
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("ReduceL1", |cx| reduce(cx, |x, axes| x.abs().sum_keep(axes))),
    ("ReduceL2", |cx| reduce(cx, |x, axes| x.square().sum_keep(axes).sqrt())),
    ("ReduceLogSum", |cx| reduce(cx, |x, axes| x.sum_keep(axes).log())),
    ("ReduceLogSumExp", |cx| {
        reduce(cx, |x, axes| {
            let kept = x.sum_keep(axes).shape();
            x.logsumexp(axes).reshape(kept)
        })
    }),
    ("ReduceMax", |cx| reduce(cx, |x, axes| x.amax_keep(axes))),
    ("ReduceMean", |cx| reduce(cx, |x, axes| x.mean_keep(axes))),
    ("ReduceMin", |cx| reduce(cx, |x, axes| x.amin_keep(axes))),
    ("ReduceProd", |cx| reduce(cx, |x, axes| axes.iter().fold(x, |x, &axis| product(x, axis)))),
    ("ReduceSum", |cx| reduce(cx, |x, axes| x.sum_keep(axes))),
    ("ReduceSumSquare", |cx| reduce(cx, |x, axes| x.square().sum_keep(axes))),
    ("ArgMax", |cx| position(cx, |x| x)),
    ("ArgMin", |cx| position(cx, |x| -x)),
    ("CumSum", |cx| running(cx, Tensor::cumsum, 0.0)),
    ("CumProd", |cx| running(cx, products, 1.0)),
    ("TopK", top_k),
];

/// Every element along an axis by itself.
pub fn parts(x: Tensor<'_>, axis: isize) -> impl Iterator<Item = Tensor<'_>> {
    (0..x.shape()[axis as usize]).map(move |place| x.slice(axis, place..place + 1))
}

fn product(x: Tensor<'_>, axis: isize) -> Tensor<'_> {
    parts(x, axis).reduce(|a, b| a * b).unwrap_or(x)
}

fn products(x: Tensor<'_>, axis: isize) -> Tensor<'_> {
    let mut so_far: Option<Tensor<'_>> = None;
    let mut next = |part| *so_far.insert(so_far.map_or(part, |product| product * part));
    let all: Vec<Tensor<'_>> = parts(x, axis).map(&mut next).collect();
    x.graph().concat(&all, axis)
}

/// Axes are an attribute in older versions and an input in newer ones; none are all, or with `noop_with_empty_axes` none.
fn reduce<'g>(cx: &Call<'_, 'g>, op: impl Fn(Tensor<'g>, &[isize]) -> Tensor<'g>) -> Outcome<'g> {
    let axes = cx.attribute_or_input("axes", 1)?.unwrap_or_default();
    let x = cx.float(0)?;
    let rank = x.rank() as i64;
    let mut axes: Vec<isize> = axes.iter().map(|&axis| ((axis + rank) % rank) as isize).collect();
    let nothing = axes.is_empty() && cx.int("noop_with_empty_axes", 0) != 0;
    if axes.is_empty() && !nothing {
        axes = (0..rank as isize).collect();
    }
    axes.sort_unstable();
    let y = op(x, &axes);
    let signed: Vec<usize> = axes.iter().map(|&axis| axis as usize).collect();
    let y = if cx.int("keepdims", 1) == 0 { y.reshape(x.shape().reduced(&signed, false)) } else { y };
    cx.same(y)
}

/// With `select_last_index` the last of equal elements counts.
fn position<'g>(cx: &Call<'_, 'g>, sign: impl Fn(Tensor<'g>) -> Tensor<'g>) -> Outcome<'g> {
    let (x, axis) = (sign(cx.float(0)?), cx.axis("axis", 0)?);
    let extent = x.shape()[axis as usize] as f64;
    let mut y = if cx.int("select_last_index", 0) == 0 {
        x.argmax(axis)
    } else {
        (extent - 1.0 - x.flip(axis).argmax(axis).to_f32()).to_i32()
    };
    if cx.int("keepdims", 1) != 0 {
        y = y.unsqueeze(axis);
    }
    Ok(vec![Val::int(y)])
}

/// From the end with `reverse`; with `exclusive` without the element itself.
fn running<'g>(cx: &Call<'_, 'g>, op: impl Fn(Tensor<'g>, isize) -> Tensor<'g>, empty: f64) -> Outcome<'g> {
    cx.computes()?;
    let x = cx.float(0)?;
    let axis = cx.scalar(1)? as isize;
    let axis = if axis < 0 { axis + x.rank() as isize } else { axis };
    let turn = |x: Tensor<'g>| if cx.int("reverse", 0) == 0 { x } else { x.flip(axis) };
    let mut x = turn(x);
    if cx.int("exclusive", 0) != 0 {
        let extent = x.shape()[axis as usize];
        let first = x.slice(axis, 0..1) * 0.0 + empty;
        x = if extent == 1 { first } else { cx.g.concat(&[first, x.slice(axis, 0..extent - 1)], axis) };
    }
    cx.same(turn(op(x, axis)))
}

fn top_k<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let k = cx.scalar(1)? as usize;
    if k == 0 {
        return lacks("tensors without elements");
    }
    let (x, axis) = (cx.float(0)?, cx.axis("axis", -1)?);
    let largest = cx.int("largest", 1) != 0;
    let (values, positions) = if largest { x.top_k(k, axis) } else { (-x).top_k(k, axis) };
    Ok(vec![Val::of(cx.kind(), if largest { values } else { -values }), Val::int(positions)])
}
