//! Losses.

use super::Record;
use super::shape::permuted;
use crate::call::Call;
use crate::data::Stop;
use crate::recorder::Val;
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("NegativeLogLikelihoodLoss", |cx| {
        let x = last(cx.float(0)?);
        Ok(vec![loss(cx, x, false)?])
    }),
    ("SoftmaxCrossEntropyLoss", |cx| {
        let x = cx.float(0)?;
        let mut outputs = vec![loss(cx, last(x), true)?];
        if cx.wants(1) {
            outputs.push(Val::float(x.log_softmax(1)));
        }
        Ok(outputs)
    }),
];

/// Classes, the second axis, as the last one.
fn last(x: Tensor<'_>) -> Tensor<'_> {
    let mut order: Vec<usize> = (0..x.rank()).filter(|&axis| axis != 1).collect();
    order.push(1);
    permuted(x, &order)
}

/// Of scores, or of log-probabilities, against labels; with weights per class, and without the labels to ignore.
fn loss<'g>(cx: &Call<'_, 'g>, x: Tensor<'g>, scores: bool) -> Result<Val<'g>, Stop> {
    let classes = x.shape().last();
    let ignored = cx.attribute("ignore_index").map(|attribute| attribute.int as f64);
    let weights = cx.optional_float(2)?;
    // Ignored labels may be no classes at all: they become class 0, with weight 0.
    let (labels, kept) = match ignored {
        Some(ignored) => {
            let labels = cx.float(1)?;
            let kept = labels.ne(cx.g.scalar(ignored)).to_f32();
            ((labels * kept).to_i32(), Some(kept))
        }
        None => (cx.index(1, classes)?, None),
    };
    let rows = if scores { x.cross_entropy_rows(labels, 0.0) } else { -x.gather(-1, labels.unsqueeze(-1)).squeeze(-1) };
    let weight = weights.map(|weights| weights.unsqueeze(1).embedding(labels).squeeze(-1));
    let weight = match (weight, kept) {
        (Some(weight), Some(kept)) => Some(weight * kept),
        (weight, kept) => weight.or(kept),
    };
    let weighted = weight.map_or(rows, |weight| rows * weight);
    Ok(Val::float(match (cx.text("reduction", "mean").as_str(), weight) {
        ("none", _) => weighted,
        ("sum", _) => weighted.sum(..),
        (_, Some(weight)) => weighted.sum(..) / weight.sum(..),
        (_, None) if scores => x.cross_entropy(labels),
        (_, None) => rows.mean(..),
    }))
}
