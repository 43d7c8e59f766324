//! The check of a case on a device.

use super::step::key;
use crate::base::{Generator, Result};
use crate::dispatch::Device;
use crate::record::{Case, Graph, Params};
use crate::reference::{Distance, RecordedCase, distance, values, wrong};

impl Case {
    /// Compares the output, and the gradients of a differentiable case, as a device computes them with the float64 reference,
    /// for fresh random data.
    ///
    /// # Errors
    /// [`ErrorKind::Check`](crate::ErrorKind::Check) where an element differs by more than the case's tolerance; the
    /// mistakes of the recording; what a device refuses.
    pub fn check_on(&self, device: &Device, generator: &mut Generator) -> Result<()> {
        let g = Graph::new();
        let recorded = RecordedCase::new(self, &g)?;
        let data = recorded.draw(self, generator);
        let results = recorded.results();
        let params = Params::seeded(0);
        // Cases with dropout differ from the reference where the key is another.
        let want = values(&g, &results, &data, key(params.seed(), 1))?;
        let mut step = g.infer(&results).compile(device, &params)?;
        let feeds: Vec<_> = recorded.inputs.iter().map(|input| input.feed(&data[&input.id().node])).collect();
        step.run(feeds)?;
        let mut worst = Distance::default();
        for (&result, want) in results.iter().zip(&want) {
            let got: Vec<f64> = step.read(result)?.to_vec().into_iter().map(f64::from).collect();
            worst = worst.join(distance(&got, want, self.tolerance, self.tolerance / 10.0));
        }
        if worst.excess <= 1.0 {
            return Ok(());
        }
        wrong(self, format!("it differs from the reference on {}: {worst:?}", device.name()))
    }

    /// All checks that the library's own ops have to pass, for data that follow from `seed`: the gradient, compositions, and
    /// the comparison with the reference on the CPU device and on `device`.
    ///
    /// # Errors
    /// Those of [`check_gradient`](Self::check_gradient), [`check_composition`](Self::check_composition) and
    /// [`check_on`](Self::check_on).
    pub fn check(&self, device: &Device, seed: u64) -> Result<()> {
        let mut generator = Generator::named(seed, &self.name);
        self.check_gradient(&mut generator)?;
        self.check_composition(&mut generator)?;
        self.check_on(&Device::cpu(), &mut generator)?;
        if device.is_cpu() { Ok(()) } else { self.check_on(device, &mut generator) }
    }
}
