//! Formulas in float64 that recordings are compared with, written without the library.

use ndarray::{Array2, Axis};

/// 1 / (1 + exp(-x)).
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// ln(1 + exp(x)).
pub fn softplus(x: f64) -> f64 {
    x.exp().ln_1p()
}

/// Rows of `softmax(scores) - I_y`: the gradient of softmax cross-entropy with respect to the scores.
pub fn softmax_minus_labels(scores: &Array2<f64>, labels: &[usize]) -> Array2<f64> {
    let mut gradient = scores.clone();
    for (mut row, &label) in gradient.axis_iter_mut(Axis(0)).zip(labels) {
        let greatest = row.fold(f64::NEG_INFINITY, |greatest, &score| greatest.max(score));
        row.mapv_inplace(|score| (score - greatest).exp());
        let sum = row.sum();
        row.mapv_inplace(|e| e / sum);
        row[label] -= 1.0;
    }
    gradient
}

/// The mean softmax cross-entropy of rows of scores.
pub fn cross_entropy(scores: &Array2<f64>, labels: &[usize]) -> f64 {
    let loss = |(row, &label): (ndarray::ArrayView1<'_, f64>, &usize)| {
        let greatest = row.fold(f64::NEG_INFINITY, |greatest, &score| greatest.max(score));
        row.mapv(|score| (score - greatest).exp()).sum().ln() + greatest - row[label]
    };
    scores.axis_iter(Axis(0)).zip(labels).map(loss).sum::<f64>() / labels.len() as f64
}

/// The gradients of W1 and W2 for logits = relu(X W1) W2 and the mean softmax cross-entropy.
pub fn two_layer_gradients(x: &Array2<f64>, labels: &[usize], w1: &Array2<f64>, w2: &Array2<f64>) -> [Array2<f64>; 2] {
    let m = labels.len() as f64;
    let z1 = x.dot(w1).mapv(|z| z.max(0.0));
    let g2 = softmax_minus_labels(&z1.dot(w2), labels);
    let g1 = z1.mapv(|z| if z > 0.0 { 1.0 } else { 0.0 }) * g2.dot(&w2.t());
    [x.t().dot(&g1) / m, z1.t().dot(&g2) / m]
}

/// The gradients of all weights of a net of tanh layers with a linear last one:
/// `Z_{i+1} = s(Z_i W_i)` and `G_i = (G_{i+1} * s'(Z_i W_i)) W_i^T`.
pub fn tanh_net_gradients(x: &Array2<f64>, labels: &[usize], weights: &[Array2<f64>]) -> Vec<Array2<f64>> {
    let m = labels.len() as f64;
    let last = weights.len() - 1;
    let mut z = vec![x.clone()];
    for (layer, weight) in weights.iter().enumerate() {
        let product = z[layer].dot(weight);
        z.push(if layer == last { product } else { product.mapv(f64::tanh) });
    }
    let mut g = softmax_minus_labels(&z[last + 1], labels);
    let mut gradients = Vec::new();
    for layer in (0..=last).rev() {
        // s'(a) = 1 - s(a)^2 for tanh, and 1 for the linear layer.
        let local = if layer == last { g } else { g * z[layer + 1].mapv(|s| 1.0 - s * s) };
        gradients.push(z[layer].t().dot(&local) / m);
        g = local.dot(&weights[layer].t());
    }
    gradients.reverse();
    gradients
}
