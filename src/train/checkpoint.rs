use super::Step;
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result};
use crate::dispatch::{Counts, PendingRead, State};
use crate::plan::Updates;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Optimizer states are stored under this prefix, then the state's and the parameter's name.
const OPTIMIZER: &str = "optimizer/";
/// The number of steps stands in the metadata under this key.
const STEPS: &str = "retrograd.steps";
/// How often a parameter was updated stands in the metadata under this prefix and its name.
const UPDATES: &str = "retrograd.updates/";
/// How often that was since an optimizer state of it was zero stands under this one, the state's name, and its name.
const STATES: &str = "retrograd.optimizer/";
/// How many of its gradients were added up since then stands under this one.
const GATHERED: &str = "retrograd.gathered/";
/// How many updates its running average is of stands under this one, where it has an average.
const AVERAGES: &str = "retrograd.averages/";

/// What is saved, on the way to the host.
struct Copies {
    /// Parameters and optimizer states by the names that they have in a file.
    reads: Vec<(String, PendingRead)>,
    counts: Counts,
    steps: u32,
}

impl State {
    /// Parameters and optimizer states in the safetensors format. Parameters stand under their
    /// names, optimizer states under `optimizer/<state>/<parameter>`, running averages among them, and the number of steps
    /// in the metadata.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn to_safetensors(&self) -> Result<Vec<u8>> {
        let Copies { reads, counts, steps } = self.begin_copies()?;
        let mut tensors: Vec<(String, HostTensor)> = Vec::new();
        for (name, read) in reads {
            tensors.push((name, read.finish().await?));
        }
        let views =
            tensors.iter().map(|(name, tensor)| Ok((name.as_str(), view(tensor)?))).collect::<Result<Vec<_>>>()?;
        let mut metadata = HashMap::from([(STEPS.to_owned(), steps.to_string())]);
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
        safetensors::serialize(views, Some(metadata))
            .map_err(|error| file(format!("the state could not be written down: {error}")))
    }

    /// Starts to read everything that is saved, by name, with what is counted: all of it as it is between two steps.
    fn begin_copies(&self) -> Result<Copies> {
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

    /// Takes parameters and optimizer states from bytes in the safetensors format. States that the bytes
    /// lack become zero, as before the first step. Everything is checked first: where the bytes are at fault, nothing has
    /// changed.
    ///
    /// # Errors
    /// When the bytes are damaged, or names or shapes differ, listing all differences. When the device fails while they
    /// are copied to it; the state holds a part of them then, as the error says.
    pub fn load_safetensors(&self, bytes: &[u8]) -> Result<()> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| file(format!("this is no valid safetensors file: {error}")))?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| file(error.to_string()))?;
        let mut writes: Vec<(Option<String>, usize, HostTensor)> = Vec::new();
        let mut differences = Vec::new();
        let mut of_states = BTreeSet::new();
        for (name, view) in sorted(&tensors) {
            let (state, parameter) = match name.strip_prefix(OPTIMIZER).and_then(|rest| rest.split_once('/')) {
                Some((state, parameter)) => (Some(state.to_owned()), parameter),
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
            match host_tensor(&view) {
                Ok(tensor) if tensor.shape() == shape => writes.push((state, number, tensor)),
                Ok(_) if state.is_some() => drop(of_states.insert(parameter.to_owned())),
                Ok(tensor) => differences
                    .push(format!("`{name}` has shape {} in the file and {shape} in the model", tensor.shape())),
                Err(reason) => differences.push(format!("`{name}`: {reason}")),
            }
        }
        for (number, entry) in self.arena().entries.iter().enumerate() {
            if !writes.iter().any(|(state, place, _)| state.is_none() && *place == number)
                && tensors.tensor(&entry.name).is_err()
            {
                differences.push(format!("the file lacks `{}` f32{}", entry.name, entry.shape));
            }
        }
        let states: BTreeSet<String> = writes.iter().filter_map(|(state, _, _)| state.clone()).collect();
        for state in &states {
            let entries = self.arena().entries.iter().enumerate();
            for (number, entry) in entries.filter(|(number, _)| !self.cells()[*number]) {
                if of_states.contains(&entry.name) {
                    continue;
                }
                if !writes.iter().any(|(other, place, _)| other.as_ref() == Some(state) && *place == number) {
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
        let mut number = |key: &str| {
            let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(key))?;
            text.parse::<u32>()
                .map_err(|_| differences.push(format!("its metadata `{key}` is `{text}`, which is no count")))
                .ok()
        };
        let steps = number(STEPS).unwrap_or(0);
        let mut counts = Counts::new(self.arena().entries.len());
        for (place, entry) in self.arena().entries.iter().enumerate() {
            counts.updates[place] = number(&format!("{UPDATES}{}", entry.name)).unwrap_or(0);
            counts.gathered[place] = number(&format!("{GATHERED}{}", entry.name)).unwrap_or(0);
            counts.averages[place] = number(&format!("{AVERAGES}{}", entry.name));
            for state in counted(&states) {
                // Files of old have one count for all optimizers.
                let count = number(&format!("{STATES}{state}/{}", entry.name)).unwrap_or(counts.updates[place]);
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
        if !differences.is_empty() {
            return Err(file(format!("the file does not fit the model:\n  {}", differences.join("\n  "))));
        }
        let _turn = self.turn();
        self.take_over(&writes, &states, &mut counts).map_err(|error| {
            error.during(
                "loading was cut off, and the state holds a part of what was to be loaded: load again before going on",
            )
        })?;
        self.set_steps(steps);
        self.with_counts(|known| *known = counts);
        Ok(())
    }

    /// Writes what was loaded: tensors of parameters, or of a state of them, by number.
    fn take_over(
        &self,
        writes: &[(Option<String>, usize, HostTensor)],
        states: &BTreeSet<String>,
        counts: &mut Counts,
    ) -> Result<()> {
        for (state, number, tensor) in writes {
            self.write(state.as_deref(), *number, tensor)?;
        }
        for state in self.optimizer_states().iter().filter(|state| !states.contains(*state)) {
            self.clear_optimizer_state(state)?;
        }
        // Steps that average go on, from the weights where the file has no averages.
        let had = self.averaged();
        for (_, number, tensor) in writes.iter().filter(|(state, number, _)| state.is_none() && had[*number]) {
            if counts.averages[*number].is_none() {
                self.write(Some(Updates::AVERAGE), *number, tensor)?;
                counts.averages[*number] = Some(0);
            }
        }
        Ok(())
    }
}

/// What a file holds by name, parameters first: its own order is none.
fn sorted<'t>(tensors: &'t SafeTensors<'t>) -> Vec<(&'t str, TensorView<'t>)> {
    let mut named: Vec<_> = tensors.iter().collect();
    named.sort_by(|(one, _), (other, _)| (one.starts_with(OPTIMIZER), one).cmp(&(other.starts_with(OPTIMIZER), other)));
    named
}

/// The states that updates are counted for: those of optimizers.
fn counted<'s>(states: impl IntoIterator<Item = &'s String>) -> impl Iterator<Item = &'s String> {
    states.into_iter().filter(|state| *state != Updates::AVERAGE && *state != Updates::ACCUMULATED)
}

fn view(tensor: &HostTensor) -> Result<TensorView<'_>> {
    TensorView::new(Dtype::F32, tensor.shape().to_vec(), tensor.data().bytes()).map_err(|error| file(error.to_string()))
}

fn host_tensor(view: &TensorView<'_>) -> Result<HostTensor, String> {
    if view.dtype() != Dtype::F32 {
        return Err(format!("its elements are {:?}, and the model's are F32", view.dtype()));
    }
    HostTensor::new(view.shape(), HostData::from_bytes(DType::F32, view.data())).map_err(|error| error.to_string())
}

fn file(message: String) -> Error {
    Error::new(ErrorKind::File, message)
}

#[cfg(not(target_arch = "wasm32"))]
impl Step {
    /// Writes parameters and optimizer states to a safetensors file: first to a temporary file
    /// beside it, which then takes its place, so that a good file is there at every moment.
    ///
    /// # Errors
    /// When the file cannot be written, or the device fails.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = pollster::block_on(self.state().to_safetensors())?;
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".partial");
        let partial = path.with_file_name(name);
        let write = || -> std::io::Result<()> {
            let mut out = std::fs::File::create(&partial)?;
            std::io::Write::write_all(&mut out, &bytes)?;
            out.sync_all()?;
            std::fs::rename(&partial, path)
        };
        write().map_err(|error| {
            // What is half written helps nobody; that it is gone already is fine.
            let _ = std::fs::remove_file(&partial);
            file(format!("{} could not be written: {error}", path.display())).caused_by(error)
        })
    }

    /// Takes parameters and optimizer states from a safetensors file.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or does not fit, listing all differences.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|error| file(format!("{} could not be read: {error}", path.display())).caused_by(error))?;
        self.state().load_safetensors(&bytes).map_err(|error| error.during(path.display()))
    }
}
