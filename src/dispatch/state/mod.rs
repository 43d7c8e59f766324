//! What lives on a device between steps.

mod segments;

pub(super) use segments::{HostMemory, PendingSegment, entry_words};

use super::Counts;
use super::device::{Device, Inner};
use super::gpu::InTurn;
use crate::base::{DType, Error, ErrorKind, HostData, HostTensor, Result, Shape};
use crate::plan::{Arena, BufferKind, Updates};
use crate::record::Params;
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use segments::{Memory, optimizer_state};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What lives on a device between steps: parameters, optimizer states, and the number of steps.
///
/// Every plan compiled on one state sees the same parameters: a network that is being trained is
/// evaluated without copying anything. Cloning gives another handle to the same state.
#[derive(Clone, Debug)]
pub struct State(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    device: Device,
    store: u64,
    seed: u64,
    arena: Arena,
    frozen: Mutex<Vec<bool>>,
    cells: Vec<bool>,
    memory: Memory,
    steps: Mutex<u32>,
    counts: Mutex<Counts>,
    /// Held while what is on the device and what is counted of it change, or are copied, together.
    turn: ReentrantMutex<()>,
    /// How often something but a step has changed it.
    edits: AtomicU32,
}

/// A thread's turn to change a state; it ends when this is dropped.
pub(crate) type StateTurn<'s> = ReentrantMutexGuard<'s, ()>;

/// What a state is, wherever it lives.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub store: u64,
    pub seed: u64,
    pub frozen: Vec<bool>,
    pub cells: Vec<bool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Allocates the parameters on a device and uploads their initial values.
    ///
    /// # Errors
    /// When `params` holds mistakes, or the device has no room.
    pub async fn new_async(device: &Device, params: &Params) -> Result<Self> {
        if !params.faults().is_empty() {
            return Err(Error::recording(params.faults().to_vec()));
        }
        let arena = Arena::new(params.extents(), &device.profile())?;
        let identity = Identity {
            store: params.store(),
            seed: params.seed(),
            frozen: params.iter().map(|(_, _, frozen)| frozen).collect(),
            cells: params.cells(),
        };
        let state = Self::empty(device, arena, identity).await?;
        for (number, (_, value, _)) in params.iter().enumerate() {
            state.write(None, number, value)?;
        }
        Ok(state)
    }

    /// A state whose parameters are allocated, and zero.
    pub(super) async fn empty(device: &Device, arena: Arena, identity: Identity) -> Result<Self> {
        let memory = match &device.inner {
            Inner::Cpu => Memory::Host(Mutex::default()),
            Inner::Gpu(gpu) => {
                let all = || format!("making a state of {} parameters", arena.entries.len());
                let segments = gpu
                    .scoped(all, || {
                        let segment = |(number, &bytes): (usize, &u64)| {
                            let kind = BufferKind::Parameters(number);
                            let buffer = gpu.storage(&kind.to_string(), bytes)?;
                            Ok((kind, buffer))
                        };
                        arena.segments.iter().enumerate().map(segment).collect::<Result<BTreeMap<_, _>>>()
                    })
                    .await?
                    .map_err(|error| error.during(all()))?;
                let segments = Mutex::new(InTurn::new(Arc::clone(gpu), segments));
                Memory::Gpu { gpu: Arc::clone(gpu), segments }
            }
        };
        let parameters = arena.entries.len();
        let Identity { store, seed, frozen, cells } = identity;
        Ok(Self(Arc::new(Inside {
            device: device.clone(),
            store,
            seed,
            arena,
            frozen: Mutex::new(frozen),
            cells,
            memory,
            steps: Mutex::new(0),
            counts: Mutex::new(Counts::new(parameters)),
            turn: ReentrantMutex::new(()),
            edits: AtomicU32::new(0),
        })))
    }

    /// As [`new_async`](Self::new_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(device: &Device, params: &Params) -> Result<Self> {
        pollster::block_on(Self::new_async(device, params))
    }

    /// The device that the state lives on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Where parameters lie.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.0.arena
    }

    /// Names and shapes of the parameters, in the order in which they were added.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.0.arena.entries.iter().map(|entry| (entry.name.as_str(), &entry.shape))
    }

    /// The number of training steps that were run on this state.
    #[must_use]
    pub fn steps(&self) -> u32 {
        *locked(&self.0.steps)
    }

    /// Sets the number of training steps, as after a checkpoint was loaded: random streams, and batches of datasets, go on
    /// from there. Schedules follow updates, see [`restart_schedules`](Self::restart_schedules).
    pub fn set_steps(&self, steps: u32) {
        *locked(&self.0.steps) = steps;
        self.is_edited();
    }

    /// Counts training steps that were run.
    pub(crate) fn count_steps(&self, steps: u32) {
        *locked(&self.0.steps) += steps;
    }

    /// How often something but a step has changed the state.
    pub(crate) fn edits(&self) -> u32 {
        self.0.edits.load(Ordering::Relaxed)
    }

    fn is_edited(&self) {
        self.0.edits.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until no other thread changes the state: what is on the device and what is counted of it belong together.
    /// A thread that has the turn may take it again.
    pub(crate) fn turn(&self) -> StateTurn<'_> {
        self.0.turn.lock()
    }

    /// For every parameter, whether it is a cell.
    pub(crate) fn cells(&self) -> &[bool] {
        &self.0.cells
    }

    pub(crate) fn store(&self) -> u64 {
        self.0.store
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }

    pub(crate) fn frozen(&self) -> Vec<bool> {
        locked(&self.0.frozen).clone()
    }

    /// Excludes a parameter from training, or includes it again, in every step compiled on this state
    /// afterwards.
    ///
    /// # Errors
    /// When there is no parameter of this name, or it is a cell.
    pub fn set_frozen(&self, name: &str, frozen: bool) -> Result<()> {
        let number = self.number(name)?;
        if self.0.cells[number] && !frozen {
            let message = format!("`{name}` is a cell, which no gradient changes: it cannot be trained");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let _turn = self.turn();
        locked(&self.0.frozen)[number] = frozen;
        // A snapshot from before holds another choice, which steps compiled on a state restored from it would follow.
        self.is_edited();
        Ok(())
    }

    /// Looks at what is counted, or changes it.
    pub(crate) fn with_counts<R>(&self, work: impl FnOnce(&mut Counts) -> R) -> R {
        work(&mut locked(&self.0.counts))
    }

    /// Sets all optimizer states to zero, as they were before the first step, and forgets gradients that were added up.
    /// Running averages stay, and schedules go on: see [`restart_schedules`](Self::restart_schedules).
    ///
    /// # Errors
    /// When the device fails.
    pub fn reset_optimizer(&self) -> Result<()> {
        let _turn = self.turn();
        for state in self.optimizer_states().iter().filter(|state| *state != Updates::AVERAGE) {
            self.clear_optimizer_state(state)?;
        }
        self.with_counts(|counts| {
            counts.states.clear();
            counts.gathered.fill(0);
        });
        Ok(())
    }

    /// Lets the [schedules](crate::schedule) of all steps on this state begin anew, as for a second phase of training that
    /// has a schedule of its own. Optimizer states stay.
    pub fn restart_schedules(&self) {
        self.with_counts(|counts| counts.updates.fill(0));
        self.is_edited();
    }

    pub(crate) fn clear_optimizer_state(&self, state: &str) -> Result<()> {
        for (number, entry) in self.0.arena.entries.iter().enumerate() {
            let zeros = HostTensor::new(entry.shape.clone(), HostData::F32(vec![0.0; entry.shape.elements()]));
            self.write(Some(state), number, &zeros?)?;
        }
        Ok(())
    }

    /// The current value of a parameter.
    ///
    /// # Errors
    /// When there is no parameter of this name, or the device fails.
    pub async fn parameter_async(&self, name: &str) -> Result<HostTensor> {
        self.begin_read(None, self.number(name)?)?.finish().await
    }

    /// As [`parameter_async`](Self::parameter_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn parameter(&self, name: &str) -> Result<HostTensor> {
        self.begin_read(None, self.number(name)?)?.wait()
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// When there is no parameter of this name, or the shapes differ.
    pub fn set_parameter(&self, name: &str, value: impl Into<HostTensor>) -> Result<()> {
        let _turn = self.turn();
        let (number, value) = (self.number(name)?, value.into());
        let entry = &self.0.arena.entries[number];
        if *value.shape() != entry.shape || value.data().dtype() != DType::F32 {
            let message = format!(
                "parameter `{name}` is f32{} and the new value {}: both must be the same",
                entry.shape,
                value.tensor_type()
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        // An average of no weight yet is the weight itself.
        if self.with_counts(|counts| counts.averages[number] == Some(0)) {
            self.write(Some(Updates::AVERAGE), number, &value)?;
        }
        self.write(None, number, &value)
    }

    pub(super) fn number(&self, name: &str) -> Result<usize> {
        self.0.arena.entries.iter().position(|entry| entry.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.parameters().map(|(name, _)| name).collect();
            Error::new(ErrorKind::Argument, format!("there is no parameter `{name}`. Here are: {}", names.join(", ")))
        })
    }

    /// The current value of an optimizer state, such as `adam.mean`, of a parameter; zeros where no step has used it.
    ///
    /// # Errors
    /// When there is no parameter of this name, or the device fails.
    pub async fn optimizer_state_async(&self, state: &str, parameter: &str) -> Result<HostTensor> {
        self.begin_read(Some(state), self.number(parameter)?)?.finish().await
    }

    /// As [`optimizer_state_async`](Self::optimizer_state_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn optimizer_state(&self, state: &str, parameter: &str) -> Result<HostTensor> {
        self.begin_read(Some(state), self.number(parameter)?)?.wait()
    }

    /// Names of the optimizer states that exist.
    #[must_use]
    pub fn optimizer_states(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.0.memory {
            Memory::Host(memory) => locked(memory).keys().filter_map(optimizer_state).collect(),
            Memory::Gpu { segments, .. } => locked(segments).keys().filter_map(optimizer_state).collect(),
        };
        names.sort();
        names.dedup();
        names
    }
}
