//! Large recordings, with one box for the nodes of a scope.

use super::{GraphPicture, Mark, Role, Signal, Wire, mark};
use crate::record::{Leaf, Node, NodeKind, Recording};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What nodes have in common that share a box.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// A node that has a box of its own.
    Own(usize),
    /// The nodes of a scope, forward or backward; those outside of all in runs.
    Scope { is_backward: bool, scope: String, run: usize },
}

impl GraphPicture {
    /// With one box for the nodes of a scope: of as deep scopes as leave at most so many boxes, or else of the outermost.
    pub(super) fn collapsed(recording: &Recording, most: usize) -> Self {
        let depth = |node: &Node| node.place.scope.split('.').count();
        let deepest = recording.nodes.iter().map(depth).max().unwrap_or(1);
        let by_depth = (1..=deepest).rev().map(|depth| keys(recording, depth, true));
        let fits = |keys: &Vec<Option<Key>>| {
            let mut boxes: Vec<&Key> = keys.iter().flatten().collect();
            boxes.sort_unstable();
            boxes.dedup();
            boxes.len() <= most
        };
        let keys = by_depth.into_iter().find(fits).unwrap_or_else(|| keys(recording, 1, false));
        Self::grouped(recording, &keys)
    }

    fn grouped(recording: &Recording, keys: &[Option<Key>]) -> Self {
        // Boxes are in the order of their first nodes.
        let mut numbers: BTreeMap<&Key, usize> = BTreeMap::new();
        let mut groups: Vec<(&Key, Vec<usize>)> = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let Some(key) = key else { continue };
            let number = *numbers.entry(key).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            groups[number].1.push(index);
        }
        let mut wires = Vec::new();
        for (to, node) in recording.nodes.iter().enumerate() {
            let Some(to) = keys[to].as_ref().map(|key| numbers[key]) else { continue };
            for input in &node.inputs {
                if let Some(from) = keys[input.node.index()].as_ref().map(|key| numbers[key])
                    && from != to
                {
                    wires.push(Wire { from, to, output: 0 });
                }
            }
        }
        wires.sort_unstable();
        wires.dedup();
        let marks = groups.iter().map(|(key, nodes)| group(recording, key, nodes)).collect();
        let notes = vec![format!("{} nodes, those of a scope as one box", recording.nodes.len())];
        Self { marks, wires, notes, is_circuit: false }
    }
}

/// What every node shares a box by, with scopes of at most so many names; none for constants, which are part of what they are
/// used by. What is outside of all scopes is in one box for every run of nodes, or else in one altogether.
fn keys(recording: &Recording, depth: usize, runs: bool) -> Vec<Option<Key>> {
    let mut run = 0;
    let mut before: Option<&str> = None;
    let nodes = recording.nodes.iter().enumerate().map(|(index, node)| {
        let scope = node.place.scope.as_str();
        match &node.kind {
            NodeKind::Leaf(Leaf::Constant(_)) => return None,
            NodeKind::Leaf(Leaf::Input { .. }) => return Some(Key::Own(index)),
            NodeKind::Leaf(Leaf::Parameter(_)) if scope.is_empty() => return Some(Key::Own(index)),
            _ => {}
        }
        if before != Some(scope) {
            run += 1;
            before = Some(scope);
        }
        let own: Vec<&str> = scope.split('.').take(depth).collect();
        let number = if scope.is_empty() && runs { run } else { 0 };
        Some(Key::Scope { is_backward: node.origin.is_some(), scope: own.join("."), run: number })
    });
    nodes.collect()
}

/// The box of a group of nodes.
fn group(recording: &Recording, key: &Key, nodes: &[usize]) -> Mark {
    let alone = match (key, nodes) {
        (Key::Own(index), _) | (_, [index]) => Some(*index),
        _ => None,
    };
    if let Some(index) = alone {
        return mark(index, &recording.nodes[index]);
    }
    let (is_backward, scope) = match key {
        Key::Scope { is_backward, scope, .. } => (*is_backward, scope.clone()),
        Key::Own(_) => (false, String::new()),
    };
    let members = || nodes.iter().map(|&index| &recording.nodes[index]);
    let mut ops: Vec<&str> = Vec::new();
    let mut parameters: Vec<&str> = Vec::new();
    let mut count = 0;
    for node in members() {
        match &node.kind {
            NodeKind::Op(op) => {
                count += 1;
                if !ops.contains(&op.name()) {
                    ops.push(op.name());
                }
            }
            NodeKind::Leaf(Leaf::Parameter(info)) => parameters.push(&info.name),
            NodeKind::Leaf(_) => {}
        }
    }
    let shown = 3;
    let mut list = ops.iter().take(shown).copied().collect::<Vec<_>>().join(", ");
    if ops.len() > shown {
        list += ", \u{2026}";
    }
    let mut lines = vec![if scope.is_empty() { "(no scope)".to_owned() } else { scope.clone() }];
    lines.push(if list.is_empty() { "parameters".to_owned() } else { list });
    let last = members().rev().find(|node| matches!(node.kind, NodeKind::Op(_)));
    if let Some(last) = last {
        lines.push(last.outputs[0].to_string());
    }
    let mut hover = format!("{count} ops: {}", ops.join(", "));
    if !parameters.is_empty() {
        let _ = write!(hover, "\nparameters: {}", parameters.join(", "));
    }
    let around = scope.rsplit_once('.').map_or("", |(around, _)| around).to_owned();
    Mark { role: Role::Scope, is_backward, lines, hover, scope: around, signals: vec![Signal::default()] }
}
