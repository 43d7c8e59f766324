//! The list of what a check of numbers looks at.

use super::scan::{MOST_WORDS, Scan, Span, When};
use super::{Arena, ArenaEntry, Binding, BufferKind, Dispatch, Held, Phase, Plan, Updates, Work};
use crate::base::{DType, HostData, Shape};
use crate::fuse::Usage;
use crate::record::{KernelClass, Leaf, NodeId, NodeKind, Recording, TensorId};
use std::collections::HashMap;

const WORD: u64 = DType::BYTES as u64;

/// All scans of a plan, in the order in which what they look at is there.
pub(super) fn all(plan: &Plan, recording: &Recording, arena: &Arena) -> Vec<Scan> {
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
    list.scans
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
        let mut shape = self.recording.tensor_type(tensor).shape.clone();
        let (mut name, words, mut first) = (self.label(tensor), 0..shape.elements() as u32, 0);
        if let BufferKind::Gradients(segment) = self.plan.buffers[binding.buffer].kind {
            let is_its = |entry: &&ArenaEntry| entry.segment == segment && meet(binding, entry);
            if let Some(entry) = self.arena.entries.iter().find(is_its) {
                name = format!("gradient of parameter `{}`, made by {name}", entry.name);
                // It may be a part of it.
                shape = entry.shape.clone();
                first = ((binding.offset - entry.offset) / WORD) as usize;
            }
        }
        let place = node.place.clone();
        let span = Span { name, shape, words, first };
        let scan = Scan { location: place.location, scope: place.scope, ..self.scan(after, binding, vec![span]) };
        self.push(scan);
    }

    fn numbers(&mut self, after: usize, binding: &Binding, name: String, shape: Shape, when: When) {
        let dispatch = &self.plan.dispatches[after];
        let (location, scope) = (dispatch.location.clone(), dispatch.scope.clone());
        let span = Span { name, words: 0..shape.elements() as u32, shape, first: 0 };
        self.push(Scan { when, location, scope, ..self.scan(Some(after), binding, vec![span]) });
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
            // Of a parameter that exceeds a binding, a part is there.
            let start = entry.offset.max(binding.offset);
            let end = (entry.offset + entry.bytes).min(binding.offset + binding.bytes);
            let word = |at: u64| ((at - binding.offset) / WORD) as u32;
            let first = ((start - entry.offset) / WORD) as usize;
            let name = format!("{what} `{}`", entry.name);
            Span { name, shape: entry.shape.clone(), words: word(start)..word(end), first }
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
            let element = tensor.shape().place_of(place);
            Some(format!(
                "constant {} at {}, whose element {element:?} is {}",
                node.outputs[0], node.place.location, values[place]
            ))
        };
        dispatch.bindings.iter().filter_map(of).collect()
    }

    /// Takes a scan, in as many parts as it needs.
    fn push(&mut self, scan: Scan) {
        // What is looked at is bound, in parts that begin at multiples of 256 bytes.
        let bound = match self.plan.profile.class {
            KernelClass::Host => MOST_WORDS,
            _ => MOST_WORDS.min(self.plan.profile.binding_bytes / 256 * 64),
        };
        self.scans.extend(parts(scan, bound));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

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
}
