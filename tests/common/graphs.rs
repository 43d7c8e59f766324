//! Random graphs of ops with forks, broadcasts, views, shared operands, reductions, products and their gradients.

use retrograd::record::CaseInput;
use retrograd::{Generator, Graph, HostTensor, Tensor};

/// Most elements of a tensor: graphs stay quick, and shapes awkward.
const MOST: usize = 3000;

/// A random graph: what is fed, and what is compared.
pub struct Drawn<'g> {
    #[allow(dead_code)] // not every test program runs the graph
    pub inputs: Vec<(Tensor<'g>, HostTensor)>,
    pub outputs: Vec<Tensor<'g>>,
}

/// Draws a graph of `ops` ops.
pub fn draw(g: &Graph, seed: u64, ops: usize) -> Drawn<'_> {
    let mut random = Generator::new(seed);
    let extents = [1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 33, 64, 65];
    let mut inputs = Vec::new();
    let rows = extents[random.below(extents.len())];
    let columns = extents[random.below(extents.len())];
    for (number, shape) in [vec![rows, columns], vec![columns], vec![rows, 1], vec![columns, 5], vec![rows, columns]]
        .into_iter()
        .enumerate()
    {
        let data = CaseInput::uniform(&shape[..], -1.0, 1.0).draw(&mut random);
        inputs.push((g.input(&format!("in{number}"), &shape[..]), data));
    }
    let mut pool: Vec<Tensor<'_>> = inputs.iter().map(|(tensor, _)| *tensor).collect();
    for _ in 0..ops {
        // Recent tensors are likelier: graphs become deep, with forks.
        let pick = |random: &mut Generator, pool: &[Tensor<'_>]| {
            let recent = pool.len().min(4);
            if random.below(3) > 0 { pool.len() - 1 - random.below(recent) } else { random.below(pool.len()) }
        };
        let x = pool[pick(&mut random, &pool)];
        let y = pool[pick(&mut random, &pool)];
        if let Some(made) = op(g, x, y, &mut random)
            && made.is_valid()
            && made.shape().elements() <= MOST
        {
            pool.push(made);
        }
    }
    // Two results, the last one and any other, bounded so that nothing overflows.
    let last = pool[pool.len() - 1];
    let other = pool[random.below(pool.len())];
    let mut loss = last.tanh().mean(..) + (other * 0.5).sigmoid().sum(..);
    let floats: Vec<Tensor<'_>> = inputs.iter().map(|(tensor, _)| *tensor).collect();
    for tensor in &floats {
        // Every input has a gradient, whatever was drawn.
        loss = loss + (*tensor * 0.25).mean(..);
    }
    let mut outputs = vec![loss, last];
    outputs.extend(g.gradients(loss, &floats));
    Drawn { inputs, outputs }
}

/// A random op on `x`, and on `y` where the shapes allow. Its results stay near the unit interval.
fn op<'g>(g: &'g Graph, x: Tensor<'g>, y: Tensor<'g>, random: &mut Generator) -> Option<Tensor<'g>> {
    let (shape, other) = (x.shape(), y.shape());
    let fits = shape.broadcast(&other).is_some();
    let axis = |random: &mut Generator| random.below(shape.rank().max(1)) as isize;
    Some(match random.below(32) {
        0 if fits => x + y,
        1 if fits => x * y,
        2 if fits => (x - y) * 0.5,
        3 if fits => x.maximum(y),
        4 if fits => x.gt(y).where_cond(x, y * 0.5),
        5 if fits => x / (y.square() + 1.0),
        6 => x.tanh(),
        7 => x.relu(),
        8 => x.gelu().tanh(),
        9 => x.sigmoid() - 0.25,
        10 => (x.tanh() * 0.5).exp() * 0.5,
        11 => x.affine(0.5, 0.125),
        12 => x.tanh().square(),
        13 => x.sin(),
        14 => x.softplus() * 0.5,
        15 => x.leaky_relu(0.1),
        16 if shape.rank() > 0 => x.mean_keep(axis(random)),
        17 if shape.rank() > 0 && random.below(2) == 0 => x.mean(axis(random)),
        17 => x.mean(..),
        18 if shape.rank() > 0 => x - x.mean_keep(-1),
        19 if shape.rank() > 0 => x.amax_keep(axis(random)),
        20 if shape.rank() > 0 => x.softmax(-1),
        21 if shape.rank() > 1 => x.transpose(),
        22 if shape.rank() > 0 => x.flip(axis(random)),
        23 => x.reshape([shape.elements()]),
        24 if shape.rank() > 0 => {
            let axis = axis(random);
            let extent = shape[axis as usize];
            let cut = random.below(extent);
            // From the front it is as dense as the whole.
            if random.below(2) == 0 { x.slice(axis, cut..extent) } else { x.slice(axis, 0..cut + 1) }
        }
        25 if shape.rank() > 0 => {
            let widths: Vec<(usize, usize)> = (0..shape.rank()).map(|_| (random.below(2), random.below(3))).collect();
            x.pad(&widths)
        }
        26 if shape.rank() > 1 && shape == other => g.concat(&[x, y], axis(random)),
        27 if shape.rank() == 2 && other.rank() == 2 && shape[1] == other[0] => x.matmul(y) * 0.25,
        28 if shape.rank() == 2 && other.rank() == 2 && shape[1] == other[1] => x.matmul(y.transpose()) * 0.25,
        29 if shape.rank() == 2 && other.rank() == 2 && shape[0] == other[0] => (x.transpose().matmul(y) * 0.25).tanh(),
        30 => x.dropout(0.25),
        31 if shape.rank() == 2 => x.tril(0),
        _ => return None,
    })
}
