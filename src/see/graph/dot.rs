//! The picture in the DOT language.

use super::{GraphPicture, Mark, Role, Signal};
use crate::see::text::quoted;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The boxes and scopes within a scope.
#[derive(Default)]
struct Cluster<'p> {
    inner: BTreeMap<&'p str, Cluster<'p>>,
    marks: Vec<usize>,
}

pub fn write(picture: &GraphPicture) -> String {
    let mut lines = vec![
        "digraph retrograd {".to_owned(),
        format!("  rankdir={};", if picture.is_circuit { "LR" } else { "TB" }),
        "  fontname=\"sans-serif\"; labelloc=b; labeljust=l;".to_owned(),
        "  node [fontname=\"sans-serif\", fontsize=11, style=filled];".to_owned(),
        "  edge [fontname=\"sans-serif\", fontsize=10, arrowsize=0.7];".to_owned(),
    ];
    if !picture.notes.is_empty() {
        lines.push(format!("  label={};", quoted(&picture.notes.join("\n"))));
    }
    let mut outermost = Cluster::default();
    for (number, mark) in picture.marks.iter().enumerate() {
        let mut cluster = &mut outermost;
        for name in mark.scope.split('.').filter(|name| !name.is_empty()) {
            cluster = cluster.inner.entry(name).or_default();
        }
        cluster.marks.push(number);
    }
    let mut count = 0;
    outermost.write(picture, 1, &mut count, &mut lines);
    for wire in &picture.wires {
        let (from, to) = (&picture.marks[wire.from], &picture.marks[wire.to]);
        let (colour, _) = if to.is_backward { to.colours() } else { from.colours() };
        let mut attributes = format!("color={}", quoted(colour));
        if from.is_backward != to.is_backward {
            // What the backward list reads of the forward list does not say what comes first.
            attributes += ", style=dashed, constraint=false";
        }
        if from.signals.len() > 1 {
            let _ = write!(attributes, ", taillabel=\"{}\"", wire.output);
        }
        if let Some(signal) = from.signals.get(wire.output as usize)
            && let Some(value) = &signal.value
        {
            let gradient = signal.gradient.as_deref().unwrap_or("-");
            let _ = write!(attributes, ", label={}", quoted(&format!("{value}\n{gradient}")));
        }
        lines.push(format!("  n{} -> n{} [{attributes}];", wire.from, wire.to));
    }
    lines.push("}\n".to_owned());
    lines.join("\n")
}

impl Cluster<'_> {
    fn write(&self, picture: &GraphPicture, depth: usize, count: &mut usize, lines: &mut Vec<String>) {
        let indent = "  ".repeat(depth);
        for &number in &self.marks {
            lines.push(format!("{indent}n{number} [{}];", node(&picture.marks[number])));
        }
        for (name, cluster) in &self.inner {
            lines.push(format!("{indent}subgraph cluster_{count} {{"));
            *count += 1;
            lines.push(format!("{indent}  label={}; color=\"#999999\"; style=rounded; labeljust=l;", quoted(name)));
            cluster.write(picture, depth + 1, count, lines);
            lines.push(format!("{indent}}}"));
        }
    }
}

fn node(mark: &Mark) -> String {
    let (border, within) = mark.colours();
    let mut label = mark.lines.join("\n");
    // The last of a circuit has no wire that could tell its value.
    if let Some(Signal { value: Some(value), gradient }) = mark.signals.first() {
        let _ = write!(label, "\n= {value}");
        if let Some(gradient) = gradient {
            let _ = write!(label, "\ngradient {gradient}");
        }
    }
    let shape = match mark.role {
        Role::Input => "ellipse",
        Role::Parameter => "box, peripheries=2",
        Role::Constant => "box, style=\"filled,dashed\"",
        Role::Op => "box, style=\"filled,rounded\"",
        Role::Scope => "component",
    };
    let (label, tooltip) = (quoted(&label), quoted(&mark.hover));
    format!("label={label}, shape={shape}, color=\"{border}\", fillcolor=\"{within}\", tooltip={tooltip}")
}
