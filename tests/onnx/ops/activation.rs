//! Activations.

use super::Record;
use crate::call::{Call, one};
use crate::recorder::Outcome;
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("Celu", |cx| {
        // max(0, x) + min(0, alpha (exp(x / alpha) - 1))
        let alpha = cx.number("alpha", 1.0);
        one((cx.float(0)? / alpha).elu(1.0) * alpha)
    }),
    ("Elu", |cx| one(cx.float(0)?.elu(cx.number("alpha", 1.0)))),
    ("Gelu", |cx| match cx.text("approximate", "none").as_str() {
        "tanh" => one(cx.float(0)?.gelu_tanh()),
        _ => one(cx.float(0)?.gelu()),
    }),
    ("HardSigmoid", |cx| one(cx.float(0)?.affine(cx.number("alpha", 0.2), cx.number("beta", 0.5)).clamp(0.0, 1.0))),
    ("HardSwish", |cx| one(cx.float(0)?.hardswish())),
    ("Hardmax", |cx| {
        let (x, axis) = (cx.float(0)?, cx.axis("axis", -1)?);
        let classes = x.shape()[axis as usize];
        let rank = x.rank() as isize;
        // The new last axis goes where the classes were.
        let order: Vec<isize> =
            (0..rank).map(|to| if to == axis { rank - 1 } else { to - isize::from(to > axis) }).collect();
        one(x.argmax(axis).one_hot(classes).permute(order))
    }),
    ("LeakyRelu", |cx| one(cx.float(0)?.leaky_relu(cx.number("alpha", 0.01)))),
    ("LogSoftmax", |cx| soft(cx, Tensor::log_softmax)),
    ("Mish", |cx| one(cx.float(0)?.mish())),
    ("PRelu", |cx| {
        let (x, slope) = (cx.float(0)?, cx.float(1)?);
        one(x.relu() - slope * (-x).relu())
    }),
    ("Relu", |cx| one(cx.float(0)?.relu())),
    ("Selu", |cx| {
        let alpha = cx.number("alpha", 1.673_263_2);
        one(cx.float(0)?.elu(alpha) * cx.number("gamma", 1.050_701))
    }),
    ("Shrink", shrink),
    ("Sigmoid", |cx| one(cx.float(0)?.sigmoid())),
    ("Softmax", |cx| soft(cx, Tensor::softmax)),
    ("Softplus", |cx| one(cx.float(0)?.softplus())),
    ("Softsign", |cx| one(cx.float(0)?.softsign())),
    ("Swish", |cx| {
        let x = cx.float(0)?;
        match cx.number("alpha", 1.0) {
            1.0 => one(x.silu()),
            alpha => one(x * (x * alpha).sigmoid()),
        }
    }),
    ("Tanh", |cx| one(cx.float(0)?.tanh())),
    ("ThresholdedRelu", |cx| {
        let (x, threshold) = (cx.float(0)?, cx.g.scalar(cx.number("alpha", 1.0)));
        one(x.gt(threshold).where_cond(x, cx.g.scalar(0.0)))
    }),
];

/// Before version 13 all axes from the given one on are one, and the first is 1 unless said otherwise.
fn soft<'g>(cx: &Call<'_, 'g>, op: impl Fn(Tensor<'g>, isize) -> Tensor<'g>) -> Outcome<'g> {
    let x = cx.float(0)?;
    if cx.version() >= 13 {
        return one(op(x, cx.axis("axis", -1)?));
    }
    let shape = x.shape();
    one(op(x.flatten(cx.axis("axis", 1)? as usize), -1).reshape(shape))
}

/// x - bias above lambda, x + bias below -lambda, and zero between.
fn shrink<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (x, bias, lambda) = (cx.float(0)?, cx.number("bias", 0.0), cx.number("lambd", 0.5));
    let zero = cx.g.scalar(0.0);
    let below = x.lt(cx.g.scalar(-lambda)).where_cond(x + bias, zero);
    one(x.gt(cx.g.scalar(lambda)).where_cond(x - bias, below))
}
