//! Time of single kernels, per device: `cargo bench --bench kernels`.
//!
//! The device is that of `RETROGRAD_DEVICE`, else the best. Data lie on the device, and every measurement is of many
//! runs per submission, so what is measured is the kernels. Throughput is in bytes read and written.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use retrograd::{Device, Generator, Graph, HostData, HostTensor, Params, Tensor};
use std::time::{Duration, Instant};

fn random(shape: [usize; 2], seed: u64) -> HostTensor {
    let mut generator = Generator::new(seed);
    let values = (0..shape[0] * shape[1]).map(|_| generator.uniform(-1.0, 1.0) as f32).collect();
    HostTensor::new(shape, HostData::F32(values)).expect("as many values as the shape has")
}

type Record = for<'g> fn(&'g Graph, Tensor<'g>, Tensor<'g>) -> Tensor<'g>;

/// Name, what is recorded of two matrices, and how many matrices are moved.
const KERNELS: [(&str, Record, u64); 8] = [
    ("add", |_, x, y| x + y, 3),
    ("gelu", |_, x, _| x.gelu(), 2),
    ("transposed copy", |_, x, y| x.transpose() + y.transpose(), 3),
    ("sum of rows", |_, x, _| x.sum(1), 1),
    ("sum of columns", |_, x, _| x.sum(0), 1),
    ("greatest of rows", |_, x, _| x.amax(1), 1),
    ("softmax", |_, x, _| x.softmax(-1), 2),
    ("log_softmax", |_, x, _| x.log_softmax(-1), 2),
];

fn kernels(criterion: &mut Criterion) {
    let device = Device::best().expect("a device opens");
    for shape in [[1024, 1024], [16_384, 64], [64, 16_384]] {
        let mut group = criterion.benchmark_group(format!("{} x {}", shape[0], shape[1]));
        group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
        let bytes = 4 * (shape[0] * shape[1]) as u64;
        for (name, record, matrices) in KERNELS {
            let g = Graph::new();
            let (x, y) = (g.constant(random(shape, 1)), g.constant(random(shape, 2)));
            let mut step = g.infer(&[record(&g, x, y)]).compile(&device, &Params::seeded(0)).expect("it compiles");
            group.throughput(Throughput::Bytes(matrices * bytes));
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|count| {
                    let start = Instant::now();
                    step.run_many(count as u32, []).expect("it runs");
                    step.wait().expect("it ends");
                    start.elapsed()
                });
            });
        }
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
