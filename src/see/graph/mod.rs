//! The graph as a picture.

mod arrange;
mod circuit;
mod collapse;
mod dot;
mod layers;
mod svg;

use super::save;
use crate::base::Result;
use crate::record::{Leaf, Node, NodeKind, Recording};
use crate::train::Step;
use std::fmt::Write as _;
use std::path::Path;

/// Most boxes of a picture in which every node has one of its own, unless that is asked for.
const MOST: usize = 60;

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Input,
    Parameter,
    Constant,
    Op,
    /// Several nodes of one scope.
    Scope,
}

/// A box of a picture.
#[derive(Clone, Debug)]
struct Mark {
    role: Role,
    /// Whether it belongs to the backward list.
    is_backward: bool,
    /// What stands in it, line by line.
    lines: Vec<String>,
    /// What it tells when it is pointed at.
    hover: String,
    /// The scopes around it, joined by dots.
    scope: String,
    /// Of every output: its value, and its gradient.
    signals: Vec<Signal>,
}

/// What a circuit shows of one output of a node.
#[derive(Clone, Debug, Default)]
struct Signal {
    value: Option<String>,
    gradient: Option<String>,
}

/// A line from a box to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wire {
    from: usize,
    to: usize,
    /// The output that it begins at.
    output: u32,
}

/// A recording as boxes and lines: forward ops in one colour, backward ops in another, with parameters, inputs and constants
/// told apart by shape and colour, and scopes drawn around what they hold. It is written as SVG, as DOT for Graphviz, or, with
/// the feature `plots`, as PNG.
///
/// ```
/// use retrograd::see::GraphPicture;
/// use retrograd::Graph;
/// let g = Graph::new();
/// let x = g.input("x", [3]);
/// let _loss = (x * x).sum(..);
/// let picture = GraphPicture::new(&g.recording());
/// assert!(picture.dot().starts_with("digraph"));
/// assert!(picture.svg().starts_with("<svg"));
/// ```
#[derive(Clone, Debug)]
pub struct GraphPicture {
    marks: Vec<Mark>,
    wires: Vec<Wire>,
    /// What stands below it.
    notes: Vec<String>,
    /// Whether it flows from left to right and shows values.
    is_circuit: bool,
}

impl GraphPicture {
    /// Everything that was recorded. Of a recording with more than 60 nodes, those of one scope become one box, of as deep
    /// scopes as leave at most 60 boxes, or else of the outermost.
    #[must_use]
    pub fn new(recording: &Recording) -> Self {
        if recording.nodes.len() <= MOST { Self::expanded(recording) } else { Self::collapsed(recording, MOST) }
    }

    /// Everything that was recorded, with a box for every node, however many these are.
    #[must_use]
    pub fn expanded(recording: &Recording) -> Self {
        let marks = recording.nodes.iter().enumerate().map(|(index, node)| mark(index, node)).collect();
        let mut wires = Vec::new();
        for (to, node) in recording.nodes.iter().enumerate() {
            wires.extend(node.inputs.iter().map(|input| Wire { from: input.node.index(), to, output: input.output }));
        }
        wires.sort_unstable();
        wires.dedup();
        Self { marks, wires, notes: Vec::new(), is_circuit: false }
    }

    /// The picture in the DOT language, for Graphviz.
    #[must_use]
    pub fn dot(&self) -> String {
        dot::write(self)
    }

    /// The picture as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        svg::write(self)
    }

    /// Writes it as what the file's name ends with: `.svg`, `.dot` or `.gv`, or `.png`.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) where it cannot be written; [`ErrorKind::Argument`](crate::ErrorKind::Argument)
    /// for another ending, and for `.png` without the feature `plots`; [`ErrorKind::Limit`](crate::ErrorKind::Limit) for a
    /// picture that is too large for pixels.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match save::ending(path).as_str() {
            "dot" | "gv" => save::write(path, "graph", self.dot().as_bytes()),
            "svg" | "png" => save::write_picture(path, "graph", &self.svg()),
            _ => Err(save::unknown_ending(path, "`.svg`, `.dot`, `.gv` or `.png`")),
        }
    }
}

impl Step {
    /// The step's graph, forward and backward, as a picture; see [`GraphPicture::new`].
    #[must_use]
    pub fn picture(&self) -> GraphPicture {
        GraphPicture::new(self.recording())
    }
}

/// The box of a node.
fn mark(index: usize, node: &Node) -> Mark {
    let role = match &node.kind {
        NodeKind::Leaf(Leaf::Input { .. }) => Role::Input,
        NodeKind::Leaf(Leaf::Parameter(_)) => Role::Parameter,
        NodeKind::Leaf(Leaf::Constant(_)) => Role::Constant,
        NodeKind::Op(_) => Role::Op,
    };
    let title = match &node.kind {
        NodeKind::Leaf(Leaf::Input { name }) => name.clone(),
        NodeKind::Leaf(Leaf::Parameter(info)) => info.name.clone(),
        NodeKind::Leaf(Leaf::Constant(value)) if value.shape().elements() == 1 => {
            super::text::number(f64::from(value.to_vec().first().copied().unwrap_or(f32::NAN)))
        }
        _ => node.name().to_owned(),
    };
    let types: Vec<String> = node.outputs.iter().map(ToString::to_string).collect();
    let mut hover = format!("%{index} {}\n{}", node.label(), types.join(", "));
    if let Some(origin) = node.origin {
        let _ = write!(hover, "\ngradient of %{}", origin.0);
    }
    if !node.place.scope.is_empty() {
        let _ = write!(hover, "\nin {}", node.place.scope);
    }
    if !node.place.location.is_empty() {
        let _ = write!(hover, "\nat {}", node.place.location);
    }
    Mark {
        role,
        is_backward: node.origin.is_some(),
        lines: vec![title, types.join(", ")],
        hover,
        scope: node.place.scope.clone(),
        signals: vec![Signal::default(); node.outputs.len()],
    }
}

impl Mark {
    /// The colour of its border, and that within.
    const fn colours(&self) -> (&'static str, &'static str) {
        match self.role {
            Role::Input => ("#8a4a73", "#f6e6f0"),
            Role::Parameter => ("#00785a", "#d8f0e8"),
            Role::Constant => ("#666666", "#f0f0f0"),
            Role::Op | Role::Scope if self.is_backward => ("#c04f00", "#fde6d8"),
            Role::Op | Role::Scope => ("#0072b2", "#dcebf7"),
        }
    }
}
