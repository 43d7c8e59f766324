//! Section 1: one neuron, `y = relu(sum of x_i w_i + b)`, forward and backward.

use crate::engine::Worked;
use crate::support::Outcome;
use crate::table::{Table, exact};
use retrograd::{Device, Graph};

/// The products as a named tensor, then the same neuron as one dot product.
pub fn run(device: &Device, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut worked = Worked::new(&g);
    let x = worked.input("x", &[3], [1.0, -2.0, 3.0])?;
    let w = worked.input("w", &[3], [-3.0, -1.0, 2.0])?;
    let b = worked.input("b", &[1], [1.0])?;

    let m = x * w;
    let z = m.sum(..) + b;
    let y = z.relu();
    worked.expect("m = x w", m, exact([-3.0, 2.0, 6.0]));
    worked.expect("z = sum m + b", z, exact([6.0]));
    worked.expect("y = relu(z)", y, exact([6.0]));
    worked.expect("dL/dy", g.gradient(y, y), exact([1.0]));
    worked.expect("dL/dz", g.gradient(y, z), exact([1.0]));
    worked.expect("dL/dm", g.gradient(y, m), exact([1.0, 1.0, 1.0]));
    worked.expect("dL/dw", g.gradient(y, w), exact([1.0, -2.0, 3.0]));
    worked.expect("dL/dx", g.gradient(y, x), exact([-3.0, -1.0, 2.0]));
    worked.expect("dL/db", g.gradient(y, b), exact([1.0]));

    let z_dot = x.reshape([1, 3]).matmul(w.reshape([3, 1])) + b;
    let y_dot = z_dot.relu();
    worked.expect("dot form: z", z_dot, exact([6.0]));
    worked.expect("dot form: y", y_dot, exact([6.0]));
    worked.expect("dot form: dL/dz", g.gradient(y_dot, z_dot), exact([1.0]));
    worked.expect("dot form: dL/dw", g.gradient(y_dot, w), exact([1.0, -2.0, 3.0]));
    worked.expect("dot form: dL/dx", g.gradient(y_dot, x), exact([-3.0, -1.0, 2.0]));
    worked.expect("dot form: dL/db", g.gradient(y_dot, b), exact([1.0]));
    worked.check(device, 0, table)
}
