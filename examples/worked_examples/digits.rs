//! Section 5: logits = relu(X W1) W2 trained on digits for one epoch by plain SGD, compared with the
//! same formulas in float64; and the gradients of a deeper net.

use crate::data::Images;
use crate::engine::{Data, Seen, Twin, Worked, doubles, floats, labels};
use crate::formulas::{cross_entropy, tanh_net_gradients, two_layer_gradients};
use crate::support::Outcome;
use crate::table::{Table, exact};
use ndarray::{Array2, ArrayView2};
use retrograd::optim::Sgd;
use retrograd::{Device, Generator, Graph, Init, Params, Tensor};

const BATCH: usize = 100;
const HIDDEN: usize = 100;
const CLASSES: usize = 10;
const RATE: f64 = 0.1;

pub fn run(device: &Device, seed: u64, images: &Images, table: &mut Table) -> Outcome<()> {
    epoch(device, seed, images, table)?;
    deeper(device, seed, table)
}

/// A batch as a step takes it. A short last batch is filled up with rows of weight 0.
struct Batch {
    x: Data,
    y: Data,
    weights: Data,
}

impl Batch {
    fn new(images: &Images, first: usize) -> Outcome<Self> {
        let rows = BATCH.min(images.labels.len() - first);
        let mut x = images.values[first * images.pixels..(first + rows) * images.pixels].to_vec();
        let mut y = images.labels[first..first + rows].to_vec();
        let mut weights = vec![1.0; rows];
        x.resize(BATCH * images.pixels, 0.0);
        y.resize(BATCH, 0);
        weights.resize(BATCH, 0.0);
        Ok(Self { x: floats(&[BATCH, images.pixels], x)?, y: labels(y)?, weights: floats(&[BATCH], weights)? })
    }
}

fn epoch(device: &Device, seed: u64, images: &Images, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut params = Params::seeded(seed);
    let first = params.add("W1", [images.pixels, HIDDEN], Init::Normal(0.0, 1.0 / (HIDDEN as f64).sqrt()));
    let second = params.add("W2", [HIDDEN, CLASSES], Init::Normal(0.0, 1.0 / (CLASSES as f64).sqrt()));
    let (w1, w2) = (g.param(&first), g.param(&second));
    let (x, y, weights) = (g.input("X", [BATCH, images.pixels]), g.labels("y", [BATCH]), g.input("weights", [BATCH]));
    // With weights of 1 and 0 this is the mean over the rows that count.
    let loss = x.matmul(w1).relu().matmul(w2).cross_entropy_weighted(y, weights);
    let [dw1, dw2] = [w1, w2].map(|w| g.gradient(loss, w).keep());
    let mut twin = Twin::new(device, loss, &params, &[&first, &second], Sgd::new(RATE))?;

    // The same start for the formulas.
    let start = |param| -> Outcome<Array2<f64>> {
        let value = params.value(param)?;
        Ok(Array2::from_shape_vec((value.shape()[0], value.shape()[1]), doubles(value))?)
    };
    let (mut w1, mut w2) = (start(&first)?, start(&second)?);
    for place in (0..images.labels.len()).step_by(BATCH) {
        let batch = Batch::new(images, place)?;
        let feeds = [(x, batch.x), (y, batch.y), (weights, batch.weights)];
        let wanted: &[Tensor<'_>] = if place == 0 { &[loss, dw1, dw2] } else { &[] };
        let seen = twin.run(&feeds, wanted)?;

        let rows = BATCH.min(images.labels.len() - place);
        let pixels = &images.values[place * images.pixels..(place + rows) * images.pixels];
        let pixels = ArrayView2::from_shape((rows, images.pixels), pixels)?.to_owned();
        let classes: Vec<usize> = images.labels[place..place + rows].iter().map(|&label| label as usize).collect();
        let [by_formula_1, by_formula_2] = two_layer_gradients(&pixels, &classes, &w1, &w2);
        if let [loss, dw1, dw2] = &seen[..] {
            let scores = pixels.dot(&w1).mapv(|z| z.max(0.0)).dot(&w2);
            table.check("first batch: loss", &exact([cross_entropy(&scores, &classes)]), loss);
            table.check_matrix("first batch: dW1 = X^T G1 / m", &elements(&by_formula_1), dw1);
            table.check_matrix("first batch: dW2 = Z1^T G2 / m", &elements(&by_formula_2), dw2);
        }
        w1.scaled_add(-RATE, &by_formula_1);
        w2.scaled_add(-RATE, &by_formula_2);
    }
    let count = images.labels.len();
    table.check_matrix(&format!("W1 after {count} images"), &elements(&w1), &twin.weight(0)?);
    table.check_matrix(&format!("W2 after {count} images"), &elements(&w2), &twin.weight(1)?);
    Ok(())
}

/// Three layers: `G_i = (G_{i+1} * s'(Z_i W_i)) W_i^T`.
fn deeper(device: &Device, seed: u64, table: &mut Table) -> Outcome<()> {
    let (rows, widths) = (20, [8, 16, 12, 5]);
    let mut generator = Generator::named(seed, "three layers");
    let mut matrix = |rows: usize, columns: usize, deviation: f64| {
        // Rounded as the device sees them, so that what is compared is the computation.
        Array2::from_shape_simple_fn((rows, columns), || f64::from(generator.normal(0.0, deviation) as f32))
    };
    let x_data = matrix(rows, widths[0], 1.0);
    let w_data: Vec<Array2<f64>> =
        widths.windows(2).map(|pair| matrix(pair[0], pair[1], 1.0 / (pair[0] as f64).sqrt())).collect();
    let classes: Vec<usize> = (0..rows).map(|row| row % widths[3]).collect();
    let class_labels: Vec<i32> = classes.iter().map(|&class| class as i32).collect();

    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let x = worked.input("X", &[rows, widths[0]], elements(&x_data))?;
    let y = worked.labels("y", &class_labels)?;
    let mut list = Vec::new();
    let mut z = x;
    for (layer, data) in w_data.iter().enumerate() {
        let w = worked.input(&format!("W{}", layer + 1), data.shape(), elements(data))?;
        let product = z.matmul(w);
        z = if layer + 1 == w_data.len() { product } else { product.tanh() };
        list.push(w);
    }
    let gradients = g.gradients(z.cross_entropy(y), &list);
    let seen: Vec<Seen> = worked.values(device, seed, &gradients)?;
    for (layer, (seen, by_formula)) in seen.iter().zip(tanh_net_gradients(&x_data, &classes, &w_data)).enumerate() {
        table.check_matrix(&format!("three layers: dW{}", layer + 1), &elements(&by_formula), seen);
    }
    Ok(())
}

/// The elements of a matrix, row by row.
fn elements(matrix: &Array2<f64>) -> Vec<f64> {
    matrix.iter().copied().collect()
}
