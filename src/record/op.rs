use super::{Domain, LowerContext, Lowering, Tensor};
use crate::base::{Real, TensorType, Value};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// A gate of the graph: everything that there is to know about one operation.
///
/// An op knows its inputs, its output, and how to turn the gradient of its output into gradients
/// of its inputs; nothing about the rest of the circuit. It is written in one file, together with
/// the method that records it and the [`Case`](super::Case)s that check it. A user's own op
/// implements the same trait and is recorded with [`Graph::record`](super::Graph::record).
///
/// The value on the host comes from the supertrait [`Eval`], which every [`Reference`] has.
pub trait Op: Eval + Debug + Send + Sync + std::any::Any {
    /// The name in messages, plans and files, as the method is called.
    fn name(&self) -> &'static str;

    /// The types of the outputs for inputs of these types.
    ///
    /// # Errors
    /// Why these inputs do not work, and what would, as text.
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String>;

    /// The vector-Jacobian product: from the gradients of the outputs to the gradients of the
    /// inputs, recorded as ordinary ops.
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g>;

    /// How a device computes the op.
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering;

    /// What tells this op from another of the same name: its identity for merging and printing.
    fn attributes(&self) -> Attributes {
        Attributes::default()
    }

    /// The same function said with other ops, for ops that are fused for speed. Checks compare
    /// both, and [`Cotangents::Composition`] differentiates it.
    fn composition<'g>(&self, _inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        None
    }

    /// How the op can be computed part by part, where a device cannot bind its tensors as a whole. Views, pointwise ops,
    /// reductions and matrix products need not say it: it follows from how they are lowered. Without it, an op with a
    /// kernel of its own is refused there.
    fn domain(&self, _inputs: &[&TensorType]) -> Option<Domain> {
        None
    }

    /// The op that computes these ranges of the axes of its [`domain`](Self::domain) from those parts of its inputs; `None`
    /// where this one does, whatever the parts.
    fn part(&self, _domain: &Domain, _ranges: &[Range<usize>]) -> Option<Arc<dyn Op>> {
        None
    }

    /// For an integer input that selects among classes: their number. Values are checked when an
    /// input is fed.
    fn index_limit(&self, _input: usize, _inputs: &[&TensorType]) -> Option<usize> {
        None
    }
}

/// The value of an op on the host, written once for both precisions.
pub trait Reference {
    /// The outputs for these inputs. Shapes and element types have passed [`Op::outputs`].
    fn eval<T: Real>(&self, inputs: &[&Value<T>], cx: &EvalContext) -> Vec<Value<T>>;
}

/// [`Reference`] in a form that works behind `dyn`; every reference has it.
pub trait Eval {
    /// The outputs in single precision.
    fn eval_f32(&self, inputs: &[&Value<f32>], cx: &EvalContext) -> Vec<Value<f32>>;
    /// The outputs in double precision.
    fn eval_f64(&self, inputs: &[&Value<f64>], cx: &EvalContext) -> Vec<Value<f64>>;
}

impl<R: Reference> Eval for R {
    fn eval_f32(&self, inputs: &[&Value<f32>], cx: &EvalContext) -> Vec<Value<f32>> {
        self.eval(inputs, cx)
    }
    fn eval_f64(&self, inputs: &[&Value<f64>], cx: &EvalContext) -> Vec<Value<f64>> {
        self.eval(inputs, cx)
    }
}

/// What changes from step to step besides the fed data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvalContext {
    /// The key of the random streams of this step.
    pub seed: [u32; 2],
}

/// What a gradient rule works with. All vectors are in the order of the op's inputs or outputs.
pub struct Vjp<'g> {
    /// The inputs of the forward op.
    pub inputs: Vec<Tensor<'g>>,
    /// Its outputs.
    pub outputs: Vec<Tensor<'g>>,
    /// The gradient of every output; `None` where the loss does not depend on it.
    pub cotangents: Vec<Option<Tensor<'g>>>,
}

impl<'g> Vjp<'g> {
    /// Input, output and cotangent of an op that has one of each.
    #[must_use]
    pub fn unary(&self) -> (Tensor<'g>, Tensor<'g>, Tensor<'g>) {
        (self.inputs[0], self.outputs[0], self.cotangent())
    }

    /// The cotangent of an op's only output.
    ///
    /// # Panics
    /// Never in a rule of an op with one output: it is only asked when that output has a cotangent.
    #[must_use]
    pub fn cotangent(&self) -> Tensor<'g> {
        self.cotangents[0].expect("a rule is only asked when an output has a cotangent")
    }
}

/// The answer of a gradient rule.
pub enum Cotangents<'g> {
    /// The gradient of every input. `None` ends the path on purpose: integers, masks, detached
    /// tensors, and functions whose derivative is zero wherever it exists.
    Inputs(Vec<Option<Tensor<'g>>>),
    /// The gradient of the only input is zero but for a part of it along an axis, which begins at `start` and is `gradient`.
    Part {
        /// The axis.
        axis: usize,
        /// Where the part begins.
        start: usize,
        /// Its gradient.
        gradient: Tensor<'g>,
    },
    /// Differentiate [`Op::composition`] instead.
    Composition,
    /// There is no rule: an error wherever a gradient would have to pass.
    Missing,
}

impl<'g> Cotangents<'g> {
    /// The gradient of an only input.
    #[must_use]
    pub fn one(gradient: Tensor<'g>) -> Self {
        Self::Inputs(vec![Some(gradient)])
    }

    /// Gradients of two inputs.
    #[must_use]
    pub fn two(first: Tensor<'g>, second: Tensor<'g>) -> Self {
        Self::Inputs(vec![Some(first), Some(second)])
    }

    /// No gradient for any of `count` inputs.
    #[must_use]
    pub fn ends(count: usize) -> Self {
        Self::Inputs(vec![None; count])
    }
}

/// The attributes of an op, in order, with exact values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(Vec<(&'static str, String)>);

impl Attributes {
    /// With one more attribute. Floats are written so that they read back to the same bits.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Debug) -> Self {
        self.0.push((name, format!("{value:?}")));
        self
    }
}

impl std::fmt::Display for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&list.join(" "))
    }
}
