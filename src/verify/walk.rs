//! A step dispatch by dispatch: every one runs alone, on what the device has computed before, and is compared.

use super::judge::{Figures, POISON, SENTINEL, SENTINELS, Want, compare, error};
use super::outcome::{Outcome, Verdict, judge};
use super::report::{DispatchReport, Divergence, Verification};
use super::reproduction::Reproduction;
use crate::base::{DType, ErrorKind, Generator, HostData, Result, Value};
use crate::dispatch::{Alone, Device, Program};
use crate::plan::{Arena, Binding, BufferKind, Dispatch, Held, Phase, Plan, StepScalars, Updates, Work};
use crate::record::{KernelClass, Recording, TensorId};
use crate::train::Prepared;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the op that makes a dense copy of its input.
const COPY: &str = "copy";

/// Small random changes of what a result follows from: where they move it, rounding does as well. Source: Parker 1997,
/// "Monte Carlo arithmetic".
#[derive(Debug)]
pub(super) struct Disturb {
    generator: Generator,
    /// The greatest change, relative to a value.
    amplitude: f64,
}

/// Changes, or none.
pub(super) type Disturbance<'a> = Option<&'a mut Disturb>;

/// Disturbed evaluations in a first and a second round, and how strong they are: some units in the last place.
const ROUNDS: [(usize, f64); 2] = [(8, 1.0 / (1u64 << 21) as f64), (24, 1.0 / (1u64 << 20) as f64)];
/// By how many times what disturbed evaluations differ by a result may differ.
const SPREADS: f64 = 2.0;

pub(super) fn disturb(mut values: Vec<f64>, disturbance: &mut Disturbance<'_>) -> Vec<f64> {
    if let Some(Disturb { generator, amplitude }) = disturbance {
        for value in &mut values {
            *value *= 1.0 + generator.uniform(-*amplitude, *amplitude);
        }
    }
    values
}

pub(super) fn disturbed(value: Value<f64>, disturbance: &mut Disturbance<'_>) -> Value<f64> {
    match (value, disturbance) {
        (Value::Real(array), Some(Disturb { generator, amplitude })) => {
            Value::Real(array.mapv(|value| value * (1.0 + generator.uniform(-*amplitude, *amplitude))))
        }
        (value, _) => value,
    }
}

/// What is known while a step is gone through.
pub(super) struct Walk<'a> {
    program: &'a Program,
    pub plan: &'a Plan,
    pub recording: &'a Recording,
    device: &'a Device,
    pub arena: &'a Arena,
    pub updates: Option<&'a Updates>,
    /// Of every group, the parameters that it changes.
    pub trained: Vec<Vec<usize>>,
    pub scalars: Vec<StepScalars>,
    /// What every buffer of the plan holds.
    pub mirror: Vec<Vec<u32>>,
    /// What those of the state held before the first parameter was changed.
    pub before_update: Vec<Vec<u32>>,
    /// What dispatches have stored, by which of them, and where the next that reads it has to find it.
    stored: BTreeMap<Held, (usize, Vec<u32>)>,
    /// Tensors that the device has computed so far.
    pub known: BTreeMap<TensorId, Arc<Value<f64>>>,
}

impl<'a> Walk<'a> {
    /// Takes over what the buffers of a prepared step hold; `contents` are of all but those that a step computes before it reads
    /// them, which begin as nothing that could be mistaken for a result.
    pub fn new(prepared: Prepared<'a>, plan: &'a Plan, device: &'a Device, contents: Vec<Option<Vec<u32>>>) -> Self {
        let computed = |bytes: u64| vec![POISON; (bytes / DType::BYTES as u64) as usize];
        let mirror = plan.buffers.iter().zip(contents);
        let mirror = mirror.map(|(buffer, words)| words.unwrap_or_else(|| computed(buffer.bytes))).collect();
        let Prepared { program, recording, state, scalars, updates, trained, .. } = prepared;
        Self {
            program,
            plan,
            recording,
            device,
            arena: state.arena(),
            updates,
            trained,
            scalars,
            mirror,
            before_update: Vec::new(),
            stored: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    pub fn is_host(&self) -> bool {
        self.plan.profile.class == KernelClass::Host
    }

    /// What a binding holds.
    pub fn words(&self, binding: &Binding) -> &[u32] {
        let size = DType::BYTES as u64;
        &self.mirror[binding.buffer]
            [(binding.offset / size) as usize..((binding.offset + binding.bytes) / size) as usize]
    }

    /// The numbers of the bindings that a dispatch writes.
    pub fn writes(&self, dispatch: &Dispatch) -> Vec<usize> {
        let usages = &self.plan.kernels[dispatch.kernel].usages;
        (0..usages.len()).filter(|&number| usages[number].writes()).collect()
    }

    /// Goes through all dispatches.
    pub async fn run(mut self) -> Result<Verification> {
        let mut verification = Verification::new(self.device, self.plan, self.scalars[0].count);
        for number in 0..self.plan.dispatches.len() {
            let (report, divergence) = self.dispatch(number).await?;
            verification.dispatches.push(report);
            if verification.divergence.is_none() {
                verification.divergence = divergence;
            }
        }
        Ok(verification)
    }

    fn wants(&self, dispatch: &Dispatch, disturbance: &mut Disturbance<'_>) -> Result<Vec<Want>> {
        match (dispatch.work, dispatch.phase) {
            (Some(work), _) => Ok(self.state_wants(dispatch, work, disturbance)),
            (None, Phase::Batch) => Ok(self.batch_wants(dispatch)),
            (None, _) => self.node_wants(dispatch, disturbance),
        }
    }

    async fn dispatch(&mut self, number: usize) -> Result<(DispatchReport, Option<Divergence>)> {
        let plan = self.plan;
        let dispatch = &plan.dispatches[number];
        let mut report = DispatchReport::new(plan, self.recording, number);
        if self.scalars[0].gathers_only && !dispatch.gathers() {
            report.verdict = Verdict::Skipped;
            return Ok((report, None));
        }
        let overwritten = self.look(dispatch);
        let mut wants = self.wants(dispatch, &mut None)?;
        let poisoned = dispatch.work.is_none() && dispatch.phase != Phase::Batch;
        let before = self.alone(number, poisoned);
        let mut after = Alone { plan: before.plan.clone(), buffers: before.buffers.clone() };
        let run = self.program.run_alone(number, &mut after, self.device, &self.scalars).await;
        let mut outcome = match run {
            Ok(()) => {
                let mut outcome = judge(&before, &after, &wants, poisoned);
                if outcome.verdict == Verdict::Wrong {
                    report.conditioned = self.condition(dispatch, number, &mut wants, &after)?;
                    outcome = judge(&before, &after, &wants, poisoned);
                }
                outcome
            }
            Err(error) if error.kind() == ErrorKind::DeviceLost => return Err(error),
            Err(error) => Outcome { figures: Figures::default(), verdict: Verdict::Failed, finding: error.to_string() },
        };
        if let Some(finding) = overwritten {
            (outcome.verdict, outcome.finding) = (Verdict::Overwritten, finding);
        }
        report.figures = outcome.figures;
        report.verdict = outcome.verdict;
        let divergence = outcome.verdict.is_failure().then(|| {
            report.finding.clone_from(&outcome.finding);
            let reproduction = Reproduction::new(self.device, &before, &self.scalars, &wants, poisoned);
            Divergence::new(plan, self.recording, number, &outcome, reproduction)
        });
        self.take_over(number, &after, &wants, outcome.verdict);
        Ok((report, divergence))
    }

    /// Notes what a dispatch is about to read, and what the state is before it is changed. Where what it reads is not what was
    /// stored there, says so, and puts that back.
    fn look(&mut self, dispatch: &Dispatch) -> Option<String> {
        if matches!(dispatch.work, Some(Work::Change(_))) && self.before_update.is_empty() {
            let of_state =
                |kind: &BufferKind| matches!(kind, BufferKind::Parameters(_) | BufferKind::OptimizerState { .. });
            let keep = |(number, words): (usize, &Vec<u32>)| {
                if of_state(&self.plan.buffers[number].kind) { words.clone() } else { Vec::new() }
            };
            self.before_update = self.mirror.iter().enumerate().map(keep).collect();
        }
        let writes = self.writes(dispatch);
        let mut finding = None;
        for (number, held) in dispatch.holds.iter().enumerate().filter(|(number, _)| !writes.contains(number)) {
            let binding = &dispatch.bindings[number];
            if let Some((by, stored)) = self.stored.get(held)
                && self.words(binding) != stored.as_slice()
            {
                let what = match held {
                    Held::Tensor(tensor) => self.recording.describe(*tensor),
                    _ => "partial sums".into(),
                };
                finding.get_or_insert(format!(
                    "{what}, which dispatch {by} has stored, was overwritten before it is read here: their places in memory overlap"
                ));
                let (start, stored) = ((binding.offset / DType::BYTES as u64) as usize, stored.clone());
                self.mirror[binding.buffer][start..start + stored.len()].copy_from_slice(&stored);
            }
            if let Held::Tensor(tensor) = *held {
                self.learn(tensor, binding);
            }
        }
        finding
    }

    /// Takes the value of a tensor from the memory that holds it.
    fn learn(&mut self, tensor: TensorId, binding: &Binding) {
        let tensor_type = self.recording.tensor_type(tensor);
        let words = self.words(binding);
        let data = HostData::from_bytes(tensor_type.dtype, bytemuck::cast_slice(words));
        if data.len() == tensor_type.shape.elements() {
            let value = Arc::new(Value::from_data(&tensor_type.shape, &data));
            // What reads a copy that the plan made is recorded as reading what it is a copy of.
            let node = self.recording.node(tensor);
            if node.name() == COPY {
                self.known.insert(node.inputs[0], Arc::clone(&value));
            }
            self.known.insert(tensor, value);
        }
    }

    /// A dispatch by itself, with what it reads. What it shall overwrite is poisoned.
    fn alone(&self, number: usize, poisoned: bool) -> Alone {
        let spare = if self.is_host() { 0 } else { (SENTINELS * DType::BYTES) as u64 };
        let plan = self.plan.alone(number, spare);
        let dispatch = &self.plan.dispatches[number];
        let writes = self.writes(dispatch);
        let contents = |(place, binding): (usize, &Binding)| {
            let mut words = self.words(binding).to_vec();
            if poisoned && writes.contains(&place) {
                words.fill(POISON);
            }
            words.resize((plan.buffers[place].bytes / DType::BYTES as u64) as usize, SENTINEL);
            words
        };
        let buffers = dispatch.bindings.iter().enumerate().map(contents).collect();
        Alone { plan, buffers }
    }

    /// Allows for elements that are wrong what rounding may do to them: where they follow from a cancelled sum or from a
    /// comparison of nearly equal values, single precision and double may well differ. Returns for how many it did.
    fn condition(&self, dispatch: &Dispatch, number: usize, wants: &mut [Want], after: &Alone) -> Result<usize> {
        let got: Vec<Vec<f64>> =
            wants.iter().map(|want| want.reading.read(&after.buffers[want.binding][want.words.clone()])).collect();
        let mut wrong: Vec<Vec<usize>> = wants.iter().zip(&got).map(|(want, got)| compare(got, want).1).collect();
        let mut spread: Vec<BTreeMap<usize, f64>> = vec![BTreeMap::new(); wants.len()];
        let mut conditioned = 0;
        for (samples, amplitude) in ROUNDS {
            let generator = Generator::named(number as u64, "disturbance");
            let mut disturb = Disturb { generator, amplitude };
            for _ in 0..samples {
                let sampled = self.wants(dispatch, &mut Some(&mut disturb))?;
                for ((want, sample), (wrong, (got, spread))) in
                    wants.iter_mut().zip(&sampled).zip(wrong.iter_mut().zip(got.iter().zip(&mut spread)))
                {
                    wrong.retain(|&element| {
                        let value = sample.values[element];
                        // The other side of a comparison, or of a pole: that is right as well.
                        let hit = error(got[element], value) <= sample.allowed[element];
                        if hit {
                            (want.values[element], want.allowed[element]) = (value, sample.allowed[element]);
                            conditioned += 1;
                        }
                        let moved = error(value, want.values[element]);
                        if moved.is_finite() {
                            let most = spread.entry(element).or_default();
                            *most = most.max(moved);
                        }
                        !hit
                    });
                }
            }
            for ((want, wrong), (got, spread)) in wants.iter_mut().zip(&mut wrong).zip(got.iter().zip(&spread)) {
                wrong.retain(|element| {
                    let allowed = want.allowed[*element] + SPREADS * spread.get(element).copied().unwrap_or(0.0);
                    let excused = error(got[*element], want.values[*element]) <= allowed && allowed.is_finite();
                    if excused {
                        want.allowed[*element] = allowed;
                        conditioned += 1;
                    }
                    !excused
                });
            }
            if wrong.iter().all(Vec::is_empty) {
                break;
            }
        }
        Ok(conditioned)
    }

    /// Takes what was written for the dispatches to come: what the device has computed, or the reference where that is wrong.
    fn take_over(&mut self, by: usize, after: &Alone, wants: &[Want], verdict: Verdict) {
        let size = DType::BYTES as u64;
        let dispatch = &self.plan.dispatches[by];
        for number in self.writes(dispatch) {
            let binding = &dispatch.bindings[number];
            let (start, length) = ((binding.offset / size) as usize, (binding.bytes / size) as usize);
            let mut words = after.buffers[number][..length].to_vec();
            if verdict.is_failure() {
                for want in wants.iter().filter(|want| want.binding == number) {
                    if let Some(reference) = want.reading.write(&want.values) {
                        words[want.words.clone()].copy_from_slice(&reference);
                    }
                }
            }
            self.mirror[binding.buffer][start..start + length].copy_from_slice(&words);
            let held = dispatch.holds[number];
            if let Held::Tensor(tensor) = held {
                self.learn(tensor, binding);
            }
            if matches!(held, Held::Tensor(_) | Held::Partial(_)) {
                self.stored.insert(held, (by, words));
            }
        }
    }
}
