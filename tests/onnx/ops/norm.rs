//! Normalization.

use super::Record;
use crate::call::{Call, one};
use crate::data::Stop;
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("BatchNormalization", batch_norm),
    ("GroupNormalization", |cx| {
        let (x, groups) = (cx.float(0)?, cx.int("num_groups", 1) as usize);
        let channels = x.shape()[1];
        // Before version 21 there is one number per group.
        let each = |number| cx.float(number).map(|w| each_channel(w, channels));
        one(x.group_norm(groups, each(1)?, each(2)?, cx.number("epsilon", 1e-5)))
    }),
    ("InstanceNormalization", |cx| {
        let x = cx.float(0)?;
        one(x.group_norm(x.shape()[1], cx.float(1)?, cx.float(2)?, cx.number("epsilon", 1e-5)))
    }),
    ("LayerNormalization", layer_norm),
    ("RMSNormalization", |cx| {
        let (x, weight, axis) = (cx.float(0)?, cx.float(1)?, cx.axis("axis", -1)?);
        one(x.rms_norm(weight.broadcast_to(&x.shape()[axis as usize..]), cx.number("epsilon", 1e-5)))
    }),
    ("LRN", lrn),
    ("MeanVarianceNormalization", |cx| {
        let x = cx.float(0)?;
        let axes: Vec<isize> =
            cx.ints("axes").unwrap_or_else(|| vec![0, 2, 3]).iter().map(|&axis| axis as isize).collect();
        let centered = x - x.mean_keep(&axes[..]);
        one(centered / (centered.square().mean_keep(&axes[..]).sqrt() + 1e-9))
    }),
    ("LpNormalization", |cx| {
        let (x, axis) = (cx.float(0)?, cx.axis("axis", -1)?);
        let norm = if cx.int("p", 2) == 1 { x.abs().sum_keep(axis) } else { x.square().sum_keep(axis).sqrt() };
        // What is zero everywhere stays zero.
        let zero = cx.g.scalar(0.0);
        one(x / norm.gt(zero).where_cond(norm, zero + 1.0))
    }),
];

fn each_channel(weight: Tensor<'_>, channels: usize) -> Tensor<'_> {
    let given = weight.shape().elements();
    if given == channels {
        return weight;
    }
    weight.reshape([given, 1]).broadcast_to([given, channels / given]).reshape([channels])
}

/// In training running statistics move by 1 - momentum towards those of the batch, with the population's variance.
fn batch_norm<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let x = cx.float(0)?;
    let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|number| cx.float(number));
    let (weight, bias, mean, variance) = (weight?, bias?, mean?, variance?);
    let epsilon = cx.number("epsilon", 1e-5);
    if cx.int("training_mode", 0) == 0 {
        return one(x.batch_norm_with(mean, variance, weight, bias, epsilon));
    }
    let momentum = cx.number("momentum", 0.9);
    let normed = x.batch_norm(weight, bias, epsilon);
    let count = (x.shape().elements() / x.shape()[1]) as f64;
    let population = normed.variance * ((count - 1.0) / count);
    let moved = |old: Tensor<'g>, new: Tensor<'g>| Val::float(old * momentum + new * (1.0 - momentum));
    Ok(vec![Val::float(normed.output), moved(mean, normed.mean), moved(variance, population)])
}

/// Also gives the mean and the reciprocal deviation, where they are asked for.
fn layer_norm<'g>(cx: &Call<'_, 'g>) -> Result<Vec<Val<'g>>, Stop> {
    let (x, weight, axis) = (cx.float(0)?, cx.float(1)?, cx.axis("axis", -1)?);
    let epsilon = cx.number("epsilon", 1e-5);
    let normed = &x.shape()[axis as usize..];
    let weight = weight.broadcast_to(normed);
    let bias = match cx.optional_float(2)? {
        Some(bias) => bias.broadcast_to(normed),
        None => cx.g.full(normed, 0.0),
    };
    let mut outputs = vec![Val::float(x.layer_norm(weight, bias, epsilon))];
    if cx.wanted() > 1 {
        let axes: Vec<isize> = (axis..x.rank() as isize).collect();
        let mean = x.mean_keep(&axes[..]);
        outputs.push(Val::float(mean));
        outputs.push(Val::float(((x - mean).square().mean_keep(&axes[..]) + epsilon).rsqrt()));
    }
    Ok(outputs)
}

/// x / (bias + alpha / size times the sum of squares over neighbouring channels)^beta.
fn lrn<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, size) = (cx.float(0)?, cx.int("size", 1) as usize);
    let (alpha, beta, bias) = (cx.number("alpha", 1e-4), cx.number("beta", 0.75), cx.number("bias", 1.0));
    let mut widths = vec![(0, 0); x.rank()];
    widths[1] = ((size - 1) / 2, size / 2);
    let sums = x.square().pad(&widths).unfold(1, size, 1, 1).sum(-1);
    one(x / sums.affine(alpha / size as f64, bias).powf(beta))
}
