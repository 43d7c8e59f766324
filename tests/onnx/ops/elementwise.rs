//! Arithmetic and functions of single elements.

use super::Record;
use crate::call::Call;
use crate::data::{Kind, Stop};
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("Abs", |cx| unary(cx, Tensor::abs)),
    ("Acos", |cx| unary(cx, |x| (((1.0 - x) / (x + 1.0)).sqrt()).atan() * 2.0)),
    ("Acosh", |cx| unary(cx, |x| (x + (x.square() - 1.0).sqrt()).log())),
    ("Asin", |cx| unary(cx, |x| (x / (1.0 - x.square()).sqrt()).atan())),
    ("Asinh", |cx| unary(cx, |x| x.sign() * (x.abs() + (x.square() + 1.0).sqrt()).log())),
    ("Atan", |cx| unary(cx, Tensor::atan)),
    ("Atanh", |cx| unary(cx, |x| (x.log1p() - (-x).log1p()) * 0.5)),
    ("Ceil", |cx| unary(cx, |x| -floor(-x))),
    ("Cos", |cx| unary(cx, Tensor::cos)),
    ("Cosh", |cx| unary(cx, |x| (x.exp() + (-x).exp()) * 0.5)),
    ("Erf", |cx| unary(cx, Tensor::erf)),
    ("Exp", |cx| unary(cx, Tensor::exp)),
    ("Floor", |cx| unary(cx, floor)),
    ("Log", |cx| unary(cx, Tensor::log)),
    ("Neg", |cx| unary(cx, |x| -x)),
    ("Reciprocal", |cx| unary(cx, Tensor::reciprocal)),
    ("Round", |cx| unary(cx, round)),
    ("Sign", |cx| unary(cx, Tensor::sign)),
    ("Sin", |cx| unary(cx, Tensor::sin)),
    ("Sinh", |cx| unary(cx, |x| (x.expm1() - (-x).expm1()) * 0.5)),
    ("Sqrt", |cx| unary(cx, Tensor::sqrt)),
    ("Tan", |cx| unary(cx, |x| x.sin() / x.cos())),
    ("Add", |cx| binary(cx, |a, b| a + b)),
    ("Sub", |cx| binary(cx, |a, b| a - b)),
    ("Mul", |cx| binary(cx, |a, b| a * b)),
    ("Div", |cx| match cx.kind() {
        // Integers lose what is left over.
        Kind::Int => binary(cx, |a, b| (a / b).to_i32().to_f32()),
        _ => binary(cx, |a, b| a / b),
    }),
    ("Pow", |cx| binary(cx, |a, b| power(cx, a, b))),
    ("Mod", remainder),
    ("Max", |cx| variadic(cx, Tensor::maximum)),
    ("Min", |cx| variadic(cx, Tensor::minimum)),
    ("Sum", |cx| variadic(cx, |a, b| a + b)),
    ("Mean", |cx| {
        let sum = variadic(cx, |a, b| a + b)?;
        cx.same(cx.floats(&sum[0])? / cx.count() as f64)
    }),
    ("Clip", clip),
];

fn unary<'g>(cx: &Call<'_, 'g>, op: impl Fn(Tensor<'g>) -> Tensor<'g>) -> Outcome<'g> {
    cx.computes()?;
    cx.same(op(cx.float(0)?))
}

fn binary<'g>(cx: &Call<'_, 'g>, op: impl Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>) -> Outcome<'g> {
    cx.computes()?;
    cx.same(op(cx.float(0)?, cx.float(1)?))
}

fn variadic<'g>(cx: &Call<'_, 'g>, op: impl Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>) -> Outcome<'g> {
    cx.computes()?;
    let mut result = cx.float(0)?;
    for number in 1..cx.count() {
        result = op(result, cx.float(number)?);
    }
    cx.same(result)
}

/// The greatest whole number that is not above x, within 32 bits.
pub fn floor(x: Tensor<'_>) -> Tensor<'_> {
    let whole = x.to_i32().to_f32();
    whole - whole.gt(x).to_f32()
}

/// The nearest whole number; of two as near the even one.
pub fn round(x: Tensor<'_>) -> Tensor<'_> {
    let up = floor(x + 0.5);
    let half = up.graph().scalar(0.5);
    let odd = up - floor(up * 0.5) * 2.0;
    up - (up - x).eq(half).to_f32() * odd
}

/// With one exponent for all, known while recording, x^exponent; negative bases have whole powers alone.
fn power<'g>(cx: &Call<'_, 'g>, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    match cx.known(1) {
        Ok(data) if data.values.len() == 1 && b.rank() <= a.rank() => a.powf(data.values[0]),
        _ => a.pow(b),
    }
}

/// What is left of a division that rounds down, or with `fmod` towards zero.
fn remainder<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let truncates = cx.int("fmod", 0) != 0;
    binary(cx, |a, b| {
        let quotient = a / b;
        a - b * if truncates { quotient.to_i32().to_f32() } else { floor(quotient) }
    })
}

/// Bounds are numbers in older versions, and inputs in newer ones.
fn clip<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    cx.computes()?;
    let bound = |name: &str, number: usize| -> Result<Option<Tensor<'g>>, Stop> {
        match cx.attribute(name) {
            Some(attribute) => Ok(Some(cx.g.scalar(attribute.float.into()))),
            None => cx.optional_float(number),
        }
    };
    let x = cx.float(0)?;
    let (low, high) = (bound("min", 1)?, bound("max", 2)?);
    let x = low.map_or(x, |low| x.maximum(low));
    Ok(vec![Val::of(cx.kind(), high.map_or(x, |high| x.minimum(high)))])
}
