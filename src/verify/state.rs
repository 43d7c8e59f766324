//! What dispatches that change the state should write: by the optimizers' rules in float64, from what the device holds.

use super::judge::{Reading, Want, direction, in_single};
use super::walk::{Disturbance, Walk, disturb};
use crate::base::DType;
use crate::plan::{ArenaEntry, Binding, BufferKind, Dispatch, Updates, Work};
use std::ops::Range;

const WORD: u64 = DType::BYTES as u64;
/// Three roundings.
const ROUNDINGS: f64 = 3.0 / (1u64 << 24) as f64;

/// What a value may differ by that a rule has changed from `before` to `after`: a few roundings of either, and a share of
/// its change, so that a rule which is a little wrong is seen unless its steps are smaller than roundings.
fn allowances(before: &[f64], after: &[f64]) -> Vec<f64> {
    let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
    let one = |(&before, &after): (&f64, &f64)| {
        let size = finite(before.abs()).max(finite(after.abs()));
        let some = ROUNDINGS * size + 1e-4 * finite((after - before).abs()) + f64::from(f32::MIN_POSITIVE);
        if after.is_finite() { some } else { 0.0 }
    };
    before.iter().zip(after).map(one).collect()
}

/// A figure that is added up from many, such as a norm.
fn figure(value: f64) -> f64 {
    if value.is_finite() { 1e-5 * value.abs() + 1e-18 } else { 0.0 }
}

fn floats(words: &[u32]) -> Vec<f64> {
    words.iter().map(|&word| f64::from(f32::from_bits(word))).collect()
}

/// What a binding has of a parameter.
struct Inside<'a> {
    entry: &'a ArenaEntry,
    /// Which of its elements.
    elements: Range<usize>,
    /// Where they lie in the binding.
    words: Range<usize>,
}

impl Inside<'_> {
    fn is_all(&self) -> bool {
        self.elements.len() as u64 * WORD == self.entry.bytes
    }

    /// The name, with where the part begins if it is one.
    fn name(&self) -> String {
        if self.is_all() {
            return format!("`{}`", self.entry.name);
        }
        format!("`{}` from element {} on", self.entry.name, self.elements.start)
    }

    fn shape(&self) -> Vec<usize> {
        if self.is_all() { self.entry.shape.to_vec() } else { vec![self.elements.len()] }
    }
}

/// What a binding should hold of figures that are added up from many.
fn want(binding: usize, words: Range<usize>, what: impl Into<String>, values: Vec<f64>) -> Want {
    let allowed = values.iter().map(|&value| figure(value)).collect();
    let reading = Reading::Elements(DType::F32);
    Want { binding, shape: vec![words.len()], words, what: what.into(), reading, values, allowed }
}

impl Walk<'_> {
    fn kind(&self, binding: &Binding) -> &BufferKind {
        &self.plan.buffers[binding.buffer].kind
    }

    /// What a dispatch of the update should write.
    pub(super) fn state_wants(&self, dispatch: &Dispatch, work: Work, disturbance: &mut Disturbance<'_>) -> Vec<Want> {
        let mut wants = Vec::new();
        for number in self.writes(dispatch) {
            let binding = &dispatch.bindings[number];
            match (work, self.kind(binding)) {
                (Work::Accumulate, _) => wants.extend(self.accumulated(dispatch, number, disturbance)),
                (Work::Assign, _) => wants.extend(self.assigned(dispatch, number)),
                (_, BufferKind::GradientSquares) => wants.push(self.squares(dispatch, number)),
                (_, BufferKind::GradientNorm) => wants.extend(self.norm(dispatch, number)),
                (_, BufferKind::ParameterSquares(_)) => wants.push(self.parameter_squares(dispatch, number)),
                (_, BufferKind::ParameterNorms(_)) => wants.push(self.parameter_norms(dispatch, number)),
                (Work::Change(group), _) => {
                    wants.extend(self.changed(dispatch, number, group, disturbance));
                    wants.extend(self.padding(number, binding));
                }
                (Work::Norm { .. } | Work::LayerNorms, _) => {}
            }
        }
        wants
    }

    fn reads<'d>(&self, dispatch: &'d Dispatch) -> Vec<&'d Binding> {
        let writes = self.writes(dispatch);
        let is_read = |(number, _): &(usize, &Binding)| !writes.contains(number);
        dispatch.bindings.iter().enumerate().filter(is_read).map(|(_, binding)| binding).collect()
    }

    /// The mean of the gradients so far.
    fn accumulated(&self, dispatch: &Dispatch, number: usize, disturbance: &mut Disturbance<'_>) -> Vec<Want> {
        let binding = &dispatch.bindings[number];
        let Some(from) = self.reads(dispatch).first().copied() else { return Vec::new() };
        let gathered = f64::from(self.scalars[0].gathered);
        let (kept, share) = (gathered / (gathered + 1.0), 1.0 / (gathered + 1.0));
        let of = |inside: Inside<'_>| {
            let words = inside.words.clone();
            let gradient = disturb(floats(&self.words(from)[words.clone()]), disturbance);
            let before = disturb(floats(&self.words(binding)[words.clone()]), disturbance);
            let add = |(&before, &g): (&f64, &f64)| if gathered == 0.0 { g } else { kept * before + share * g };
            let values: Vec<f64> = before.iter().zip(&gradient).map(add).collect();
            let size =
                |(&before, &g): (&f64, &f64)| ROUNDINGS * (before.abs() + g.abs()) + f64::from(f32::MIN_POSITIVE);
            let allowed = before.iter().zip(&gradient).map(size).collect();
            Want { allowed, ..want(number, words, format!("added up gradient of {}", inside.name()), values) }
        };
        let trained: Vec<usize> = self.trained.concat();
        self.entries(binding, &trained).into_iter().map(of).collect()
    }

    /// A cell gets its new value, to the bit, where the update is not left out.
    fn assigned(&self, dispatch: &Dispatch, number: usize) -> Option<Want> {
        let reads = self.reads(dispatch);
        let clip = reads.iter().find(|binding| *self.kind(binding) == BufferKind::GradientNorm);
        let left_out = clip.is_some_and(|clip| f32::from_bits(self.words(clip)[3]) < 0.0);
        let cell = &dispatch.bindings[number];
        let from = reads.iter().find(|binding| *self.kind(binding) != BufferKind::GradientNorm)?;
        let words = self.words(if left_out { cell } else { from });
        let values: Vec<f64> = words.iter().copied().map(f64::from).collect();
        let want = want(number, 0..words.len(), format!("cell `{}`", dispatch.label), values);
        let (reading, allowed) = (Reading::Elements(DType::U32), vec![0.0; words.len()]);
        Some(Want { reading, allowed, ..want })
    }

    /// Sums of squares of gradients, which add up to all of them.
    fn squares(&self, dispatch: &Dispatch, number: usize) -> Want {
        let reads = self.reads(dispatch);
        let all: f64 = reads.iter().flat_map(|binding| floats(self.words(binding))).map(|g| g * g).sum();
        let words = (dispatch.bindings[number].bytes / WORD) as usize;
        let want = want(number, 0..words, "sums of squares of gradients", vec![in_single(all)]);
        Want { reading: Reading::Total, ..want }
    }

    /// The global norm, the factor for gradients, how many updates were left out, and whether the norm is a number.
    fn norm(&self, dispatch: &Dispatch, number: usize) -> Vec<Want> {
        // Of all that is trained, whatever the dispatch reads.
        let all =
            self.trained.iter().flatten().filter_map(|&parameter| self.gradient_of(&self.arena.entries[parameter]));
        let square: f64 = all.flatten().map(|g| g * g).sum();
        // On the host squares are added up in double precision.
        let norm = if self.is_host() { square } else { in_single(square) }.sqrt();
        let before = floats(self.words(&dispatch.bindings[number]));
        let mut values = before.clone();
        let only = self.scalars[0].gathers_only;
        if !only {
            values[0] = norm;
        }
        if let Some(limit) = self.updates.and_then(|updates| updates.clip_norm)
            && values.len() > 3
        {
            let factor = f64::from(Updates::clip_factor(norm as f32, limit));
            values[3] = if (norm as f32).is_finite() { 1.0 } else { -1.0 };
            if !only {
                values[1] = factor;
                values[2] = before[2] + if factor < 0.0 { 1.0 } else { 0.0 };
            }
        }
        let what = ["the global norm", "the factor for gradients", "updates left out", "whether the norm is a number"];
        let one = |(place, value): (usize, f64)| {
            let want = want(number, place..place + 1, what[place.min(3)], vec![value]);
            // Only the sign of the last counts.
            if place == 3 { Want { reading: Reading::Sign, ..want } } else { want }
        };
        values.into_iter().enumerate().map(one).collect()
    }

    /// Sums of squares of the chunks of parameters: rows of a table say where they lie.
    fn parameter_squares(&self, dispatch: &Dispatch, number: usize) -> Want {
        let reads = self.reads(dispatch);
        let (x, y) = (floats(self.words(reads[1])), floats(self.words(reads[2])));
        let square = |of: &[f64], row: &[u32]| -> f64 {
            of[4 * row[0] as usize..4 * row[1] as usize].iter().map(|x| x * x).sum()
        };
        let values: Vec<f64> =
            self.words(reads[0]).chunks(4).flat_map(|row| [square(&x, row), square(&y, row)]).collect();
        let words = 2 * values.len();
        Want {
            reading: Reading::Scaled,
            shape: vec![values.len() / 2, 2],
            ..want(number, 0..words, "sums of squares of chunks", values)
        }
    }

    /// Norms of parameters, from the sums of their chunks; on the host from what they are norms of.
    fn parameter_norms(&self, dispatch: &Dispatch, number: usize) -> Want {
        let reads = self.reads(dispatch);
        let norm = |squares: f64| squares.sqrt();
        let values: Vec<f64> = if self.is_host() {
            reads.iter().map(|binding| norm(floats(self.words(binding)).iter().map(|x| x * x).sum())).collect()
        } else {
            let sums = Reading::Scaled.read(self.words(reads[1]));
            let total = |span: &[u32], part: usize| -> f64 {
                (span[0] as usize..span[1] as usize).map(|row| sums[2 * row + part]).sum()
            };
            self.words(reads[0]).chunks(4).flat_map(|span| [norm(total(span, 0)), norm(total(span, 1))]).collect()
        };
        let shape = vec![values.len() / 2, 2];
        Want { shape, ..want(number, 0..values.len(), "norms of parameters", values) }
    }

    /// What the rule makes of the parameters of a group, or of a state of theirs.
    fn changed(
        &self,
        dispatch: &Dispatch,
        number: usize,
        group: usize,
        disturbance: &mut Disturbance<'_>,
    ) -> Vec<Want> {
        let binding = &dispatch.bindings[number];
        let kind = self.kind(binding).clone();
        let mut wants = Vec::new();
        for inside in self.entries(binding, &self.trained[group]) {
            let Some(changed) = self.rule(inside.entry, group, disturbance) else { continue };
            let part = |values: &[f64]| values[inside.elements.clone()].to_vec();
            let (what, before, after) = match &kind {
                BufferKind::Parameters(_) => {
                    (format!("parameter {}", inside.name()), part(&changed.before[0]), part(&changed.after[0]))
                }
                BufferKind::OptimizerState { state, .. } => {
                    let Some(place) = changed.names.iter().position(|name| name == state) else { continue };
                    let what = format!("{state} of {}", inside.name());
                    (what, part(&changed.before[place + 1]), part(&changed.after[place + 1]))
                }
                // A weight that stays where it is tells nothing of it.
                BufferKind::Directions(_) if part(&changed.before[0]) == part(&changed.after[0]) => continue,
                BufferKind::Directions(_) => {
                    let moved = changed.before[0].iter().zip(&changed.after[0]).map(|(w, new)| w - new);
                    let values = direction(part(&moved.collect::<Vec<f64>>()));
                    let what = format!("direction of {}", inside.name());
                    let want = want(number, inside.words.clone(), what, values);
                    // It is what is left of a difference: some roundings of the weights, in proportion.
                    let allowed = vec![1e-5; want.values.len()];
                    wants.push(Want { reading: Reading::Direction, allowed, shape: inside.shape(), ..want });
                    continue;
                }
                _ => continue,
            };
            let allowed = allowances(&before, &after);
            let want = want(number, inside.words.clone(), what, after);
            wants.push(Want { allowed, shape: inside.shape(), ..want });
        }
        wants
    }

    /// The elements that a buffer has for a parameter.
    fn of_entry(&self, entry: &ArenaEntry, kind: &BufferKind, memory: &[Vec<u32>]) -> Option<Vec<f64>> {
        let buffer = self.plan.buffers.iter().position(|buffer| buffer.kind == *kind)?;
        let start = (entry.offset / WORD) as usize;
        Some(floats(&memory[buffer][start..start + (entry.bytes / WORD) as usize]))
    }

    /// The gradient that changes a parameter.
    fn gradient_of(&self, entry: &ArenaEntry) -> Option<Vec<f64>> {
        let gathers = self.updates.is_some_and(|updates| updates.accumulate > 1);
        let accumulated = || BufferKind::OptimizerState { state: Updates::ACCUMULATED.into(), segment: entry.segment };
        let kind = if gathers { accumulated() } else { BufferKind::Gradients(entry.segment) };
        self.of_entry(entry, &kind, &self.mirror)
    }

    /// Applies the rule of a group to a parameter, as it was before the update.
    fn rule(&self, entry: &ArenaEntry, group: usize, disturbance: &mut Disturbance<'_>) -> Option<Changed> {
        let updates = self.updates?;
        let update = &updates.groups[group];
        let scalars = &self.scalars[group];
        let at = |kind: &BufferKind, memory: &[Vec<u32>]| self.of_entry(entry, kind, memory);
        let of_state = |state: &str| BufferKind::OptimizerState { state: state.to_owned(), segment: entry.segment };
        let mut names: Vec<String> = update.states.iter().map(|state| (*state).to_owned()).collect();
        let mut before = vec![at(&BufferKind::Parameters(entry.segment), &self.before_update)?];
        for state in &names {
            before.push(at(&of_state(state), &self.before_update)?);
        }
        let before: Vec<Vec<f64>> = before.into_iter().map(|values| disturb(values, disturbance)).collect();
        let factor = if updates.clip_norm.is_some() {
            let buffer = self.plan.buffers.iter().position(|buffer| buffer.kind == BufferKind::GradientNorm)?;
            f64::from(f32::from_bits(self.mirror[buffer][1]))
        } else {
            1.0
        };
        let limited = |g: f64| updates.clip_value.map_or(g, |limit| g.clamp(-limit, limit));
        let gradient: Vec<f64> =
            disturb(self.gradient_of(entry)?, disturbance).iter().map(|g| limited(g * factor)).collect();
        let (mut before, mut after) = (before.clone(), before);
        let left_out = factor < 0.0;
        if !left_out {
            let (weight, states) = after.split_at_mut(1);
            let mut states: Vec<&mut [f64]> = states.iter_mut().map(Vec::as_mut_slice).collect();
            update.host.apply_f64(scalars, &gradient, &mut weight[0], &mut states);
        }
        if updates.averages
            && let Some(average) = at(&of_state(Updates::AVERAGE), &self.before_update)
        {
            let share = if left_out { 0.0 } else { scalars.averaging };
            names.push(Updates::AVERAGE.to_owned());
            after.push(average.iter().zip(&after[0]).map(|(average, w)| average + share * (w - average)).collect());
            before.push(average);
        }
        Some(Changed { names, before, after })
    }

    /// What lies between parameters: rules may make anything of it.
    fn padding(&self, number: usize, binding: &Binding) -> Vec<Want> {
        let all: Vec<usize> = (0..self.arena.entries.len()).collect();
        let mut taken: Vec<Range<usize>> = self.entries(binding, &all).into_iter().map(|inside| inside.words).collect();
        taken.sort_by_key(|range| range.start);
        let end = (binding.bytes / WORD) as usize;
        taken.push(end..end);
        let mut wants = Vec::new();
        let mut start = 0;
        for range in taken {
            if start < range.start {
                let want = want(number, start..range.start, "padding", Vec::new());
                wants.push(Want { reading: Reading::Padding, ..want });
            }
            start = start.max(range.end);
        }
        wants
    }

    /// Those of some parameters that lie in a binding of one of the state's segments.
    fn entries(&self, binding: &Binding, among: &[usize]) -> Vec<Inside<'_>> {
        let segment = match self.kind(binding) {
            BufferKind::Parameters(segment) | BufferKind::Gradients(segment) | BufferKind::Directions(segment) => {
                *segment
            }
            BufferKind::OptimizerState { segment, .. } => *segment,
            _ => return Vec::new(),
        };
        let inside = |entry: &'_ ArenaEntry| {
            let first = entry.offset.max(binding.offset);
            let end = (entry.offset + entry.bytes).min(binding.offset + binding.bytes);
            let range = |from: u64| ((first - from) / WORD) as usize..((end - from) / WORD) as usize;
            let has = entry.segment == segment && first < end;
            has.then(|| (range(entry.offset), range(binding.offset)))
        };
        let entries = among.iter().map(|&number| &self.arena.entries[number]);
        let found =
            entries.filter_map(|entry| inside(entry).map(|(elements, words)| Inside { entry, elements, words }));
        found.collect()
    }
}

/// A parameter and its states before and after an update.
struct Changed {
    /// The names of the states.
    names: Vec<String>,
    /// The weight, and the states.
    before: Vec<Vec<f64>>,
    after: Vec<Vec<f64>>,
}
