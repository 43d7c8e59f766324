//! Weights alone, in and out, under the names and in the layouts of other programs.

#[cfg(not(target_arch = "wasm32"))]
use super::super::Step;
#[cfg(not(target_arch = "wasm32"))]
use super::file::write_file;
use super::file_error;
use super::format::{Decoded, Encoded};
use super::head::{Metadata, is_checkpoint};
use super::layout::Fitted;
#[cfg(not(target_arch = "wasm32"))]
use super::mapped::Mapped;
use super::mapping::WeightMapping;
use super::state::OPTIMIZER;
use crate::base::{Error, ErrorKind, HostData, HostTensor, Result, Shape};
use crate::dispatch::{PendingRead, State};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::{BTreeMap, BTreeSet};
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

/// How many tensors of the right shape are named where one is missing.
const MOST_SUGGESTED: usize = 3;

/// What was taken from a file of weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedWeights {
    /// Parameters that were set, with their names in the file.
    pub loaded: Vec<(String, String)>,
    /// Parameters that the file lacks, as the mapping allows, or that were not wanted.
    pub left: Vec<String>,
    /// Names in the file that no parameter took.
    pub unused: Vec<String>,
}

/// A tensor of a file, and the parameter that it goes to.
struct Taken<'d> {
    ours: String,
    theirs: String,
    shape: Shape,
    view: TensorView<'d>,
    layout: Option<Fitted>,
}

impl State {
    /// Sets parameters and cells from bytes in the format safetensors, such as `PyTorch` and others write, under the names and
    /// from the layouts that the mapping says. Everything is checked first: where something does not fit, nothing has changed.
    ///
    /// Elements of 16 bits (`F16`, `BF16`) become the same numbers in 32. Those of 64 are rounded to the nearest; one that 32 bits
    /// cannot hold is an error. NaN and infinities are taken as they are; integers are refused. Of a checkpoint of this library
    /// the optimizer states are left aside. Optimizer states and counts of this state stay as they are.
    ///
    /// # Errors
    /// When the bytes are damaged, or names, shapes or element types do not fit, listing all differences at once; when a rule
    /// of the mapping cannot be used; when the device fails.
    pub fn load_weights_from(&self, bytes: &[u8], mapping: &WeightMapping) -> Result<LoadedWeights> {
        mapping.check()?;
        let decoded = Decoded::new(bytes)?;
        let (taken, report) = self.weights_in(&decoded, mapping)?;
        let _turn = self.turn();
        for Taken { ours, shape, view, layout, .. } in taken {
            let data = floats(&view);
            let data = layout.map_or_else(|| data.clone(), |layout| layout.to_ours(&data, &shape));
            self.set_parameter(&ours, HostTensor::new(shape, HostData::F32(data))?).map_err(|error| {
                error.during(
                    "loading was cut off, and the state holds a part of the weights: load again before going on",
                )
            })?;
        }
        Ok(report)
    }

    /// What a file has for the parameters that are wanted.
    fn weights_in<'d>(
        &self,
        decoded: &'d Decoded<'_>,
        mapping: &WeightMapping,
    ) -> Result<(Vec<Taken<'d>>, LoadedWeights)> {
        let (mut taken, mut report, mut differences) = (Vec::new(), LoadedWeights::default(), Vec::new());
        let mut missing = Vec::new();
        let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (ours, shape) in self.parameters() {
            if !mapping.wants(ours) {
                report.left.push(ours.to_owned());
                continue;
            }
            let theirs = mapping.name_of(ours);
            users.entry(theirs.clone()).or_default().push(ours);
            let layout = match mapping.layout_of(ours).map(|layout| layout.fitted(shape)).transpose() {
                Ok(layout) => layout,
                Err(reason) => {
                    differences.push(format!("`{ours}`: {reason}"));
                    continue;
                }
            };
            let stored = layout.as_ref().map_or_else(|| shape.to_vec(), |layout| layout.stored_shape(shape));
            let Ok(view) = decoded.tensors.tensor(&theirs) else {
                missing.push((ours, theirs, stored));
                continue;
            };
            if view.shape() != stored {
                differences.push(format!(
                    "{} has shape {} in the file, and {shape} in the model{}",
                    called(ours, &theirs),
                    Shape::from(view.shape()),
                    if layout.is_some() { format!(", which is {} there", Shape::from(stored)) } else { String::new() }
                ));
            } else if let Err(reason) = check_elements(&view) {
                differences.push(format!("{}: {reason}", called(ours, &theirs)));
            } else {
                taken.push(Taken { ours: ours.to_owned(), theirs, shape: shape.clone(), view, layout });
            }
        }
        let own = is_checkpoint(&decoded.metadata);
        let unused: Vec<(&str, TensorView<'_>)> = decoded
            .sorted()
            .into_iter()
            .filter(|(name, _)| !(users.contains_key(*name) || own && name.starts_with(OPTIMIZER)))
            .collect();
        for (ours, theirs, stored) in missing {
            if mapping.may_be_missing(ours) {
                report.left.push(ours.to_owned());
                continue;
            }
            let alike: Vec<String> = unused
                .iter()
                .filter(|(_, view)| view.shape() == stored)
                .take(MOST_SUGGESTED)
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            let hint =
                if alike.is_empty() { String::new() } else { format!("; of this shape it has {}", alike.join(", ")) };
            differences.push(format!("the file lacks {} f32{}{hint}", called(ours, &theirs), Shape::from(stored)));
        }
        for (name, view) in &unused {
            if !mapping.may_be_unused(name) {
                let shape = Shape::from(view.shape());
                differences.push(format!("the file has `{name}` {:?}{shape}, which no parameter takes", view.dtype()));
            }
        }
        for (theirs, users) in users.iter().filter(|(_, users)| users.len() > 1) {
            differences.push(format!("`{theirs}` of the file would go to {}, and can go to one", users.join(" and ")));
        }
        if users.is_empty() {
            differences.push("no parameter of the model is among those that are wanted".into());
        }
        if !differences.is_empty() {
            let rules =
                "say with `WeightMapping` what is called otherwise, lies otherwise, or may be missing or unused";
            let message = format!("the weights do not fit the model; {rules}:\n  {}", differences.join("\n  "));
            return Err(file_error(message));
        }
        report.loaded = taken.iter().map(|taken| (taken.ours.clone(), taken.theirs.clone())).collect();
        report.unused = unused.into_iter().map(|(name, _)| name.to_owned()).collect();
        Ok((taken, report))
    }

    /// Parameters and cells in the format safetensors, all as they are between two steps, under the names and in the layouts
    /// that the mapping says: what `load_state_dict(safetensors.torch.load_file(..))` takes in `PyTorch`.
    ///
    /// # Errors
    /// When a rule of the mapping cannot be used, or gives two parameters one name; when the device fails.
    pub async fn weights_to_safetensors(&self, mapping: &WeightMapping) -> Result<Vec<u8>> {
        Ok(self.encode_weights(mapping).await?.to_bytes())
    }

    async fn encode_weights(&self, mapping: &WeightMapping) -> Result<Encoded> {
        mapping.check()?;
        let mut reads: Vec<(String, Option<Fitted>, PendingRead)> = Vec::new();
        {
            // All copies begin between the same two steps, and before the first is waited for.
            let _turn = self.turn();
            let mut known = BTreeSet::new();
            for (number, (ours, shape)) in self.parameters().enumerate().filter(|(_, (ours, _))| mapping.wants(ours)) {
                let (theirs, wrong) = (mapping.name_of(ours), |reason: String| {
                    Error::new(ErrorKind::Argument, format!("the mapping of weights does not fit `{ours}`: {reason}"))
                });
                let layout = mapping.layout_of(ours).map(|layout| layout.fitted(shape)).transpose().map_err(wrong)?;
                if !known.insert(theirs.clone()) {
                    return Err(wrong(format!("another parameter is called `{theirs}` in the file as well")));
                }
                reads.push((theirs, layout, self.begin_read(None, number)?));
            }
        }
        if reads.is_empty() {
            let message = "no parameter of the model is among those that the mapping of weights wants";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let mut tensors = Vec::new();
        for (theirs, layout, read) in reads {
            let tensor = read.finish().await?;
            tensors.push((
                theirs,
                match layout {
                    None => tensor,
                    Some(layout) => {
                        let data = layout.to_stored(&tensor.to_vec(), tensor.shape());
                        HostTensor::new(layout.stored_shape(tensor.shape()), HostData::F32(data))?
                    }
                },
            ));
        }
        // What readers of such files look for.
        Encoded::new(tensors, Metadata::from([("format".to_owned(), "pt".to_owned())]), false)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl State {
    /// Sets parameters and cells from a safetensors file, such as `PyTorch` and others write; the file is mapped into memory
    /// rather than read. See [`load_weights_from`](Self::load_weights_from) for what is converted and checked.
    ///
    /// # Errors
    /// When the file cannot be read, and as there.
    pub fn load_weights(&self, path: impl AsRef<Path>, mapping: &WeightMapping) -> Result<LoadedWeights> {
        let path = path.as_ref();
        let bytes = Mapped::open(path)?;
        self.load_weights_from(&bytes, mapping).map_err(|error| error.during(path.display()))
    }

    /// Writes parameters and cells to a safetensors file, in one piece, for `PyTorch` and others: see
    /// [`weights_to_safetensors`](Self::weights_to_safetensors). What training goes on from is written by [`Step::save`].
    ///
    /// # Errors
    /// When the file cannot be written, and as there.
    pub fn save_weights(&self, path: impl AsRef<Path>, mapping: &WeightMapping) -> Result<()> {
        let encoded = pollster::block_on(self.encode_weights(mapping))?;
        write_file(path.as_ref(), |out| encoded.write(out))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Step {
    /// As [`State::load_weights`].
    ///
    /// # Errors
    /// As there.
    pub fn load_weights(&self, path: impl AsRef<Path>, mapping: &WeightMapping) -> Result<LoadedWeights> {
        self.state().load_weights(path, mapping)
    }

    /// As [`State::save_weights`].
    ///
    /// # Errors
    /// As there; where [`check_numbers`](crate::Training::check_numbers) has found what no error has told yet.
    pub fn save_weights(&self, path: impl AsRef<Path>, mapping: &WeightMapping) -> Result<()> {
        pollster::block_on(self.tell_non_finite())?;
        self.state().save_weights(path, mapping)
    }
}

/// A parameter, with its name in the file where that is another.
fn called(ours: &str, theirs: &str) -> String {
    if ours == theirs { format!("`{ours}`") } else { format!("`{theirs}` (`{ours}` here)") }
}

/// Whether elements can be taken as floats of 32 bits.
fn check_elements(view: &TensorView<'_>) -> Result<(), String> {
    match view.dtype() {
        Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(()),
        Dtype::F64 => {
            let too_large = |number: f64| number.is_finite() && !(number as f32).is_finite();
            match doubles(view).enumerate().find(|(_, number)| too_large(*number)) {
                None => Ok(()),
                Some((place, number)) => {
                    Err(format!("element {place} is {number:e}, which floats of 32 bits cannot hold"))
                }
            }
        }
        other => Err(format!("its elements are {other:?}, and F32, F64, F16 and BF16 are taken")),
    }
}

fn doubles<'d>(view: &'d TensorView<'_>) -> impl Iterator<Item = f64> + 'd {
    view.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().expect("a chunk has eight")))
}

/// Elements that were checked, as floats of 32 bits.
fn floats(view: &TensorView<'_>) -> Vec<f32> {
    let pairs = || view.data().chunks_exact(2).map(|bytes| [bytes[0], bytes[1]]);
    match view.dtype() {
        Dtype::F64 => doubles(view).map(|number| number as f32).collect(),
        Dtype::F16 => pairs().map(|bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
        _ => bytemuck::pod_collect_to_vec(view.data()),
    }
}
