//! Which way the gradient of every parameter comes, as plain data: the ops from the loss back to it, and where paths end.

use crate::base::Shape;
use crate::record::NodeId;
use serde::Serialize;

/// How the gradients of a loss come to its parameters: what
/// [`Training::gradient_paths`](crate::Training::gradient_paths) makes.
///
/// Printing it gives a table that stays short for deep networks, where layers that are alike share a row; `{:#}` prints
/// every parameter with every op on its path, source lines, and the backward nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientPaths {
    /// The type of the loss, and where it was recorded.
    pub loss: String,
    /// Every parameter of the store, in the order of addition.
    pub parameters: Vec<ParameterPath>,
    /// The ops on the paths and at their ends, in the order of recording.
    pub ops: Vec<PathOp>,
    /// Every place between a trained parameter and the loss where gradients end on purpose.
    pub ends: Vec<PathEnd>,
    /// Mistakes on the way, such as an op without a gradient rule: `compile` reports them as well.
    pub faults: Vec<String>,
}

/// What becomes of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterPath {
    /// Its name.
    pub name: String,
    /// The extent of every axis.
    pub shape: Shape,
    /// Whether a gradient comes to it, and how.
    pub fate: Fate,
}

/// Whether a gradient comes to a parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Fate {
    /// It is trained, and this way its gradient comes.
    Trained(GradientPath),
    /// It is [frozen](crate::Params::set_frozen).
    Frozen,
    /// It is a [cell](crate::Params::add_cell), which no gradient changes.
    Cell,
    /// [`Training::only`](crate::Training::only) names others.
    LeftOut,
    /// It should be trained and no gradient comes to it: `compile` refuses that.
    NotReached {
        /// Why.
        reason: String,
        /// Where its paths are cut: numbers in [`GradientPaths::ends`].
        cuts: Vec<usize>,
    },
}

/// The way of one gradient.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientPath {
    /// The shortest path: forward nodes from the one that makes the loss to the one that reads the parameter; look them
    /// up with [`GradientPaths::op`].
    pub ops: Vec<NodeId>,
    /// How many operands of ops it is, through which something comes back.
    pub uses: usize,
    /// How many paths there are from the loss; exact below 2^53.
    pub paths: f64,
    /// The backward node that makes the whole gradient.
    pub gradient: NodeId,
    /// How many backward nodes the gradient is computed by, those shared with others included.
    pub backward: usize,
}

/// An op on a path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathOp {
    /// Its node in the recording.
    pub node: NodeId,
    /// Its name.
    pub op: String,
    /// Its attributes; empty where it has none.
    pub attributes: String,
    /// The type of its first result.
    pub output: String,
    /// Whether it computes nothing and only looks at its input in another order or shape.
    pub is_view: bool,
    /// Source file, line and column.
    pub location: String,
    /// Names of the enclosing scopes, joined by dots.
    pub scope: String,
    /// The backward nodes that its gradient rule recorded.
    pub backward: Vec<NodeId>,
}

/// A place where gradients end on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathEnd {
    /// The node; look it up with [`GradientPaths::op`].
    pub node: NodeId,
    /// Which of its inputs gets nothing.
    pub input: usize,
    /// Why.
    pub reason: EndReason,
    /// The trained parameters behind it, which may be reached otherwise.
    pub parameters: Vec<String>,
}

/// Why gradients end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum EndReason {
    /// [`Tensor::detach`](crate::Tensor::detach) was asked for.
    Detached,
    /// The op makes integers or truth values.
    IntegerResult,
    /// The op's rule gives this input none: its derivative is zero wherever it exists, or it counts as constant.
    NoGradient,
}

impl EndReason {
    /// The reason in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Detached => "detached",
            Self::IntegerResult => "its result is of integers",
            Self::NoGradient => "its rule gives no gradient: zero, or constant on purpose",
        }
    }
}

impl GradientPaths {
    /// What is known of an op on a path.
    #[must_use]
    pub fn op(&self, node: NodeId) -> Option<&PathOp> {
        let place = self.ops.binary_search_by_key(&node, |op| op.node).ok()?;
        Some(&self.ops[place])
    }

    /// What is known of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&ParameterPath> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The trained parameters that no gradient comes to.
    pub fn not_reached(&self) -> impl Iterator<Item = &ParameterPath> {
        self.parameters.iter().filter(|parameter| matches!(parameter.fate, Fate::NotReached { .. }))
    }
}
