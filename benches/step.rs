//! Time of a matrix product and of whole training steps, per device: `cargo bench`.
//!
//! The device is that of `RETROGRAD_DEVICE`, else the best. See `benches/README.md`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use retrograd::{Device, Generator, Graph, Params, Tensor, nn, optim::Adam};

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut generator = Generator::new(seed);
    (0..count).map(|_| generator.uniform(-1.0, 1.0) as f32).collect()
}

type Product = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;

fn products(criterion: &mut Criterion) {
    let device = Device::best().expect("a device opens");
    let mut group = criterion.benchmark_group("matmul");
    group.sample_size(10);
    let forms: [(&str, Product); 3] =
        [("nn", |a, b| a.matmul(b)), ("nt", |a, b| a.matmul(b.transpose())), ("tn", |a, b| a.transpose().matmul(b))];
    for size in [64, 512] {
        for (form, product) in forms {
            let g = Graph::new();
            let (a, b) = (g.input("a", [size, size]), g.input("b", [size, size]));
            let c = product(a, b);
            let mut step = g.infer(&[c]).compile(&device, &Params::seeded(0)).expect("it compiles");
            let (left, right) = (random(size * size, 1), random(size * size, 2));
            // Elements are floating-point operations: criterion then prints them per second.
            group.throughput(Throughput::Elements(2 * (size as u64).pow(3)));
            group.bench_function(format!("{form} {size}"), |bencher| {
                bencher.iter(|| {
                    step.run([a.feed(&left), b.feed(&right)]).expect("it runs");
                    step.wait().expect("it ends");
                });
            });
        }
    }
}

fn training(criterion: &mut Criterion) {
    let device = Device::best().expect("a device opens");
    let mut group = criterion.benchmark_group("training step");
    group.sample_size(10);
    // Layer sizes and batch: the spiral network, and one for 28 x 28 pixels.
    for (sizes, batch) in [(&[2, 64, 64, 3][..], 300), (&[784, 512, 256, 10][..], 128)] {
        let mut params = Params::seeded(1);
        let layer = |(number, pair): (usize, &[usize])| {
            nn::Linear::new(&mut params, &format!("layer{number}"), pair[0], pair[1])
        };
        let layers: Vec<nn::Linear> = sizes.windows(2).enumerate().map(layer).collect();
        let g = Graph::new();
        let (x, y) = (g.input("x", [batch, sizes[0]]), g.labels("y", [batch]));
        let (last, hidden) = layers.split_last().expect("there are layers");
        let loss = last.forward(hidden.iter().fold(x, |x, layer| layer.forward(x).relu())).cross_entropy(y);
        let mut step = g.train(loss, Adam::new(1e-3)).compile(&device, &params).expect("it compiles");
        let (pixels, labels) = (random(batch * sizes[0], 3), (0..batch as i32).map(|row| row % 3).collect::<Vec<_>>());
        group.bench_function(format!("{sizes:?} x {batch}"), |bencher| {
            bencher.iter(|| {
                step.run([x.feed(&pixels), y.feed(&labels)]).expect("it runs");
                step.wait().expect("it ends");
            });
        });
    }
}

criterion_group!(benches, products, training);
criterion_main!(benches);
