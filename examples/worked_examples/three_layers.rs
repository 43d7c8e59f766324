//! Section 4: layers 2 -> 3 relu -> 2 relu -> 1 sigmoid with binary cross-entropy, and its training by Adam.

use crate::engine::{Data, Seen, Twin, floats};
use crate::formulas::softplus;
use crate::support::Outcome;
use crate::table::{Expected, Table, exact, rounded};
use retrograd::optim::Adam;
use retrograd::{Device, Graph, Init, Params, Tensor};

/// Name, shape and values of every parameter; weights are (out, in).
const PARAMETERS: [(&str, &[usize], &[f64]); 6] = [
    ("W1", &[3, 2], &[-1.0, 2.0, 3.0, 0.5, -0.1, -4.0]),
    ("b1", &[3], &[1.0, -2.0, 0.3]),
    ("W2", &[2, 3], &[0.5, 1.0, -2.0, 0.7, 0.1, 0.3]),
    ("b2", &[2], &[-4.0, 5.0]),
    ("W3", &[1, 2], &[0.5, -0.3]),
    ("b3", &[1], &[0.1]),
];

/// The gradients of the cost, in the same order.
const GRADIENTS: [&[f64]; 6] = [
    &[-0.0248921, -0.0395681, -0.1814260, -0.2428126, 0.0, 0.0],
    &[-0.0146760, -0.0613866, 0.0],
    &[-0.3831046, -0.5746569, 0.0, 0.1751890, 0.3174573, 0.0],
    &[-0.0638508, 0.0246420],
    &[-1.0216123, -0.9252937],
    &[-0.0821401],
];

/// The cost before some steps of Adam at rate 0.01, counted from 1.
const COSTS: [(usize, f64); 4] = [(1, 0.1952289), (2, 0.1630321), (10, 0.1172051), (100, 0.0067251)];

pub fn run(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut params = Params::seeded(0);
    let list = PARAMETERS.map(|(name, shape, values)| {
        params.add(name, shape, Init::Values(values.iter().map(|&value| value as f32).collect()))
    });
    let [w1, b1, w2, b2, w3, b3] = list.each_ref().map(|param| g.param(param));
    let x = g.input("X", [2, 2]);
    let y = g.input("y", [2, 1]);
    let feeds = [(x, floats(&[2, 2], [1.0, 2.0, 3.0, 4.0])?), (y, floats(&[2, 1], [0.0, 1.0])?)];

    let z1 = x.matmul(w1.transpose()) + b1;
    let a1 = z1.relu();
    let z2 = a1.matmul(w2.transpose()) + b2;
    let a2 = z2.relu();
    let z3 = a2.matmul(w3.transpose()) + b3;
    let a3 = z3.sigmoid();
    let losses = a3.binary_cross_entropy_error(y);
    let cost = losses.mean(..);
    let fused_losses = z3.binary_cross_entropy_with_logits_error(y);
    let fused = z3.binary_cross_entropy_with_logits(y);

    let mut known: Vec<(String, Tensor<'_>, Expected)> = Vec::new();
    let mut expect = |name: &str, tensor, expected| known.push((name.to_owned(), tensor, expected));
    let a2_values = [0.0, 8.0, 8.0, 10.1];
    // -ln(1 - sigmoid(-2.3)) and -ln(sigmoid(1.07)). The first is 0.09554546; where it is printed as
    // 0.0955454 it was cut off, not rounded, so the formula is what counts.
    let loss_values = exact([softplus(-2.3), softplus(-1.07)]);
    expect("Z1", z1, exact([4.0, 2.0, -7.8, 6.0, 9.0, -16.0]));
    expect("A1", a1, exact([4.0, 2.0, 0.0, 6.0, 9.0, 0.0]));
    expect("Z2", z2, exact(a2_values));
    expect("A2", a2, exact(a2_values));
    expect("Z3", z3, exact([-2.3, 1.07]));
    expect("A3", a3, rounded(7, [0.0911230, 0.7445969]));
    expect("losses per sample", losses, loss_values.clone());
    expect("cost", cost, rounded(7, [0.1952289]));
    expect("losses per sample, from logits", fused_losses, loss_values);
    expect("cost, from logits", fused, rounded(7, [0.1952289]));
    for ((name, _, _), (tensor, values)) in PARAMETERS.iter().zip([w1, b1, w2, b2, w3, b3].into_iter().zip(GRADIENTS)) {
        expect(&format!("d cost / d {name}"), g.gradient(cost, tensor), rounded(7, values));
    }
    expect("d cost / d W1, from logits", g.gradient(fused, w1), rounded(7, GRADIENTS[0]));
    let sum = losses.sum(..);
    expect("d sum / d A3", g.gradient(sum, a3), rounded(7, [1.1002588, -1.3430085]));
    expect("d sum / d Z3", g.gradient(sum, z3), rounded(7, [0.0911230, -0.2554031]));
    expect("d sum / d A2", g.gradient(sum, a2), rounded(7, [0.0455615, -0.0273369, -0.1277015, 0.0766209]));
    expect("d sum / d Z2", g.gradient(sum, z2), rounded(7, [0.0, -0.0273369, -0.1277015, 0.0766209]));

    // Only what is kept can be read, and that has to be said before compiling.
    let tensors: Vec<Tensor<'_>> = known.iter().map(|(_, tensor, _)| tensor.keep()).collect();

    // One compiled step does it all: the first run shows every tensor, and all runs train.
    let mut twin = Twin::new(device, cost, &params, &list.each_ref(), Adam::new(0.01))?;
    let start: Outcome<Vec<Data>> = PARAMETERS.iter().map(|(_, shape, values)| floats(shape, values)).collect();
    twin.start_reference_from(start?);
    let seen = twin.run(&feeds, &tensors)?;
    for ((name, _, expected), seen) in known.iter().zip(&seen) {
        table.check(name, expected, seen);
    }
    let mut before: Vec<Seen> =
        known.iter().zip(seen).filter(|((name, _, _), _)| name == "cost").map(|(_, seen)| seen).collect();
    for _ in 2..=100 {
        before.extend(twin.run(&feeds, &[cost])?);
    }
    for (step, value) in COSTS {
        table.check(&format!("Adam: cost before step {step}"), &rounded(7, [value]), &before[step - 1]);
    }
    Ok(())
}
