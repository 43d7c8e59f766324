use crate::base::Result;
use crate::dispatch::{Ceilings, Device};
use crate::record::{Graph, Params, Tensor};
#[cfg(not(target_arch = "wasm32"))]
use std::time::Instant;

/// Runs of which the fastest counts.
const RUNS: usize = 5;
/// The degree of the polynomial: so many products and sums for each element that is loaded.
const DEGREE: usize = 64;

impl Ceilings {
    /// Measures how many bytes a second, and how many operations a second, a device manages at best: with sums of
    /// large arrays, and with a large product of matrices and a long polynomial, whichever is faster. Takes a second
    /// or two.
    ///
    /// # Errors
    /// When the device has no room or is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn measure(device: &Device) -> Result<Self> {
        // Far beyond caches on a GPU; software would take too long for that.
        let large = device.profile().class == crate::record::KernelClass::Gpu;
        let elements: usize = if large { 1 << 24 } else { 1 << 22 };
        let bandwidth = best(device, |graph| {
            let (x, y) = (graph.input("x", [elements]), graph.input("y", [elements]));
            (vec![x, y], x + y)
        })? * 12.0
            * elements as f64;
        let side: usize = if large { 2048 } else { 512 };
        let product = best(device, |graph| {
            let (a, b) = (graph.input("a", [side, side]), graph.input("b", [side, side]));
            (vec![a, b], a.matmul(b))
        })? * 2.0
            * (side as f64).powi(3);
        let few = elements / 4;
        let polynomial = best(device, |graph| {
            let x = graph.input("x", [few]);
            (vec![x], (0..DEGREE).fold(x, |sum, _| sum * x + x))
        })? * 2.0
            * (DEGREE * few) as f64;
        Ok(Self { bytes_per_second: bandwidth, operations_per_second: product.max(polynomial) })
    }
}

/// How often a second a step runs at best.
#[cfg(not(target_arch = "wasm32"))]
fn best(device: &Device, record: impl for<'g> Fn(&'g Graph) -> (Vec<Tensor<'g>>, Tensor<'g>)) -> Result<f64> {
    let graph = Graph::new();
    let (inputs, output) = record(&graph);
    let mut step = graph.infer(&[output]).compile(device, &Params::seeded(0))?;
    let data: Vec<Vec<f32>> = inputs.iter().map(|input| vec![0.5; input.shape().elements()]).collect();
    let feeds: Vec<_> = inputs.iter().zip(&data).map(|(input, data)| input.feed(data)).collect();
    step.run(&feeds)?;
    device.wait()?;
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        // Feeding is not a part of it: one step that feeds, against four.
        let mut times = [0.0; 2];
        for (time, count) in times.iter_mut().zip([1, 5]) {
            let start = Instant::now();
            step.run_many(count, &feeds)?;
            device.wait()?;
            *time = start.elapsed().as_secs_f64();
        }
        least = least.min(((times[1] - times[0]) / 4.0).max(1e-9));
    }
    Ok(1.0 / least)
}
