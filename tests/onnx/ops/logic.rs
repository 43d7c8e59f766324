//! Comparisons, truth values, and choices by them.

use super::Record;
use crate::call::{Call, one};
use crate::data::{Kind, lacks};
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("And", |cx| masks(cx, |a, b| a * b)),
    ("Or", |cx| masks(cx, Tensor::maximum)),
    ("Xor", |cx| masks(cx, |a, b| (a - b).abs())),
    ("Not", |cx| {
        let zero = cx.g.scalar(0.0);
        Ok(vec![Val::mask(cx.float(0)?.eq(zero))])
    }),
    ("Equal", |cx| compare(cx, Tensor::eq)),
    ("Greater", |cx| compare(cx, Tensor::gt)),
    ("GreaterOrEqual", |cx| compare(cx, Tensor::ge)),
    ("Less", |cx| compare(cx, Tensor::lt)),
    ("LessOrEqual", |cx| compare(cx, Tensor::le)),
    ("IsNaN", |cx| Ok(vec![Val::mask(is_nan(cx.float(0)?))])),
    ("IsInf", |cx| {
        let (x, greatest) = (cx.float(0)?, cx.g.scalar(f64::from(f32::MAX)));
        let (above, below) = (x.gt(greatest).to_f32(), x.lt(-greatest).to_f32());
        let zero = cx.g.scalar(0.0);
        let either = above * cx.int("detect_positive", 1) as f64 + below * cx.int("detect_negative", 1) as f64;
        Ok(vec![Val::mask(either.gt(zero))])
    }),
    ("Where", |cx| {
        let kind = cx.value(1)?.kind;
        Ok(vec![Val::of(kind, cx.mask(0)?.where_cond(cx.float(1)?, cx.float(2)?))])
    }),
    ("Cast", |cx| cast(cx, crate::data::kind(cx.int("to", 1) as i32)?)),
    ("CastLike", |cx| cast(cx, cx.value(1)?.kind)),
    ("Dropout", dropout),
];

fn masks<'g>(cx: &Call<'_, 'g>, op: impl Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>) -> Outcome<'g> {
    let zero = cx.g.scalar(0.0);
    Ok(vec![Val::mask(op(cx.float(0)?, cx.float(1)?).gt(zero))])
}

fn compare<'g>(cx: &Call<'_, 'g>, op: impl Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>) -> Outcome<'g> {
    Ok(vec![Val::mask(op(cx.float(0)?, cx.float(1)?))])
}

/// As an integer NaN is the least one, which no number above -2^31 becomes.
fn is_nan(x: Tensor<'_>) -> Tensor<'_> {
    let g = x.graph();
    let least = x.to_i32().to_f32().eq(g.scalar(-2_147_483_648.0)).to_f32();
    let (below, zero) = (x.lt(g.scalar(0.0)).to_f32(), g.scalar(0.0));
    (least - below).gt(zero)
}

/// From one kind of elements to another; between widths of one kind nothing changes here.
fn cast<'g>(cx: &Call<'_, 'g>, to: Kind) -> Outcome<'g> {
    let from = cx.value(0)?;
    if cx.is_single() {
        return lacks("conversions between element types of 64, 16 and fewer bits");
    }
    let cast = match (from.kind, to) {
        (from, to) if from == to => cx.value(0)?.clone(),
        (_, Kind::Bool) => Val::mask(cx.mask(0)?),
        (Kind::Float, Kind::Int) => Val::int(cx.float(0)?.to_i32()),
        (_, kind) => Val::of(kind, cx.float(0)?),
    };
    Ok(vec![cast])
}

/// Outside of training nothing is dropped, and in training with a ratio of zero.
fn dropout<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let trains = cx.optional(2).is_some() && cx.scalar(2)? != 0.0;
    let ratio = if cx.optional(1).is_some() { cx.scalar(1)? } else { 0.5 };
    if trains && ratio != 0.0 {
        return lacks("random numbers of a generator that the expected output does not fix");
    }
    let x = cx.float(0)?;
    let mut outputs = one(x.dropout(0.0))?;
    if cx.wanted() > 1 {
        outputs.push(Val::mask(x.eq(x)));
    }
    Ok(outputs)
}
