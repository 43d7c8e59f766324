//! Fingerprints of a state: whether two trainings went the same way, to the bit.

use super::checkpoint::Copies;
use crate::base::{Fingerprint, Fingerprinter, HostData, HostTensor, Result, Shape};
use crate::dispatch::{PendingRead, State};
use crate::plan::Updates;

impl State {
    /// A fingerprint of the weights: of names, shapes and bits of all parameters and cells, in the order of their names. Two
    /// states have the same one exactly where these are the same to the bit (-0 and 0 differ, and NaN from NaN by its
    /// payload).
    ///
    /// The same program with the same seed, data, device and driver gives the same fingerprint after every step, run after run,
    /// however many steps go into a submission, and after a checkpoint as without one; and so do the same choices of kernels:
    /// see [`Plan::choices`](crate::plan::Plan::choices). Other devices, drivers or kernels add up in another order and give
    /// others. On the CPU it does not depend on the number of threads; processors with other vector units may round otherwise.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn weights_hash_async(&self) -> Result<Fingerprint> {
        let reads = {
            // All reads begin between the same two steps, whatever another thread trains or loads.
            let _turn = self.turn();
            let begin =
                |(number, (name, _)): (usize, (&str, &Shape))| Ok((name.to_owned(), self.begin_read(None, number)?));
            self.parameters().enumerate().map(begin).collect::<Result<Vec<_>>>()?
        };
        Ok(of_tensors(Fingerprinter::new("weights"), reads).await?.finish())
    }

    /// A fingerprint of everything that training goes on from: the weights, the optimizer states, running averages, gradients
    /// that were added up, and the counts of steps and updates. It is the same where a checkpoint was loaded as where training
    /// went on.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn training_hash_async(&self) -> Result<Fingerprint> {
        let Copies { reads, counts, steps } = self.begin_copies()?;
        let mut fingerprinter = of_tensors(Fingerprinter::new("training"), reads).await?;
        fingerprinter.number(steps.into());
        let mut names: Vec<(&str, usize)> =
            self.parameters().enumerate().map(|(number, (name, _))| (name, number)).collect();
        names.sort_unstable();
        let states: Vec<String> = self.optimizer_states();
        for (_, number) in names {
            fingerprinter.number(counts.updates[number].into());
            fingerprinter.number(counts.gathered[number].into());
            // One more than the count, so that none differs from an average of nothing.
            fingerprinter.number(counts.averages[number].map_or(0, |count| u64::from(count) + 1));
            for state in states.iter().filter(|state| *state != Updates::AVERAGE && *state != Updates::ACCUMULATED) {
                fingerprinter.number(counts.since_zero(&[state], number).into());
            }
        }
        Ok(fingerprinter.finish())
    }

    /// As [`weights_hash_async`](Self::weights_hash_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weights_hash(&self) -> Result<Fingerprint> {
        pollster::block_on(self.weights_hash_async())
    }

    /// As [`training_hash_async`](Self::training_hash_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn training_hash(&self) -> Result<Fingerprint> {
        pollster::block_on(self.training_hash_async())
    }
}

/// With named tensors, in the order of their names. All copies were started before the first is waited for.
async fn of_tensors(mut fingerprinter: Fingerprinter, mut reads: Vec<(String, PendingRead)>) -> Result<Fingerprinter> {
    reads.sort_by(|(one, _), (other, _)| one.cmp(other));
    fingerprinter.number(reads.len() as u64);
    for (name, read) in reads {
        let tensor: HostTensor = read.finish().await?;
        fingerprinter.bytes(name.as_bytes());
        fingerprinter.number(tensor.shape().rank() as u64);
        tensor.shape().iter().for_each(|&extent| fingerprinter.number(extent as u64));
        match tensor.data() {
            HostData::F32(data) => fingerprinter.words(bytemuck::cast_slice(data)),
            HostData::I32(data) => fingerprinter.words(bytemuck::cast_slice(data)),
            HostData::U32(data) => fingerprinter.words(data),
        }
    }
    Ok(fingerprinter)
}
