use crate::base::{Error, ErrorKind, Fault, Generator, HostData, HostTensor, Result, Shape};
use ndarray::{Array, Dimension};
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a parameter starts. `fan_in` and `fan_out` are the numbers of inputs and outputs of a
/// weight of shape `[fan_out, fan_in, ..]`, both times the product of further axes.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All the same.
    Constant(f64),
    /// Evenly distributed in `[low, high)`.
    Uniform(f64, f64),
    /// Normally distributed with this mean and standard deviation.
    Normal(f64, f64),
    /// Uniform with bound `gain * sqrt(3 / fan_in)`: He et al. 2015; a gain of `sqrt(2)` suits relu.
    KaimingUniform(f64),
    /// Normal with deviation `gain / sqrt(fan_in)`.
    KaimingNormal(f64),
    /// Uniform with bound `gain * sqrt(6 / (fan_in + fan_out))`: Glorot and Bengio 2010.
    XavierUniform(f64),
    /// Normal with deviation `gain * sqrt(2 / (fan_in + fan_out))`.
    XavierNormal(f64),
    /// These values.
    Values(Vec<f32>),
}

impl Init {
    fn values(&self, shape: &Shape, generator: &mut Generator) -> Result<Vec<f32>, String> {
        let elements = shape.elements();
        let receptive: usize = shape.iter().skip(2).product();
        let fan_in = (shape.get(1).copied().unwrap_or(shape.last()) * receptive) as f64;
        let fan_out = (shape.first().copied().unwrap_or(1) * receptive) as f64;
        let mut uniform = |bound: f64| (0..elements).map(|_| generator.uniform(-bound, bound) as f32).collect();
        Ok(match self {
            Self::Zeros => vec![0.0; elements],
            Self::Constant(value) => vec![*value as f32; elements],
            Self::KaimingUniform(gain) => uniform(gain * (3.0 / fan_in).sqrt()),
            Self::XavierUniform(gain) => uniform(gain * (6.0 / (fan_in + fan_out)).sqrt()),
            Self::Uniform(low, high) => (0..elements).map(|_| generator.uniform(*low, *high) as f32).collect(),
            Self::Normal(mean, deviation) => {
                (0..elements).map(|_| generator.normal(*mean, *deviation) as f32).collect()
            }
            Self::KaimingNormal(gain) => {
                (0..elements).map(|_| generator.normal(0.0, gain / fan_in.sqrt()) as f32).collect()
            }
            Self::XavierNormal(gain) => {
                let deviation = gain * (2.0 / (fan_in + fan_out)).sqrt();
                (0..elements).map(|_| generator.normal(0.0, deviation) as f32).collect()
            }
            Self::Values(values) if values.len() == elements => values.clone(),
            Self::Values(values) => return Err(format!("{} values were given for shape {shape}", values.len())),
        })
    }
}

/// What a recording notes of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamInfo {
    /// The store it lives in.
    pub store: u64,
    /// Its position there.
    pub index: usize,
    /// Its name, such as `decoder.up.weight`.
    pub name: String,
    /// Whether it is a cell, which training does not change.
    pub cell: bool,
}

/// A parameter of a [`Params`] store: what a layer holds.
#[derive(Clone, Debug)]
pub struct Param {
    info: ParamInfo,
    shape: Shape,
    /// Why it was not added, where it was not.
    refused: Option<Fault>,
}

impl Param {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The extent of every axis.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether it is a cell, which training does not change; see [`Params::add_cell`].
    #[must_use]
    pub const fn is_cell(&self) -> bool {
        self.info.cell
    }

    pub(crate) const fn refused(&self) -> Option<&Fault> {
        self.refused.as_ref()
    }

    pub(crate) const fn info(&self) -> &ParamInfo {
        &self.info
    }
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    value: HostTensor,
    frozen: bool,
    cell: bool,
}

/// Named parameters with their initial values, drawn from one seed.
///
/// Every parameter has a random stream of its own, named after it: adding a layer does not
/// change the others. A mistake (a name used twice, say) is reported by `compile`.
#[derive(Debug)]
pub struct Params {
    store: u64,
    seed: u64,
    entries: Vec<Entry>,
    names: BTreeMap<String, usize>,
    faults: Vec<Fault>,
    scopes: Vec<String>,
}

impl Params {
    /// An empty store whose random initial values follow from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            store: NEXT.fetch_add(1, Ordering::Relaxed),
            seed,
            entries: Vec::new(),
            names: BTreeMap::new(),
            faults: Vec::new(),
            scopes: Vec::new(),
        }
    }

    /// The seed, which is also that of dropout.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds a parameter. Its full name is that of the open scopes and `name`, joined by dots.
    #[track_caller]
    pub fn add(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Param {
        self.entry(name, shape.into(), init, false)
    }

    /// Adds a cell: a part of the state that no gradient changes, such as a running mean or a counter. Its value is read as
    /// that of a parameter; [`Graph::assign`](crate::Graph::assign) writes it when a training step ends.
    #[track_caller]
    pub fn add_cell(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Param {
        self.entry(name, shape.into(), init, true)
    }

    #[track_caller]
    fn entry(&mut self, name: &str, shape: Shape, init: Init, cell: bool) -> Param {
        let name = self.scopes.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
        let index = self.entries.len();
        let most = u32::MAX as usize / 2;
        let values = match shape.checked_elements() {
            Some(0) => Err("it has no elements: every extent must be at least 1".to_owned()),
            Some(elements) if elements < most => init.values(&shape, &mut Generator::named(self.seed, &name)),
            _ => Err(format!("it has too many elements: a tensor holds less than {most}")),
        };
        let duplicate = self.names.contains_key(&name).then(|| "a parameter of this name was added before: every one needs a name of its own, as within `Params::scope`".to_owned());
        let reserved = name
            .starts_with("optimizer/")
            .then(|| "names that begin with `optimizer/` are kept for optimizer states".to_owned());
        let value = match (values, duplicate.or(reserved)) {
            (Ok(values), None) => {
                HostTensor::new(shape.clone(), HostData::F32(values)).map_err(|error| error.to_string())
            }
            (Err(reason), _) | (_, Some(reason)) => Err(reason),
        };
        let refused = match value {
            Ok(value) => {
                self.names.insert(name.clone(), index);
                self.entries.push(Entry { name: name.clone(), value, frozen: cell, cell });
                None
            }
            Err(reason) => {
                let fault = Fault {
                    op: format!("parameter `{name}`"),
                    operands: vec![format!("f32{shape}")],
                    reason,
                    location: Location::caller().to_string(),
                    scope: self.scopes.join("."),
                };
                self.faults.push(fault.clone());
                Some(fault)
            }
        };
        Param { info: ParamInfo { store: self.store, index, name, cell }, shape, refused }
    }

    /// Notes a mistake, which `compile` reports.
    #[track_caller]
    pub(crate) fn refuse(&mut self, what: &str, reason: impl Into<String>) {
        self.faults.push(Fault {
            op: what.to_owned(),
            operands: Vec::new(),
            reason: reason.into(),
            location: Location::caller().to_string(),
            scope: self.scopes.join("."),
        });
    }

    /// Runs `build` with `name` put before the names of the parameters that it adds.
    pub fn scope<R>(&mut self, name: &str, build: impl FnOnce(&mut Self) -> R) -> R {
        self.scopes.push(name.to_owned());
        let result = build(self);
        self.scopes.pop();
        result
    }

    /// Excludes a parameter from training, or includes it again, on every state made afterwards; on one that
    /// exists, [`State::set_frozen`](crate::State::set_frozen) does.
    ///
    /// # Errors
    /// When the parameter belongs to another store, or is a cell, which stays frozen.
    pub fn set_frozen(&mut self, param: &Param, frozen: bool) -> Result<()> {
        let index = self.index(param)?;
        if self.entries[index].cell && !frozen {
            let message = format!("`{}` is a cell, which no gradient changes: it cannot be trained", param.info.name);
            return Err(Error::new(ErrorKind::Argument, message));
        }
        self.entries[index].frozen = frozen;
        Ok(())
    }

    /// The initial value on the host. Training happens on a device and does not change it:
    /// trained values are read from the step.
    ///
    /// # Errors
    /// When the parameter belongs to another store.
    pub fn value(&self, param: &Param) -> Result<&HostTensor> {
        Ok(&self.entries[self.index(param)?].value)
    }

    /// Sets the initial value from an array of the same shape.
    ///
    /// # Errors
    /// When shapes differ or the parameter belongs to another store.
    pub fn set_value<D: Dimension>(&mut self, param: &Param, value: &Array<f32, D>) -> Result<()> {
        let index = self.index(param)?;
        let entry = &mut self.entries[index];
        if entry.value.shape()[..] != *value.shape() {
            let message = format!(
                "parameter `{}` has shape {}, the new value {:?}",
                entry.name,
                entry.value.shape(),
                value.shape()
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        entry.value = value.into();
        Ok(())
    }

    /// Sets the initial value of a parameter that was added just before, with a value of its shape; not of one that was refused.
    pub(crate) fn set_initial(&mut self, param: &Param, value: HostTensor) {
        if param.refused.is_none()
            && let Some(entry) = self.entries.get_mut(param.info.index)
        {
            debug_assert_eq!(entry.value.shape(), value.shape(), "initial value of `{}`", entry.name);
            entry.value = value;
        }
    }

    /// The same store with other initial values, in the order of addition and of the same shapes.
    pub(crate) fn with_values(&self, values: Vec<HostTensor>) -> Self {
        let mut entries = self.entries.clone();
        for (entry, value) in entries.iter_mut().zip(values) {
            entry.value = value;
        }
        Self {
            store: self.store,
            seed: self.seed,
            entries,
            names: self.names.clone(),
            faults: self.faults.clone(),
            scopes: self.scopes.clone(),
        }
    }

    /// The number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing has been added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of elements of all parameters together.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.entries.iter().map(|entry| entry.value.shape().elements()).sum()
    }

    /// For every parameter, in the order of addition, whether it is a cell.
    pub(crate) fn cells(&self) -> Vec<bool> {
        self.entries.iter().map(|entry| entry.cell).collect()
    }

    /// Name, initial value and whether it is frozen, in the order of addition.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HostTensor, bool)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), &entry.value, entry.frozen))
    }

    /// Name, shape and whether it is a cell, in the order of addition.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (&str, &Shape, bool)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.value.shape(), entry.cell))
    }

    pub(crate) const fn store(&self) -> u64 {
        self.store
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    fn index(&self, param: &Param) -> Result<usize> {
        if param.refused.is_none() && param.info.store == self.store && param.info.index < self.entries.len() {
            return Ok(param.info.index);
        }
        if let Some(fault) = &param.refused {
            return Err(Error::recording(vec![fault.clone()]));
        }
        let message =
            format!("parameter `{}` belongs to another store: use the `Params` that it was added to", param.info.name);
        Err(Error::new(ErrorKind::Argument, message))
    }
}
