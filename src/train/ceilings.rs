use crate::base::{Error, ErrorKind, HostData, HostTensor, Result};
use crate::dispatch::{Ceilings, Device};
use crate::record::{Graph, KernelClass, Params, Tensor};
use std::time::Instant;

/// Measurements of which the fastest counts.
const ROUNDS: usize = 5;
/// What a measurement should take at least, in seconds.
const LEAST: f64 = 0.02;
/// The degree of the polynomial: so many products and sums for each element that is loaded.
const DEGREE: usize = 64;

impl Ceilings {
    /// Measures how many bytes a second, and how many operations a second, a device manages at best: with sums of
    /// large arrays, and with a large product of matrices and a long polynomial, whichever is faster. Takes a second
    /// or two.
    ///
    /// # Errors
    /// When the device has no room or is lost.
    pub fn measure(device: &Device) -> Result<Self> {
        // Far beyond caches on a GPU; software would take too long for that.
        let is_gpu = device.profile().class == KernelClass::Gpu;
        let elements: usize = if is_gpu { 1 << 24 } else { 1 << 22 };
        let bandwidth = per_second(device, |graph| {
            let (x, y) = (constant(graph, [elements, 1])?, constant(graph, [elements, 1])?);
            Ok(x + y)
        })? * (12 * elements) as f64;
        let side: usize = if is_gpu { 2048 } else { 512 };
        let product = per_second(device, |graph| {
            let (a, b) = (constant(graph, [side, side])?, constant(graph, [side, side])?);
            Ok(a.matmul(b))
        })? * 2.0
            * (side as f64).powi(3);
        let few = elements / 4;
        let polynomial = per_second(device, |graph| {
            let x = constant(graph, [few, 1])?;
            Ok((0..DEGREE).fold(x, |sum, _| sum * x + x))
        })? * (2 * DEGREE * few) as f64;
        Ok(Self { bytes_per_second: bandwidth, operations_per_second: product.max(polynomial) })
    }
}

/// Data on the device: neither zero nor growing, nothing a processor would treat as a special case.
fn constant(graph: &Graph, shape: [usize; 2]) -> Result<Tensor<'_>> {
    let values = HostData::F32(vec![0.5; shape[0] * shape[1]]);
    Ok(graph.constant(HostTensor::new(shape, values)?))
}

/// How often a second a step runs at best.
fn per_second(device: &Device, record: impl for<'g> Fn(&'g Graph) -> Result<Tensor<'g>>) -> Result<f64> {
    let graph = Graph::new();
    let mut step = graph.infer(&[record(&graph)?]).compile(device, &Params::seeded(0))?;
    let mut seconds = |count: u32| -> Result<f64> {
        let start = Instant::now();
        step.run_many(count, [])?;
        step.wait()?;
        Ok(start.elapsed().as_secs_f64())
    };
    // The first run compiles.
    seconds(1)?;
    let mut count = 1;
    while count < 1 << 12 && seconds(count)? < LEAST {
        count *= 2;
    }
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        least = least.min(seconds(count)?);
    }
    if least <= 0.0 {
        return Err(Error::new(ErrorKind::System, "the clock of this machine does not advance"));
    }
    Ok(f64::from(count) / least)
}
