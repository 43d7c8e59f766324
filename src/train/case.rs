//! The check of a case on a device.

use super::step::key;
use crate::base::{Generator, Result};
use crate::dispatch::Device;
use crate::record::{Case, Graph, Params, Tensor};
use crate::reference::{Compared, Measured, RecordedCase, values, wrong};

impl Case {
    /// How far the output, and the gradients of a differentiable case, as a device computes them, lie from the float64
    /// reference, for fresh random data.
    ///
    /// # Errors
    /// The mistakes of the recording; what a device refuses. That a result is wrong is none: see [`Measured::complaint`].
    pub fn measure_on(&self, device: &Device, generator: &mut Generator) -> Result<Measured> {
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
        let input = |(input, _): &(Tensor<'_>, Tensor<'_>)| {
            let place = recorded.inputs.iter().position(|other| other.id() == input.id());
            format!("gradient of in{}", place.unwrap_or_default())
        };
        let names = ["output".to_owned()].into_iter().chain(recorded.gradients.iter().map(input));
        let mut measured = Measured::default();
        for ((&result, want), name) in results.iter().zip(&want).zip(names) {
            let got: Vec<f64> = step.read(result)?.to_vec().into_iter().map(f64::from).collect();
            measured.results.push(Compared::new(name, &got, want, self.tolerance));
        }
        Ok(measured)
    }

    /// Compares the output, and the gradients of a differentiable case, as a device computes them with the float64 reference,
    /// for fresh random data.
    ///
    /// # Errors
    /// [`ErrorKind::Check`](crate::ErrorKind::Check) where an element differs by more than the case's tolerance; the
    /// mistakes of the recording; what a device refuses.
    pub fn check_on(&self, device: &Device, generator: &mut Generator) -> Result<()> {
        match self.measure_on(device, generator)?.complaint() {
            Some(complaint) => wrong(self, format!("it differs from the reference on {}: {complaint}", device.name())),
            None => Ok(()),
        }
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
