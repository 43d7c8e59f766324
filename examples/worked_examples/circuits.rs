//! Section 2: gates and their local gradients, small circuits, forks, ties, and matrix products.

use crate::engine::Worked;
use crate::formulas::sigmoid;
use crate::support::Outcome;
use crate::table::{Table, exact};
use retrograd::{Device, Graph};

pub fn run(device: &Device, table: &mut Table) -> Outcome<()> {
    gates(device, table)?;
    circuits(device, table)?;
    sigmoid_neuron(device, table)?;
    forks(device, table)?;
    matrices(device, table)
}

/// Every gate with its value and the local gradients of its inputs.
fn gates(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let x = worked.input("x", &[1], [4.0])?;
    let y = worked.input("y", &[1], [-3.0])?;
    let two_inputs = [
        ("f = x y", x * y, [-12.0, -3.0, 4.0]),
        ("f = x + y", x + y, [1.0, 1.0, 1.0]),
        ("f = max(x, y)", x.maximum(y), [4.0, 1.0, 0.0]),
    ];
    for (name, f, [value, dx, dy]) in two_inputs {
        worked.expect(name, f, exact([value]));
        worked.expect(&format!("{name}: df/dx"), g.gradient(f, x), exact([dx]));
        worked.expect(&format!("{name}: df/dy"), g.gradient(f, y), exact([dy]));
    }
    let one_input = [
        ("f = 1/x", x.reciprocal(), [0.25, -1.0 / 16.0]),
        ("f = c + x", x + 2.5, [6.5, 1.0]),
        ("f = a x", x * -1.5, [-6.0, -1.5]),
        ("f = exp(x)", x.exp(), [4f64.exp(), 4f64.exp()]),
    ];
    for (name, f, [value, dx]) in one_input {
        worked.expect(name, f, exact([value]));
        worked.expect(&format!("{name}: df/dx"), g.gradient(f, x), exact([dx]));
    }
    // At a tie, `a.maximum(b)` sends the whole gradient to a.
    let (a, b) = (worked.input("a", &[2], [2.0, -1.0])?, worked.input("b", &[2], [2.0, -1.0])?);
    let tied = a.maximum(b).sum(..);
    worked.expect("max at a tie: to the first", g.gradient(tied, a), exact([1.0, 1.0]));
    worked.expect("max at a tie: to the second", g.gradient(tied, b), exact([0.0, 0.0]));
    worked.check(device, 0, table)
}

fn circuits(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let x = worked.input("x", &[1], [-2.0])?;
    let y = worked.input("y", &[1], [5.0])?;
    let z = worked.input("z", &[1], [-4.0])?;
    let q = x + y;
    let f = q * z;
    worked.expect("q = x + y", q, exact([3.0]));
    worked.expect("f = q z", f, exact([-12.0]));
    for (name, tensor, value) in [("dx", x, -4.0), ("dy", y, -4.0), ("dz", z, 3.0), ("dq", q, -4.0)] {
        worked.expect(&format!("f = q z: {name}"), g.gradient(f, tensor), exact([value]));
    }
    worked.check(device, 0, table)?;

    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let x = worked.input("x", &[1], [3.0])?;
    let y = worked.input("y", &[1], [-4.0])?;
    let z = worked.input("z", &[1], [2.0])?;
    let w = worked.input("w", &[1], [-1.0])?;
    let f = (x * y + z.maximum(w)) * 2.0;
    worked.expect("f = 2 (x y + max(z, w))", f, exact([-20.0]));
    for (name, tensor, value) in [("dx", x, -8.0), ("dy", y, 6.0), ("dz", z, 2.0), ("dw", w, 0.0)] {
        worked.expect(&format!("f = 2 (x y + max(z, w)): {name}"), g.gradient(f, tensor), exact([value]));
    }
    worked.check(device, 0, table)
}

/// A neuron whose sigmoid is a chain of four gates, and the same with one gate.
fn sigmoid_neuron(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let w = worked.input("w", &[3], [2.0, -3.0, -3.0])?;
    let x = worked.input("x", &[2], [-1.0, -2.0])?;
    let dot = (w.slice(0, 0..2) * x).sum(..) + w.slice(0, 2..3);
    let chain = ((-dot).exp() + 1.0).reciprocal();
    let single = dot.sigmoid();
    let value = sigmoid(1.0);
    let slope = value * (1.0 - value);
    worked.expect("sigmoid neuron: dot", dot, exact([1.0]));
    for (form, f) in [("chain", chain), ("single gate", single)] {
        worked.expect(&format!("sigmoid neuron, {form}: f"), f, exact([value]).published(6, [0.731_059]));
        worked.expect(
            &format!("sigmoid neuron, {form}: ddot"),
            g.gradient(f, dot),
            exact([slope]).published(6, [0.196_612]),
        );
        let dx = exact([2.0 * slope, -3.0 * slope]).published(6, [0.393_224, -0.589_836]);
        worked.expect(&format!("sigmoid neuron, {form}: dx"), g.gradient(f, x), dx);
        let dw = exact([-slope, -2.0 * slope, slope]).published(6, [-0.196_612, -0.393_224, 0.196_612]);
        worked.expect(&format!("sigmoid neuron, {form}: dw"), g.gradient(f, w), dw);
    }
    worked.expect("sigmoid neuron: chain - single gate", chain - single, exact([0.0]));
    worked.check(device, 0, table)
}

/// A tensor that is used several times: its gradients add up.
fn forks(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let (x_value, y_value) = (3.0, -4.0);
    let x = worked.input("x", &[1], [x_value])?;
    let y = worked.input("y", &[1], [y_value])?;
    let f = (x + y.sigmoid()) / (x.sigmoid() + (x + y).square());

    // By the quotient rule, on paper.
    let (sx, sy, sum) = (sigmoid(x_value), sigmoid(y_value), x_value + y_value);
    let (above, below) = (x_value + sy, sx + sum * sum);
    let dx = 1.0 / below - above / (below * below) * (sx * (1.0 - sx) + 2.0 * sum);
    let dy = sy * (1.0 - sy) / below - above / (below * below) * 2.0 * sum;
    worked.expect("forks: f", f, exact([above / below]).published(6, [1.545_645]));
    worked.expect("forks: df/dx", g.gradient(f, x), exact([dx]).published(6, [2.059_570]));
    worked.expect("forks: df/dy", g.gradient(f, y), exact([dy]).published(6, [1.592_233]));
    worked.check(device, 0, table)
}

/// D = W X with an upstream dD: dW = dD X^T and dX = W^T dD.
fn matrices(device: &Device, table: &mut Table) -> Outcome<()> {
    let (rows, inner, columns) = (5, 10, 3);
    // Small whole numbers: every product is exact in both precisions.
    let numbers =
        |count: usize, factor: usize| -> Vec<f64> { (0..count).map(|i| ((i * factor) % 7) as f64 - 3.0).collect() };
    let (w_data, x_data, d_data) = (numbers(rows * inner, 3), numbers(inner * columns, 5), numbers(rows * columns, 2));
    let mut product = vec![0.0; rows * columns];
    let mut dw_data = vec![0.0; rows * inner];
    let mut dx_data = vec![0.0; inner * columns];
    for i in 0..rows {
        for k in 0..inner {
            for j in 0..columns {
                let (w, x, d) = (w_data[i * inner + k], x_data[k * columns + j], d_data[i * columns + j]);
                product[i * columns + j] += w * x;
                dw_data[i * inner + k] += d * x;
                dx_data[k * columns + j] += w * d;
            }
        }
    }
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let w = worked.input("W", &[rows, inner], w_data)?;
    let x = worked.input("X", &[inner, columns], x_data)?;
    let upstream = worked.input("dD", &[rows, columns], d_data)?;
    let d = w.matmul(x);
    let gradients = g.vector_jacobian(&[(d, upstream)], &[w, x]);
    worked.expect("D = W X", d, exact(product));
    worked.expect("dW = dD X^T", gradients[0], exact(dw_data));
    worked.expect("dX = W^T dD", gradients[1], exact(dx_data));
    worked.expect(
        "dD X^T, recorded by hand",
        upstream.matmul(x.transpose()) - gradients[0],
        exact(vec![0.0; rows * inner]),
    );
    worked.check(device, 0, table)?;
    for (name, tensor, gradient) in
        [("dW has the shape of W", w, gradients[0]), ("dX has the shape of X", x, gradients[1])]
    {
        let extents =
            |tensor: retrograd::Tensor<'_>| tensor.shape().iter().map(|&extent| extent as f64).collect::<Vec<_>>();
        let seen = crate::engine::Seen { device: extents(gradient), reference: extents(gradient) };
        table.check(name, &exact(extents(tensor)), &seen);
    }
    Ok(())
}
