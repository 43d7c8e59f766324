//! Section 3: a layer of neurons, softmax and its losses, penalties on weights, and dropout.

use crate::engine::Worked;
use crate::support::Outcome;
use crate::table::{Table, exact};
use retrograd::{Device, Graph};

/// The weights of three neurons with four inputs each, one neuron per row.
const NEURONS: [f64; 12] = [0.2, 0.8, -0.5, 1.0, 0.5, -0.91, 0.26, -0.5, -0.26, -0.27, 0.17, 0.87];

/// The same as a 4x3 matrix, one neuron per column: what Z = X W + b multiplies with.
fn weights() -> Vec<f64> {
    (0..4).flat_map(|input| (0..3).map(move |neuron| NEURONS[neuron * 4 + input])).collect()
}

pub fn run(device: &Device, seed: u64, table: &mut Table) -> Outcome<()> {
    dense(device, table)?;
    relu(device, table)?;
    softmax(device, table)?;
    penalties(device, table)?;
    dropout(device, seed, table)
}

/// Z = X W + b with given upstream gradients.
fn dense(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let w = worked.input("W", &[4, 3], weights())?;
    let b = worked.input("b", &[3], [2.0, 3.0, 0.5])?;

    let row = worked.input("one row", &[1, 4], [1.0, 2.0, 3.0, 2.5])?;
    let ones = worked.input("upstream of one row", &[1, 3], [1.0, 1.0, 1.0])?;
    let dx = g.vector_jacobian(&[(row.matmul(w) + b, ones)], &[row])[0];
    worked.expect("dX, upstream [[1, 1, 1]]", dx, exact([0.44, -0.38, -0.07, 1.37]));

    let x = worked.input("X", &[3, 4], [1.0, 2.0, 3.0, 2.5, 2.0, 5.0, -1.0, 2.0, -1.5, 2.7, 3.3, -0.8])?;
    let upstream = worked.input("upstream", &[3, 3], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0])?;
    let z = x.matmul(w) + b;
    let gradients = g.vector_jacobian(&[(z, upstream)], &[x, w, b]);
    worked.expect("Z = X W + b", z, exact([4.8, 1.21, 2.385, 8.9, -1.81, 0.2, 1.41, 1.051, 0.026]));
    let dx = [0.44, -0.38, -0.07, 1.37, 0.88, -0.76, -0.14, 2.74, 1.32, -1.14, -0.21, 4.11];
    worked.expect("dX, upstream of three rows", gradients[0], exact(dx));
    worked.expect("dW", gradients[1], exact([0.5, 0.5, 0.5, 20.1, 20.1, 20.1, 10.9, 10.9, 10.9, 4.1, 4.1, 4.1]));
    worked.expect("db, the sum over the batch", gradients[2], exact([6.0, 6.0, 6.0]));
    worked.check(device, 0, table)
}

fn relu(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let z = worked.input("z", &[3, 4], [1.0, 2.0, -3.0, -4.0, 2.0, -7.0, -1.0, 3.0, -1.0, 2.0, 5.0, -1.0])?;
    let upstream = worked.input("upstream", &[3, 4], (1..=12).map(f64::from).collect::<Vec<_>>())?;
    let dz = g.vector_jacobian(&[(z.relu(), upstream)], &[z])[0];
    worked.expect("relu backward", dz, exact([1.0, 2.0, 0.0, 0.0, 5.0, 0.0, 0.0, 8.0, 0.0, 10.0, 11.0, 0.0]));
    let zero = worked.input("zero", &[1], [0.0])?;
    worked.expect("relu'(0)", g.gradient(zero.relu(), zero), exact([0.0]));
    worked.check(device, 0, table)
}

/// The Jacobian of softmax, and cross-entropy on its own and combined with softmax.
fn softmax(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let s_values = [0.7, 0.1, 0.2];
    let y_values = [0.0, 1.0, 0.0];
    // The logarithms of S are scores whose softmax is S.
    let scores = worked.input("scores", &[1, 3], s_values.map(f64::ln))?;
    let s = scores.softmax(-1);
    worked.expect("softmax: S", s, exact(s_values));
    let jacobian = [[0.21, -0.07, -0.14], [-0.07, 0.09, -0.02], [-0.14, -0.02, 0.16]];
    for (place, row) in jacobian.into_iter().enumerate() {
        let mut unit = [0.0; 3];
        unit[place] = 1.0;
        let upstream = worked.input(&format!("unit vector {place}"), &[1, 3], unit)?;
        let product = g.vector_jacobian(&[(s, upstream)], &[scores])[0];
        worked.expect(&format!("diag(S) - S S^T, row {place}"), product, exact(row));
    }

    let y = worked.input("Y", &[1, 3], y_values)?;
    let label = worked.labels("label", &[1])?;
    let y_hat = worked.input("yhat", &[1, 3], s_values)?;
    let on_probabilities = y_hat.categorical_cross_entropy(label);
    let loss = -(0.1f64.ln());
    worked.expect("cross-entropy on probabilities", on_probabilities, exact([loss]));
    worked.expect("dL/dyhat = -y / yhat", g.gradient(on_probabilities, y_hat), exact([0.0, -10.0, 0.0]));
    // With a target that spreads over all classes, every element of -y / yhat counts.
    let soft = worked.input("soft Y", &[1, 3], [0.35, 0.25, 0.4])?;
    let spread = -((soft * y_hat.log()).sum(..));
    worked.expect("dL/dyhat, spread target", g.gradient(spread, y_hat), exact([-0.5, -2.5, -2.0]));

    let minus = exact([0.7, -0.9, 0.2]);
    let chained = s.categorical_cross_entropy(label);
    let by_label = scores.cross_entropy(label);
    let by_row = scores.cross_entropy_probabilities(y).sum(..);
    worked.expect("softmax with cross-entropy: loss", by_label, exact([loss]));
    worked.expect("S - Y, softmax then the loss", g.gradient(chained, scores), minus.clone());
    worked.expect("S - Y, fused, from a label", g.gradient(by_label, scores), minus.clone());
    worked.expect("S - Y, fused, from a row", g.gradient(by_row, scores), minus);
    worked.check(device, 0, table)
}

fn penalties(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let lambda = 0.5;
    let w = worked.input("W", &[3, 4], NEURONS)?;
    let signs = [1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0];
    let (l1, l2) = (w.l1_penalty(lambda), w.l2_penalty(lambda));
    worked.expect("L1 = lambda sum |w|", l1, exact([lambda * NEURONS.iter().map(|w| w.abs()).sum::<f64>()]));
    worked.expect("dL1/dw / lambda: the signs of W", g.gradient(l1, w) / lambda, exact(signs));
    worked.expect("dL1/dw", g.gradient(l1, w), exact(signs.map(|sign| lambda * sign)));
    worked.expect("L2 = lambda sum w^2", l2, exact([lambda * NEURONS.iter().map(|w| w * w).sum::<f64>()]));
    worked.expect("dL2/dw = 2 lambda w", g.gradient(l2, w), exact(NEURONS.map(|w| 2.0 * lambda * w)));
    worked.check(device, 0, table)
}

/// Which elements are dropped is random; that forward and backward drop the same is not.
fn dropout(device: &Device, seed: u64, table: &mut Table) -> Outcome<()> {
    let (elements, rate) = (1000, 0.25);
    let scale = 1.0 / (1.0 - rate);
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let z = worked.input("z", &[elements], (0..elements).map(|i| (i % 7) as f64 - 3.5).collect::<Vec<_>>())?;
    let output = z.dropout(rate);
    let derivative = g.gradient(output.sum(..), z);
    let zeros = exact(vec![0.0; elements]);
    worked.expect("dropout: output - z derivative", output - z * derivative, zeros.clone());
    worked.expect("dropout: derivative is 0 or 1 / (1 - p)", derivative * (derivative - scale), zeros);
    worked.check(device, seed, table)?;
    // 0.05 is more than three standard deviations of the share of 1000 elements.
    let kept = (derivative / scale).mean(..);
    let seen = worked.values(device, seed, &[kept])?;
    let share = &seen[0];
    table.check_range("dropout: the share that is kept", 0.7..=0.8, share.device[0], share.reference[0]);
    Ok(())
}
