//! Cross-entropy of rows of scores against one label per row, loss and gradient from one kernel:
//!
//! loss = ln(sum of exp(x)) - (1 - e) x[t] - e / C sum of x, and
//! d = softmax(x) - (1 - e) [column = t] - e / C, with label smoothing e and C columns.
//!
//! dx = g d; and for the gradient of d itself, softmax's Jacobian.

use super::log_softmax::{log_softmax_row, log_softmax_value};
use super::rows;
use super::softmax::softmax_backward;
use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Domain, Draw, EvalContext, HostKernel, LowerContext, Lowering, Op,
    Reference, Tensor, Text, Vjp, libraries,
};
use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

#[derive(Debug)]
struct CrossEntropy {
    smoothing: f64,
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let (x, labels) = (inputs[0], inputs[1]);
        super::elementwise::floats(&inputs[..1])?;
        if labels.dtype != DType::I32 {
            return Err(format!("labels are i32 and these are {}: record them with `Graph::labels`", labels.dtype));
        }
        if x.shape.rank() == 0 || x.shape[..x.shape.rank() - 1] != labels.shape[..] {
            return Err(format!(
                "scores {} need labels of shape {:?}",
                x.shape,
                &x.shape[..x.shape.rank().saturating_sub(1)]
            ));
        }
        rows::output(&inputs[..1])?;
        Ok(vec![TensorType::f32(&labels.shape), x.clone()])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let through_loss = cx.cotangents[0].map(|g| g.unsqueeze(-1) * cx.outputs[1]);
        let through_gradient = cx.cotangents[1].map(|c| softmax_backward(cx.inputs[0].softmax(-1), c));
        let dx = match (through_loss, through_gradient) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
        Cotangents::Inputs(vec![dx, None])
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let libraries = [
            &libraries::EXPONENTIAL,
            &libraries::LOGARITHM,
            &libraries::COMPARISON,
            &libraries::ROWS,
            &libraries::NUMBERS,
        ];
        let text =
            Text::new(include_str!("../../shaders/cross_entropy.wgsl"), &libraries).float("SMOOTHING", self.smoothing);
        let shape = &cx.inputs[0].shape;
        let host = on_host(self.smoothing, shape.last());
        rows::lower("cross_entropy", text, shape, cx.class, &["x", "labels"], &["loss", "dx"], Some(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("smoothing", self.smoothing)
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        let (x, classes) = (inputs[0], inputs[0].shape().last());
        let chosen = inputs[1].one_hot(classes);
        let wanted = chosen * (1.0 - self.smoothing) + self.smoothing / classes as f64;
        let log_p = x.log_softmax(-1);
        let zero = x.graph().scalar(0.0);
        let terms = if self.smoothing > 0.0 { wanted * log_p } else { chosen.ne(zero).where_cond(log_p, zero) };
        Some(vec![-terms.sum(-1), x.softmax(-1) - wanted])
    }
    fn index_limit(&self, input: usize, inputs: &[&TensorType]) -> Option<usize> {
        (input == 1).then(|| inputs[0].shape.last())
    }
}

/// Losses and gradients of all rows.
fn on_host(smoothing: f64, columns: usize) -> HostKernel {
    let (off, on) = ((smoothing / columns as f64) as f32, (1.0 - smoothing) as f32);
    HostKernel::new(move |inputs, outputs| {
        let (x, labels): (&[f32], &[i32]) = (bytemuck::cast_slice(inputs[0]), bytemuck::cast_slice(inputs[1]));
        let [losses, gradients] = outputs else { return };
        let rows = x.par_chunks(columns).zip(labels);
        let outs = losses.par_iter_mut().zip(gradients.par_chunks_mut(columns));
        rows.zip(outs).with_min_len(1024usize.div_ceil(columns)).for_each(|((x, &label), (loss, dx))| {
            let dx: &mut [f32] = bytemuck::cast_slice_mut(dx);
            let found = pulp::Arch::new().dispatch(|| {
                log_softmax_row(x, dx);
                let label = usize::try_from(label).ok().filter(|&label| label < columns)?;
                // Without smoothing the sum does not count: it may be infinite where scores are masked.
                let spread = if smoothing > 0.0 { off * rows::sum_of(dx, dx, |y, _| y) } else { 0.0 };
                let loss = -(on * dx[label]) - spread;
                for y in dx.iter_mut() {
                    *y = y.exponential() - off;
                }
                dx[label] -= on;
                Some(loss)
            });
            if found.is_none() {
                dx.fill(f32::NAN);
            }
            *loss = found.unwrap_or(f32::NAN).to_bits();
        });
    })
}

impl Reference for CrossEntropy {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let labels = inputs[1].integers();
        let log_p = log_softmax_value(inputs[0].real());
        let classes = log_p.shape()[log_p.ndim() - 1];
        let (off, on) = (T::real(self.smoothing / classes as f64), T::real(1.0 - self.smoothing));
        let mut gradient = log_p.mapv(|y| y.exp() - off);
        let mut losses = Vec::with_capacity(labels.len());
        for ((row, mut d), &label) in log_p.rows().into_iter().zip(gradient.rows_mut()).zip(labels.iter()) {
            if let Some(label) = usize::try_from(label).ok().filter(|&label| label < classes) {
                d[label] = d[label] - on;
                // Without smoothing the sum does not count: it may be infinite where scores are masked.
                let spread = if self.smoothing > 0.0 { off * row.sum() } else { T::zero() };
                losses.push(-(on * row[label]) - spread);
            } else {
                d.fill(T::nan());
                losses.push(T::nan());
            }
        }
        let losses = ArrayD::from_shape_vec(IxDyn(labels.shape()), losses).expect("one loss was made per label");
        vec![Value::Real(losses), Value::Real(gradient)]
    }
}

impl Tensor<'_> {
    /// The cross-entropy of scores `[.., classes]` against labels `[..]` (`i32`), one number per row.
    /// `label_smoothing` spreads that part of the target evenly over all classes.
    #[must_use]
    #[track_caller]
    pub fn cross_entropy_rows(self, labels: Self, label_smoothing: f64) -> Self {
        if !(0.0..=1.0).contains(&label_smoothing) {
            let reason = format!("label smoothing must lie in 0 ..= 1, and is {label_smoothing}");
            return self.graph.fault("cross_entropy", &[self, labels], reason);
        }
        let _here = self.graph.here();
        self.graph.check_index("cross_entropy", labels, self.shape().last());
        self.graph.record_outputs(CrossEntropy { smoothing: label_smoothing }, &[self, labels], 2)[0]
    }

    /// The mean cross-entropy of scores `[.., classes]` against labels `[..]` (`i32`): what a
    /// classifier minimises. The scores are not probabilities: softmax is part of the loss.
    #[must_use]
    #[track_caller]
    pub fn cross_entropy(self, labels: Self) -> Self {
        self.cross_entropy_rows(labels, 0.0).mean(..)
    }

    /// As [`cross_entropy`](Self::cross_entropy), with that part of the target spread evenly over
    /// all classes. Source: Szegedy et al. 2016.
    #[must_use]
    #[track_caller]
    pub fn cross_entropy_smooth(self, labels: Self, label_smoothing: f64) -> Self {
        self.cross_entropy_rows(labels, label_smoothing).mean(..)
    }

    /// As [`cross_entropy`](Self::cross_entropy), each row counted with its weight: the sum of
    /// weight times loss over the sum of weights. A weight of 0 leaves out the rows that fill up
    /// a short last batch.
    #[must_use]
    #[track_caller]
    pub fn cross_entropy_weighted(self, labels: Self, weights: Self) -> Self {
        if labels.is_valid() && weights.is_valid() && labels.shape() != weights.shape() {
            return self.graph.fault(
                "cross_entropy_weighted",
                &[self, labels, weights],
                "every label needs a weight: both need one shape",
            );
        }
        (self.cross_entropy_rows(labels, 0.0) * weights).sum(..) / weights.sum(..)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |rows: usize, classes: usize| {
        vec![CaseInput::uniform([rows, classes], -3.0, 3.0), CaseInput::new([rows], Draw::Labels { below: classes })]
    };
    let mut weighted = input(7, 5);
    weighted.push(CaseInput::uniform([7], 0.1, 1.0));
    vec![
        Case::new("mean", input(8, 10), |x| x[0].cross_entropy(x[1])),
        Case::new("rows", input(65, 3), |x| x[0].cross_entropy_rows(x[1], 0.0)),
        Case::new("smoothed, wide", input(5, 1025), |x| x[0].cross_entropy_smooth(x[1], 0.1)),
        Case::new("weighted", weighted, |x| x[0].cross_entropy_weighted(x[1], x[2])),
        Case::new("its own gradient", input(4, 6), |x| {
            x[0].graph().record_outputs(CrossEntropy { smoothing: 0.1 }, &[x[0], x[1]], 2)[1]
        }),
        Case::new("masked scores", input(4, 6), |x| {
            // Two scores that are as low as numbers go, and never the label's.
            let free = x[1].one_hot(6) + x[0].graph().full([4, 4], 1.0).pad(&[(0, 0), (0, 2)]);
            let zero = x[0].graph().scalar(0.0);
            free.gt(zero).where_cond(x[0], zero - 3.0e38).cross_entropy(x[1])
        }),
        Case::new("one row", input(1, 3), |x| x[0].cross_entropy(x[1])),
    ]
}
