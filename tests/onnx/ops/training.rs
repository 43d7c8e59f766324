//! The domain `ai.onnx.preview.training`: one step of optimizers, recorded by their formulas where they differ from the
//! crate's, and gradients.

use super::Record;
use crate::call::Call;
use crate::data::Stop;
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("Adagrad", |cx| {
        let (epsilon, decay) = (cx.number("epsilon", 0.0), cx.number("decay_factor", 0.0));
        step(cx, 1, |rate, count, weight, gradient, states| {
            let rate = rate / count.affine(decay, 1.0);
            let square = states[0] + gradient.square();
            (weight - rate * gradient / (square.sqrt() + epsilon), vec![square])
        })
    }),
    ("Adam", |cx| {
        let (first, second) = (cx.number("alpha", 0.9), cx.number("beta", 0.999));
        let (epsilon, after) = (cx.number("epsilon", 0.0), cx.number("norm_coefficient_post", 0.0));
        step(cx, 2, |rate, count, weight, gradient, states| {
            let mean = states[0] * first + gradient * (1.0 - first);
            let square = states[1] * second + gradient.square() * (1.0 - second);
            // Corrected for their start at zero, but not before the first step.
            let power = |base: f64| 1.0 - (count * base.ln()).exp();
            let corrected = rate * power(second).sqrt() / power(first);
            let zero = count.graph().scalar(0.0);
            let rate = count.gt(zero).where_cond(corrected, rate);
            let moved = weight - rate * mean / (square.sqrt() + epsilon);
            (moved * (1.0 - after), vec![mean, square])
        })
    }),
    ("Momentum", |cx| {
        let (keeps, adds) = (cx.number("alpha", 0.0), cx.number("beta", 0.0));
        let nesterov = cx.text("mode", "standard") == "nesterov";
        step(cx, 1, |rate, count, weight, gradient, states| {
            let zero = count.graph().scalar(0.0);
            let adds = count.gt(zero).where_cond(zero + adds, zero + 1.0);
            let velocity = states[0] * keeps + adds * gradient;
            let change = if nesterov { gradient + velocity * keeps } else { velocity };
            (weight - rate * change, vec![velocity])
        })
    }),
    ("Gradient", gradient),
];

/// One step for every tensor that is optimized: rate, count, then all tensors, all gradients, and all of each state; of the
/// results likewise. Weights decay through their gradient.
fn step<'g>(
    cx: &Call<'_, 'g>,
    states: usize,
    rule: impl Fn(Tensor<'g>, Tensor<'g>, Tensor<'g>, Tensor<'g>, &[Tensor<'g>]) -> (Tensor<'g>, Vec<Tensor<'g>>),
) -> Outcome<'g> {
    let parts = 2 + states;
    let tensors = (cx.count() - 2) / parts;
    let (rate, count, decay) = (cx.float(0)?, cx.float(1)?, cx.number("norm_coefficient", 0.0));
    let mut results: Vec<Vec<Val<'g>>> = vec![Vec::new(); 1 + states];
    for number in 0..tensors {
        let part = |part: usize| cx.float(2 + part * tensors + number);
        let (weight, gradient) = (part(0)?, part(1)?);
        let states: Vec<Tensor<'g>> = (2..parts).map(part).collect::<Result<_, Stop>>()?;
        let (weight, states) = rule(rate, count, weight, gradient + weight * decay, &states);
        for (result, tensor) in results.iter_mut().zip([weight].into_iter().chain(states)) {
            result.push(Val::float(tensor));
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// The gradient of one tensor with respect to those of the inputs that are named.
fn gradient<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let count = cx.attribute("xs").map_or(0, |xs| xs.strings.len());
    let loss = cx.text("y", "");
    let loss = cx.names.get(&loss).ok_or_else(|| Stop::Fails(format!("nothing gives {loss}")))?;
    let of: Vec<Tensor<'g>> = (0..count).map(|number| cx.float(number)).collect::<Result<_, _>>()?;
    Ok(cx.g.gradients(cx.floats(loss)?, &of).into_iter().map(Val::float).collect())
}
