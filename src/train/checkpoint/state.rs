//! Everything that training goes on from: what lives on the device, and what is counted of it.

use super::file_error;
use super::format::{Decoded, Encoded};
use super::head::{Head, parsed};
use crate::base::{DType, HostData, HostTensor, Result, Shape};
use crate::dispatch::{Counts, PendingRead, State};
use crate::plan::Updates;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeSet;

/// Optimizer states are stored under this prefix, then the state's and the parameter's name.
pub(super) const OPTIMIZER: &str = "optimizer/";
/// How often a parameter was updated stands in the metadata under this prefix and its name.
const UPDATES: &str = "retrograd.updates/";
/// How often that was since an optimizer state of it was zero stands under this one, the state's name, and its name.
const STATES: &str = "retrograd.optimizer/";
/// How many of its gradients were added up since then stands under this one.
const GATHERED: &str = "retrograd.gathered/";
/// How many updates its running average is of stands under this one, where it has an average.
const AVERAGES: &str = "retrograd.averages/";

/// What is saved, on the way to the host.
pub(in crate::train) struct Copies {
    /// Parameters and optimizer states by the names that they have in a file.
    pub reads: Vec<(String, PendingRead)>,
    pub counts: Counts,
    pub steps: u32,
}

impl State {
    /// Everything that training goes on from in the safetensors format. Parameters and cells stand under their
    /// names, optimizer states under `optimizer/<state>/<parameter>`, running averages among them. In the metadata are the number
    /// of steps and the seed, from which random streams and the order of rows follow; the number of updates, which schedules
    /// follow; the version of this library, a number of the format, and a checksum of everything.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn to_safetensors(&self) -> Result<Vec<u8>> {
        Ok(self.encode(Head::default()).await?.to_bytes())
    }

    /// Everything that training goes on from, with what the head says of the step.
    pub(super) async fn encode(&self, head: Head) -> Result<Encoded> {
        let Copies { reads, counts, steps } = self.begin_copies()?;
        let mut tensors: Vec<(String, HostTensor)> = Vec::new();
        for (name, read) in reads {
            tensors.push((name, read.finish().await?));
        }
        let mut metadata = Head { steps, seed: Some(self.seed()), ..head }.metadata();
        for (number, entry) in self.arena().entries.iter().enumerate() {
            for (prefix, count) in [
                (UPDATES, Some(counts.updates[number]).filter(|count| *count > 0)),
                (GATHERED, Some(counts.gathered[number]).filter(|count| *count > 0)),
                (AVERAGES, counts.averages[number]),
            ] {
                metadata.extend(count.map(|count| (format!("{prefix}{}", entry.name), count.to_string())));
            }
            for state in counted(&self.optimizer_states()) {
                let count = counts.since_zero(&[state], number);
                metadata.insert(format!("{STATES}{state}/{}", entry.name), count.to_string());
            }
        }
        Encoded::new(tensors, metadata, true)
    }

    /// Starts to read everything that is saved, by name, with what is counted: all of it as it is between two steps.
    pub(in crate::train) fn begin_copies(&self) -> Result<Copies> {
        let _turn = self.turn();
        // All copies are started before the first is waited for.
        let mut reads = Vec::new();
        for (number, entry) in self.arena().entries.iter().enumerate() {
            reads.push((entry.name.clone(), self.begin_read(None, number)?));
        }
        let counts = self.with_counts(|counts| counts.clone());
        let gathers = counts.gathered.iter().any(|&count| count > 0);
        // What was added up for an update that is over will not be looked at again.
        for state in self.optimizer_states().into_iter().filter(|state| gathers || state != Updates::ACCUMULATED) {
            // No optimizer changes cells.
            let entries = self.arena().entries.iter().enumerate().filter(|(number, _)| !self.cells()[*number]);
            for (number, entry) in entries {
                reads.push((format!("{OPTIMIZER}{state}/{}", entry.name), self.begin_read(Some(&state), number)?));
            }
        }
        Ok(Copies { reads, counts, steps: self.steps() })
    }

    /// Takes over everything that training goes on from, as [`to_safetensors`](Self::to_safetensors) wrote it. States that the
    /// bytes lack become zero, as before the first step. Everything is checked first: where the bytes are at fault, nothing has
    /// changed. The seed stays that of this state.
    ///
    /// # Errors
    /// When the bytes are damaged, or names or shapes differ, listing all differences. When the device fails while they
    /// are copied to it; the state holds a part of them then, as the error says.
    pub fn load_safetensors(&self, bytes: &[u8]) -> Result<()> {
        self.load_decoded(&Decoded::new(bytes)?).map(drop)
    }

    /// Takes over what a file holds, and returns what it says of itself.
    pub(super) fn load_decoded(&self, decoded: &Decoded<'_>) -> Result<Head> {
        let mut differences = Vec::new();
        let writes = self.fitting(decoded, &mut differences);
        let states: BTreeSet<String> = writes.iter().filter_map(|write| write.state.map(str::to_owned)).collect();
        let head = Head::read(&decoded.metadata, &mut differences);
        let mut counts = self.counts_of(decoded, &states, &mut differences);
        if !differences.is_empty() {
            return Err(file_error(format!("the file does not fit the model:\n  {}", differences.join("\n  "))));
        }
        let _turn = self.turn();
        self.take_over(&writes, &states, &mut counts).map_err(|error| {
            error.during(
                "loading was cut off, and the state holds a part of what was to be loaded: load again before going on",
            )
        })?;
        self.set_steps(head.steps);
        self.with_counts(|known| *known = counts);
        Ok(head)
    }

    /// The tensors of a file that are to be written, and all that does not fit.
    fn fitting<'d>(&self, decoded: &'d Decoded<'_>, differences: &mut Vec<String>) -> Vec<Write<'d>> {
        let mut writes: Vec<Write<'d>> = Vec::new();
        let mut of_states = BTreeSet::new();
        // Parameters come first.
        let (of_optimizers, parameters): (Vec<_>, Vec<_>) =
            decoded.sorted().into_iter().partition(|(name, _)| name.starts_with(OPTIMIZER));
        for (name, view) in parameters.into_iter().chain(of_optimizers) {
            let (state, parameter) = match name.strip_prefix(OPTIMIZER).and_then(|rest| rest.split_once('/')) {
                Some((state, parameter)) => (Some(state), parameter),
                None => (None, name),
            };
            let Some(number) = self.arena().entries.iter().position(|entry| entry.name == parameter) else {
                match state {
                    Some(_) => drop(of_states.insert(parameter.to_owned())),
                    None => differences.push(format!("the file has `{name}`, which the model lacks")),
                }
                continue;
            };
            let shape = &self.arena().entries[number].shape;
            if view.dtype() != Dtype::F32 {
                differences.push(format!(
                    "`{name}`: its elements are {:?}, and a checkpoint's are F32 (`load_weights` converts)",
                    view.dtype()
                ));
            } else if view.shape() == &shape[..] {
                writes.push(Write { state, number, view });
            } else if state.is_some() {
                of_states.insert(parameter.to_owned());
            } else {
                let has = Shape::from(view.shape());
                differences.push(format!("`{name}` has shape {has} in the file and {shape} in the model"));
            }
        }
        for entry in &self.arena().entries {
            if decoded.tensors.tensor(&entry.name).is_err() {
                differences.push(format!("the file lacks `{}` f32{}", entry.name, entry.shape));
            }
        }
        let states: BTreeSet<&str> = writes.iter().filter_map(|write| write.state).collect();
        for state in states {
            let entries = self.arena().entries.iter().enumerate();
            for (number, entry) in entries.filter(|(number, _)| !self.cells()[*number]) {
                let is_there = writes.iter().any(|write| write.state == Some(state) && write.number == number);
                if !is_there && !of_states.contains(&entry.name) {
                    differences
                        .push(format!("the file has the optimizer state `{state}`, but not of `{}`", entry.name));
                }
            }
        }
        if !of_states.is_empty() {
            let names: Vec<String> = of_states.iter().map(|name| format!("`{name}`")).collect();
            differences.push(format!(
                "the file has optimizer states that the model lacks or has in other shapes, of {}",
                names.join(", ")
            ));
        }
        writes
    }

    /// What a file counts of every parameter, if it has these states, and all that is wrong with that.
    fn counts_of(&self, decoded: &Decoded<'_>, states: &BTreeSet<String>, differences: &mut Vec<String>) -> Counts {
        let mut number = |key: String| parsed::<u32>(&decoded.metadata, key, "count", differences);
        let mut counts = Counts::new(self.arena().entries.len());
        for (place, entry) in self.arena().entries.iter().enumerate() {
            counts.updates[place] = number(format!("{UPDATES}{}", entry.name)).unwrap_or(0);
            counts.gathered[place] = number(format!("{GATHERED}{}", entry.name)).unwrap_or(0);
            counts.averages[place] = number(format!("{AVERAGES}{}", entry.name));
            for state in counted(states) {
                // Files of old have one count for all optimizers.
                let count = number(format!("{STATES}{state}/{}", entry.name)).unwrap_or(counts.updates[place]);
                let none = || vec![0; self.arena().entries.len()];
                counts.states.entry(state.clone()).or_insert_with(none)[place] = count;
            }
        }
        if !states.contains(Updates::AVERAGE) && counts.averages.iter().any(Option::is_some) {
            differences.push("its metadata counts running averages, which the file lacks".into());
        }
        if !states.contains(Updates::ACCUMULATED) && counts.gathered.iter().any(|&count| count > 0) {
            differences.push("its metadata counts gradients that were added up, which the file lacks".into());
        }
        counts
    }

    /// Writes what was loaded, of which no more than one tensor is in memory at a time.
    fn take_over(&self, writes: &[Write<'_>], states: &BTreeSet<String>, counts: &mut Counts) -> Result<()> {
        for Write { state, number, view } in writes {
            self.write(*state, *number, &host_tensor(view)?)?;
        }
        for state in self.optimizer_states().iter().filter(|state| !states.contains(*state)) {
            self.clear_optimizer_state(state)?;
        }
        // Steps that average go on, from the weights where the file has no averages.
        let had = self.averaged();
        for Write { number, view, .. } in writes.iter().filter(|write| write.state.is_none() && had[write.number]) {
            if counts.averages[*number].is_none() {
                self.write(Some(Updates::AVERAGE), *number, &host_tensor(view)?)?;
                counts.averages[*number] = Some(0);
            }
        }
        Ok(())
    }
}

/// A tensor of a file that is to be written to a parameter, or to a state of it.
struct Write<'d> {
    state: Option<&'d str>,
    number: usize,
    view: TensorView<'d>,
}

/// The states that updates are counted for: those of optimizers.
fn counted<'s>(states: impl IntoIterator<Item = &'s String>) -> impl Iterator<Item = &'s String> {
    states.into_iter().filter(|state| *state != Updates::AVERAGE && *state != Updates::ACCUMULATED)
}

/// What is in a tensor of a file, as the model has it.
fn host_tensor(view: &TensorView<'_>) -> Result<HostTensor> {
    HostTensor::new(view.shape(), HostData::from_bytes(DType::F32, view.data()))
}
