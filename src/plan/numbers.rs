//! What a check of numbers looks at: everything that the dispatches of a plan write and that is a float.

use super::{
    Arena, ArenaEntry, Binding, BufferKind, Dispatch, Held, NonFinite, Phase, Plan, StepScalars, Updates, Work,
};
use crate::base::{DType, HostData, Shape};
use crate::fuse::Usage;
use crate::record::{Leaf, NodeId, NodeKind, Recording, TensorId};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

const WORD: u64 = DType::BYTES as u64;
/// Most words of one scan: a word's number and what it holds share 32 bits.
const MOST_WORDS: u64 = 1 << 28;

/// A check of the numbers of a step: plain data, made of its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberCheck {
    /// Every step whose number is a multiple of this is looked at, and the first.
    pub every: u32,
    /// What is looked at, in the order in which it is there.
    pub scans: Vec<Scan>,
}

/// A range of a buffer that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The dispatch that wrote it, by its number in the plan; none where it is there before the first.
    pub after: Option<usize>,
    /// The range.
    pub binding: Binding,
    /// In which runs.
    pub when: When,
    /// What lies in it, by where it begins. What lies between, such as padding, holds nothing.
    pub spans: Vec<Span>,
    /// The source line that recorded it, where one did.
    pub location: String,
    /// The scopes that it was recorded in.
    pub scope: String,
    /// All ops that the dispatch computes in one kernel, where there are several, with their source lines.
    pub ops: Vec<String>,
    /// For a backward dispatch: the forward op whose gradient it helps to compute.
    pub origin: Option<String>,
    /// Constants that the dispatch reads and that are not finite.
    pub constants: Vec<String>,
}

/// In which runs something is looked at; of those that it is there after, only in those that run its dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In all.
    Always,
    /// Where gradients were added up by the runs before.
    Gathered,
    /// Where there is an update.
    Updates,
}

/// A tensor, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What a message calls it.
    pub name: String,
    /// The shape of the whole tensor.
    pub shape: Shape,
    /// Its words in the range.
    pub words: Range<u32>,
    /// The row-major number of the element that the first word is.
    pub first: usize,
}

impl NumberCheck {
    /// Words before those of the scans: the complement of the number of the check that found something first, and the
    /// step that it looked at.
    pub const HEAD: usize = 2;

    /// What to look at in a plan. `recording` is the one that its dispatches name.
    #[must_use]
    pub fn new(every: u32, plan: &Plan, recording: &Recording, arena: &Arena) -> Self {
        let mut list = List { plan, recording, arena, scans: Vec::new() };
        list.before();
        let mut last_writer: HashMap<TensorId, usize> = HashMap::new();
        for (number, dispatch) in plan.dispatches.iter().enumerate() {
            list.written(dispatch).for_each(|(_, held)| {
                if let Held::Tensor(tensor) = held {
                    last_writer.insert(tensor, number);
                }
            });
        }
        for (number, dispatch) in plan.dispatches.iter().enumerate() {
            for (place, held) in list.written(dispatch) {
                // What several dispatches write piece by piece is not whole before the last.
                if !matches!(held, Held::Tensor(tensor) if last_writer[&tensor] != number) {
                    list.after(number, dispatch, &dispatch.bindings[place], held);
                }
            }
        }
        Self { every, scans: list.scans }
    }

    /// How many words there are of what was found: those of [`HEAD`](Self::HEAD), and one for every scan.
    #[must_use]
    pub fn words(&self) -> usize {
        Self::HEAD + self.scans.len()
    }

    /// Which scans follow a dispatch, or stand before the first.
    #[must_use]
    pub fn scans_after(&self, dispatch: Option<usize>) -> Range<usize> {
        let first = self.scans.partition_point(|scan| scan.after < dispatch);
        first..self.scans.partition_point(|scan| scan.after <= dispatch)
    }

    /// What a scan writes down of a word: greater for words that come before. Zero stands for nothing.
    #[must_use]
    pub const fn found(word: u32, bits: u32) -> u32 {
        let kind = if bits & 0x007f_ffff != 0 { 0 } else { 1 + (bits >> 31) };
        !(word * 4 + kind)
    }

    /// What was found first, if anything was.
    #[must_use]
    pub fn first(&self, plan: &Plan, words: &[u32]) -> Option<NonFinite> {
        let found = words.get(Self::HEAD..)?;
        let place = found.iter().position(|&found| found != 0)?;
        let others = found.iter().filter(|&&found| found != 0).count() - 1;
        let (word, kind) = (!found[place] / 4, !found[place] % 4);
        let scan = self.scans.get(place)?;
        let span = scan.spans.iter().find(|span| span.words.contains(&word))?;
        let dispatch = scan.after.map(|number| &plan.dispatches[number]);
        let element = span.first + (word - span.words.start) as usize;
        Some(NonFinite {
            step: words[1],
            phase: dispatch.map(|dispatch| dispatch.phase),
            dispatch: scan.after,
            work: dispatch.map(|dispatch| match dispatch.work {
                Some(_) => format!("{} of {}", plan.kernels[dispatch.kernel].name, dispatch.label),
                None => dispatch.label.trim_end().to_owned(),
            }),
            ops: scan.ops.clone(),
            origin: scan.origin.clone(),
            constants: scan.constants.clone(),
            tensor: span.name.clone(),
            element: place_of(element, &span.shape),
            shape: span.shape.clone(),
            value: [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][kind.min(2) as usize],
            location: scan.location.clone(),
            scope: scan.scope.clone(),
            others,
        })
    }
}

impl Scan {
    /// Whether it is for a run with these numbers.
    #[must_use]
    pub const fn applies(&self, scalars: &StepScalars) -> bool {
        match self.when {
            When::Always => true,
            When::Gathered => scalars.gathered > 0,
            When::Updates => !scalars.gathers_only,
        }
    }
}

/// The position of an element, given in row-major order.
fn place_of(mut element: usize, shape: &Shape) -> Vec<usize> {
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let along = element % extent.max(1);
            element /= extent.max(1);
            along
        })
        .collect();
    place.reverse();
    place
}

struct List<'a> {
    plan: &'a Plan,
    recording: &'a Recording,
    arena: &'a Arena,
    scans: Vec<Scan>,
}

impl<'a> List<'a> {
    /// The bindings that a dispatch writes, with what they hold.
    fn written(&self, dispatch: &'a Dispatch) -> impl Iterator<Item = (usize, Held)> + use<'a> {
        let usages: &'a [Usage] = &self.plan.kernels[dispatch.kernel].usages;
        let writes = |(place, (held, usage)): (usize, (&Held, &Usage))| usage.writes().then_some((place, *held));
        dispatch.holds.iter().zip(usages).enumerate().filter_map(writes)
    }

    /// What is there before the first dispatch: what was fed, and of parameters and states what the plan uses.
    fn before(&mut self) {
        for (number, buffer) in self.plan.buffers.iter().enumerate() {
            let binding = Binding { buffer: number, offset: 0, bytes: buffer.bytes };
            if let BufferKind::Input(node) = buffer.kind
                && !self.plan.list(Phase::Batch).any(|dispatch| dispatch.node == Some(node))
            {
                self.tensor(None, &binding, TensorId { node, output: 0 });
            }
        }
        for (number, buffer) in self.plan.buffers.iter().enumerate() {
            let (BufferKind::Parameters(segment) | BufferKind::OptimizerState { segment, .. }) = buffer.kind else {
                continue;
            };
            let all = || self.plan.dispatches.iter().flat_map(|dispatch| &dispatch.bindings);
            let is_used = |entry: &ArenaEntry| {
                entry.segment == segment && all().any(|binding| binding.buffer == number && meet(binding, entry))
            };
            let used: Vec<bool> = self.arena.entries.iter().map(is_used).collect();
            for (_, offset, bytes) in self.arena.runs(&used) {
                self.state(None, &Binding { buffer: number, offset, bytes });
            }
        }
    }

    /// What a dispatch has written.
    fn after(&mut self, number: usize, dispatch: &Dispatch, binding: &Binding, held: Held) {
        let kind = &self.plan.buffers[binding.buffer].kind;
        match (held, kind) {
            (Held::Tensor(tensor), _) => self.tensor(Some(number), binding, tensor),
            (Held::Partial(node), _) => {
                let tensor = TensorId { node, output: 0 };
                if self.recording.is_float(tensor) {
                    let name = format!("partial sums of {}", self.label(tensor));
                    self.numbers(number, binding, name, [(binding.bytes / WORD) as usize].into(), When::Always);
                }
            }
            (Held::State, BufferKind::ParameterNorms(_)) => {
                let name = "norms of gradients and parameters, in pairs".to_owned();
                self.numbers(number, binding, name, [(binding.bytes / WORD / 2) as usize, 2].into(), When::Always);
            }
            (Held::State, BufferKind::GradientNorm) => {
                // What stands behind the norm follows from it.
                let norm = Binding { bytes: WORD, ..binding.clone() };
                let name = "global norm of the gradients".to_owned();
                self.numbers(number, &norm, name, Shape::default(), When::Updates);
            }
            (
                Held::State,
                BufferKind::Parameters(_) | BufferKind::OptimizerState { .. } | BufferKind::Directions(_),
            ) => {
                debug_assert!(dispatch.work.is_some(), "only the update writes the state");
                self.state(Some(number), binding);
            }
            // What only an op's own kernels use, and sums of squares, shows in what comes of it.
            _ => {}
        }
    }

    fn label(&self, tensor: TensorId) -> String {
        format!("{} {}", self.recording.node(tensor).label(), self.recording.tensor_type(tensor))
    }

    fn tensor(&mut self, after: Option<usize>, binding: &Binding, tensor: TensorId) {
        if !self.recording.is_float(tensor) {
            return;
        }
        let node = self.recording.node(tensor);
        let shape = self.recording.tensor_type(tensor).shape.clone();
        let mut name = self.label(tensor);
        if let BufferKind::Gradients(segment) = self.plan.buffers[binding.buffer].kind {
            let is_its = |entry: &&ArenaEntry| entry.segment == segment && entry.offset == binding.offset;
            if let Some(entry) = self.arena.entries.iter().find(is_its) {
                name = format!("gradient of parameter `{}`, made by {name}", entry.name);
            }
        }
        let place = node.place.clone();
        let span = Span { name, words: 0..shape.elements() as u32, shape, first: 0 };
        let scan = Scan { location: place.location, scope: place.scope, ..self.scan(after, binding, vec![span]) };
        self.push(scan);
    }

    fn numbers(&mut self, after: usize, binding: &Binding, name: String, shape: Shape, when: When) {
        let dispatch = &self.plan.dispatches[after];
        let (location, scope) = (dispatch.location.clone(), dispatch.scope.clone());
        let span = Span { name, words: 0..shape.elements() as u32, shape, first: 0 };
        self.push(Scan { location, scope, when, ..self.scan(Some(after), binding, vec![span]) });
    }

    /// A range of the state, or of what lies as the state does.
    fn state(&mut self, after: Option<usize>, binding: &Binding) {
        let (segment, state) = match &self.plan.buffers[binding.buffer].kind {
            BufferKind::Parameters(segment) => (*segment, None),
            BufferKind::OptimizerState { state, segment } => (*segment, Some(state.as_str())),
            BufferKind::Directions(segment) => (*segment, Some("direction")),
            _ => return,
        };
        let is_cell = after.is_some_and(|number| self.plan.dispatches[number].work == Some(Work::Assign));
        let what = match state {
            None if is_cell => "cell".to_owned(),
            None => "parameter".to_owned(),
            Some(Updates::AVERAGE) => "running average of parameter".to_owned(),
            Some(Updates::ACCUMULATED) => "accumulated gradient of parameter".to_owned(),
            Some(state) => format!("{state} of parameter"),
        };
        let inside = |entry: &&ArenaEntry| entry.segment == segment && meet(binding, entry);
        let span = |entry: &ArenaEntry| {
            let first = ((entry.offset - binding.offset) / WORD) as u32;
            let words = first..first + (entry.bytes / WORD) as u32;
            Span { name: format!("{what} `{}`", entry.name), shape: entry.shape.clone(), words, first: 0 }
        };
        let mut spans: Vec<Span> = self.arena.entries.iter().filter(inside).map(span).collect();
        spans.sort_by_key(|span| span.words.start);
        let gathers = after.is_none() && state == Some(Updates::ACCUMULATED);
        let when = if gathers { When::Gathered } else { When::Always };
        self.push(Scan { when, ..self.scan(after, binding, spans) });
    }

    fn scan(&self, after: Option<usize>, binding: &Binding, spans: Vec<Span>) -> Scan {
        let dispatch = after.map(|number| &self.plan.dispatches[number]);
        let name = |node: NodeId| {
            let node = &self.recording.nodes[node.index()];
            format!("{} at {}", node.label(), node.place.location)
        };
        let nodes = dispatch.map_or(&[][..], |dispatch| &dispatch.nodes);
        Scan {
            after,
            binding: binding.clone(),
            when: When::Always,
            spans,
            location: String::new(),
            scope: String::new(),
            ops: if nodes.len() > 1 { nodes.iter().copied().map(name).collect() } else { Vec::new() },
            origin: dispatch.and_then(|dispatch| dispatch.origin).map(name),
            constants: dispatch.map_or_else(Vec::new, |dispatch| self.constants(dispatch)),
        }
    }

    /// Constants that a dispatch reads and that are not finite: a user may have meant them, so they are not looked at, but
    /// they explain much.
    fn constants(&self, dispatch: &Dispatch) -> Vec<String> {
        let of = |binding: &Binding| {
            let BufferKind::Constant(node) = self.plan.buffers[binding.buffer].kind else { return None };
            let node = &self.recording.nodes[node.index()];
            let NodeKind::Leaf(Leaf::Constant(tensor)) = &node.kind else { return None };
            let HostData::F32(values) = tensor.data() else { return None };
            let place = values.iter().position(|value| !value.is_finite())?;
            let element = place_of(place, tensor.shape());
            Some(format!(
                "constant {} at {}, whose element {element:?} is {}",
                node.outputs[0], node.place.location, values[place]
            ))
        };
        dispatch.bindings.iter().filter_map(of).collect()
    }

    /// Takes a scan, in as many parts as it needs.
    fn push(&mut self, scan: Scan) {
        self.scans.extend(parts(scan, MOST_WORDS));
    }
}

/// Whether a range of a segment and an entry of it have bytes in common.
fn meet(binding: &Binding, entry: &ArenaEntry) -> bool {
    entry.offset < binding.offset + binding.bytes && binding.offset < entry.offset + entry.bytes
}

/// A scan in parts of at most so many words.
fn parts(scan: Scan, most: u64) -> Vec<Scan> {
    let words = scan.binding.bytes / WORD;
    if words <= most {
        return vec![scan];
    }
    let part = |first: u64| {
        let last = (first + most).min(words);
        let span = |span: &Span| {
            let words = span.words.start.max(first as u32)..span.words.end.min(last as u32);
            (!words.is_empty()).then(|| Span {
                first: span.first + (words.start - span.words.start) as usize,
                words: words.start - first as u32..words.end - first as u32,
                ..span.clone()
            })
        };
        let Binding { buffer, offset, .. } = scan.binding;
        let binding = Binding { buffer, offset: offset + first * WORD, bytes: (last - first) * WORD };
        Scan { binding, spans: scan.spans.iter().filter_map(span).collect(), ..scan.clone() }
    };
    (0..words).step_by(most as usize).map(part).collect()
}

impl fmt::Display for NumberCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "numbers of every {} steps: {} ranges", self.every, self.scans.len())?;
        for scan in &self.scans {
            match scan.after {
                Some(number) => write!(f, "  after {number:>3}: ")?,
                None => write!(f, "  before    : ")?,
            }
            let names: Vec<&str> = scan.spans.iter().map(|span| span.name.as_str()).collect();
            let Binding { buffer, offset, bytes } = scan.binding;
            write!(f, "{} in {bytes} bytes of buffer {buffer} from {offset}", names.join(", "))?;
            match scan.when {
                When::Always => {}
                When::Gathered => write!(f, ", where gradients were added up before")?,
                When::Updates => write!(f, ", where there is an update")?,
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ranges_are_looked_at_in_parts_that_know_their_elements() {
        let span =
            |name: &str, words: Range<u32>| Span { name: name.into(), shape: [words.len()].into(), words, first: 0 };
        let scan = Scan {
            after: None,
            binding: Binding { buffer: 3, offset: 512, bytes: 4 * 300 },
            when: When::Always,
            spans: vec![span("a", 0..90), span("b", 128..300)],
            location: String::new(),
            scope: String::new(),
            ops: Vec::new(),
            origin: None,
            constants: Vec::new(),
        };
        assert_eq!(parts(scan.clone(), 300), std::slice::from_ref(&scan));
        let parts = parts(scan, 128);
        let of = |part: &Scan| {
            let spans: Vec<_> = part.spans.iter().map(|s| (s.name.clone(), s.words.clone(), s.first)).collect();
            (part.binding.offset, part.binding.bytes, spans)
        };
        let name = |name: &str, words: Range<u32>, first: usize| (name.to_owned(), words, first);
        assert_eq!(of(&parts[0]), (512, 512, vec![name("a", 0..90, 0)]));
        assert_eq!(of(&parts[1]), (1024, 512, vec![name("b", 0..128, 0)]));
        assert_eq!(of(&parts[2]), (1536, 176, vec![name("b", 0..44, 128)]));
    }

    #[test]
    fn earlier_words_are_greater_findings_and_nothing_is_zero() {
        let kinds = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN];
        let found = |word: u32| kinds.map(|value| NumberCheck::found(word, value.to_bits()));
        assert_eq!(found(0), [!0, !1, !2, !0]);
        let last = MOST_WORDS as u32 - 1;
        assert!(found(6).iter().min() > found(7).iter().max());
        assert!(found(last).into_iter().all(|found| found > 0 && !found / 4 == last));
    }

    #[test]
    fn elements_have_a_place_on_every_axis() {
        assert_eq!(place_of(23, &[2, 3, 4].into()), [1, 2, 3]);
        assert_eq!(place_of(0, &Shape::default()), [0; 0]);
    }
}
