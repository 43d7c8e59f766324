//! Section 7: three interleaved spiral arms, which relu nets tell apart and a linear classifier cannot.

use crate::engine::{Data, Seen, Twin, floats, labels};
use crate::support::Outcome;
use crate::table::Table;
use retrograd::optim::Adam;
use retrograd::{Device, Generator, Graph, Init, Param, Params};
use std::ops::RangeInclusive;

const ARMS: usize = 3;
const POINTS: usize = 100;
const DATA_SEED: u64 = 2;

pub fn run(device: &Device, seed: u64, table: &mut Table) -> Outcome<()> {
    let (points, classes) = spiral();
    let data = Points { x: floats(&[ARMS * POINTS, 2], points)?, y: labels(&classes)?, classes };
    net(device, seed, &data, Plan { widths: &[2, 3], rate: 0.05, steps: 200, accuracy: 0.35..=0.65 }, table)?;
    net(device, seed, &data, Plan { widths: &[2, 64, 3], rate: 0.05, steps: 2000, accuracy: 0.95..=1.0 }, table)?;
    net(device, seed, &data, Plan { widths: &[2, 64, 64, 3], rate: 0.02, steps: 600, accuracy: 0.95..=1.0 }, table)
}

/// The points and their arms. Along an arm the radius grows from 0 to 1 while the angle turns, with noise.
/// They are always the same: how far the arms overlap limits what any net can reach.
fn spiral() -> (Vec<f64>, Vec<i32>) {
    let mut generator = Generator::named(DATA_SEED, "spiral");
    let (mut points, mut classes) = (Vec::new(), Vec::new());
    for arm in 0..ARMS {
        for point in 0..POINTS {
            let r = point as f64 / (POINTS - 1) as f64;
            let angle = 4.0 * (arm as f64 + r) + generator.normal(0.0, 0.2);
            points.extend([r * (2.5 * angle).sin(), r * (2.5 * angle).cos()]);
            classes.push(arm as i32);
        }
    }
    (points, classes)
}

struct Points {
    x: Data,
    y: Data,
    classes: Vec<i32>,
}

/// A net, how long it is trained, and the accuracy that is known of such nets.
struct Plan {
    widths: &'static [usize],
    /// The learning rate of Adam.
    rate: f64,
    steps: usize,
    accuracy: RangeInclusive<f64>,
}

fn net(device: &Device, seed: u64, data: &Points, plan: Plan, table: &mut Table) -> Outcome<()> {
    let g = Graph::new();
    let mut params = Params::seeded(seed);
    let x = g.input("points", [ARMS * POINTS, 2]);
    let y = g.labels("arms", [ARMS * POINTS]);
    let mut list: Vec<Param> = Vec::new();
    let mut scores = x;
    let layers = plan.widths.len() - 1;
    for (layer, pair) in plan.widths.windows(2).enumerate() {
        let deviation = (2.0 / pair[0] as f64).sqrt();
        let weight = params.add(&format!("W{}", layer + 1), pair, Init::Normal(0.0, deviation));
        let bias = params.add(&format!("b{}", layer + 1), [pair[1]], Init::Zeros);
        scores = scores.matmul(g.param(&weight)) + g.param(&bias);
        if layer + 1 < layers {
            scores = scores.relu();
        }
        list.extend([weight, bias]);
    }
    let scores = scores.keep();
    let loss = scores.cross_entropy(y);
    let gradient = g.gradient(loss, g.param(&list[0])).keep();
    let trained: Vec<&Param> = list.iter().collect();
    let mut twin = Twin::new(device, loss, &params, &trained, Adam::new(plan.rate))?;

    let name = plan.widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
    let feeds = [(x, data.x.clone()), (y, data.y.clone())];
    let first = twin.run(&feeds, &[loss, gradient])?;
    // Here both engines still stand at the same weights.
    table.check_matrix(&format!("{name}: loss at the start"), &first[0].reference, &first[0]);
    table.check_matrix(&format!("{name}: dW1 at the start"), &first[1].reference, &first[1]);
    for _ in 1..plan.steps {
        twin.run(&feeds, &[])?;
    }
    // Rounding sends the two engines along different paths by now: each must do well on its own.
    let Seen { device, reference } = &twin.run(&feeds, &[scores])?[0];
    let [device, reference] = [device, reference].map(|scores| accuracy(scores, &data.classes));
    table.check_range(&format!("{name}: accuracy after {} steps", plan.steps), plan.accuracy, device, reference);
    Ok(())
}

/// The share of rows whose greatest score is that of their class.
fn accuracy(scores: &[f64], classes: &[i32]) -> f64 {
    let right = |(row, &class): (&[f64], &i32)| {
        let best = row.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place);
        best == usize::try_from(class).ok()
    };
    scores.chunks(ARMS).zip(classes).filter(|&pair| right(pair)).count() as f64 / classes.len() as f64
}
