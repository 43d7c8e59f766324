//! Rows brought to mean 0 and variance 1, which layer, group and RMS normalization share:
//!
//! y = (x - m) r with the row's mean m (0 for RMS) and r = 1 / sqrt(mean((x - m)^2) + epsilon), and for the gradient g of y
//! dx = r (g - mean(g) - y mean(g y)), without mean(g) for RMS.
//!
//! Both directions are one kernel each, to which scale and shift are fused.
//! Source: Ba, Kiros, Hinton 2016; Zhang, Sennrich 2019 (RMS); Wu, He 2018 (groups).

use super::rows;
use crate::base::{Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Domain, EvalContext, HostKernel, LowerContext, Lowering, Op, Reference,
    Tensor, Text, Vjp, libraries,
};
use ndarray::{Axis, Zip};
use rayon::prelude::*;

/// Rows of the last axis. The outputs are y, and r with that axis of extent 1.
#[derive(Clone, Copy, Debug)]
struct Normalize {
    epsilon: f64,
    centered: bool,
}

fn scale_shape(shape: &Shape) -> Shape {
    shape.reduced(&[shape.rank() - 1], true)
}

/// Fewer elements than this are not worth a second thread.
const PARALLEL: usize = 1 << 15;

/// Rows at a time, so that every thread has some.
fn rows_at_once(rows: usize, columns: usize) -> usize {
    if rows * columns < PARALLEL { rows } else { (PARALLEL / 4 / columns).clamp(1, rows) }
}

/// The sum in eight lanes, as vector units add.
#[inline(always)]
fn sum_of(row: &[f32], term: impl Fn(usize, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 8];
    let whole = row.len() / 8 * 8;
    for start in (0..whole).step_by(8) {
        for lane in 0..8 {
            lanes[lane] += term(start + lane, row[start + lane]);
        }
    }
    let rest: f32 = (whole..row.len()).map(|place| term(place, row[place])).sum();
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + b) + (c + d)) + ((e + f) + (g + h)) + rest
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let output = rows::output(inputs)?;
        let scale = TensorType::f32(scale_shape(&output[0].shape));
        Ok(output.into_iter().chain([scale]).collect())
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (y, scale) = (cx.outputs[0], cx.outputs[1]);
        let through_y = cx.cotangents[0].map(|g| self.backward(y, scale, g));
        // dr / dx = -r^3 (x - m) / n = -r^2 y / n.
        let columns = y.shape().last() as f64;
        let through_scale = cx.cotangents[1].map(|c| y * (c * scale.square() * (-1.0 / columns)));
        let dx = match (through_y, through_scale) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
        Cotangents::Inputs(vec![dx])
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let shape = &cx.inputs[0].shape;
        let text = Text::new(include_str!("../../shaders/normalize.wgsl"), &[&libraries::ROWS])
            .unsigned("CENTERED", usize::from(self.centered))
            .float("EPSILON", self.epsilon);
        let (columns, Self { epsilon, centered }) = (shape.last(), *self);
        let row = move |x: &[f32], y: &mut [f32]| {
            pulp::Arch::new().dispatch(|| {
                let count = columns as f32;
                let mean = if centered { sum_of(x, |_, x| x) / count } else { 0.0 };
                let square = sum_of(x, |_, x| (x - mean) * (x - mean)) / count;
                let scale = (square + epsilon as f32).sqrt().recip();
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * scale);
                scale
            })
        };
        let host = HostKernel::new(move |inputs, outputs| {
            let x: &[f32] = bytemuck::cast_slice(inputs[0]);
            let [y, scales] = outputs else { return };
            let at_once = rows_at_once(x.len() / columns, columns);
            let parts = y.par_chunks_mut(at_once * columns).zip(scales.par_chunks_mut(at_once));
            parts.zip(x.par_chunks(at_once * columns)).for_each(|((y, scales), x)| {
                let y: &mut [f32] = bytemuck::cast_slice_mut(y);
                let rows = y.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
                for (scale, (y, x)) in scales.iter_mut().zip(rows) {
                    *scale = row(x, y).to_bits();
                }
            });
        });
        rows::lower("normalize", text, shape, cx.class, &["x"], &["y", "scale"], Some(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("epsilon", self.epsilon).with("centered", self.centered)
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        let x = inputs[0];
        let centered = if self.centered { x - x.mean_keep(-1) } else { x };
        let scale = (centered.square().mean_keep(-1) + self.epsilon).rsqrt();
        Some(vec![centered * scale, scale])
    }
}

impl Reference for Normalize {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let x = inputs[0].real();
        let last = Axis(x.ndim() - 1);
        let count = T::real(x.shape()[last.0] as f64);
        let mut y = x.clone();
        if self.centered {
            let mean = (x.sum_axis(last) / count).insert_axis(last);
            y = y - mean;
        }
        let square = y.mapv(|y| y * y).sum_axis(last) / count;
        let scale = square.mapv(|v| (v + T::real(self.epsilon)).sqrt().recip()).insert_axis(last);
        vec![Value::Real(y * &scale), Value::Real(scale)]
    }
}

impl Normalize {
    #[track_caller]
    fn backward<'g>(self, y: Tensor<'g>, scale: Tensor<'g>, g: Tensor<'g>) -> Tensor<'g> {
        y.graph().record(NormalizeBackward { centered: self.centered }, &[y, scale, g])
    }
}

/// From y, r and the gradient of y to that of x.
#[derive(Clone, Copy, Debug)]
struct NormalizeBackward {
    centered: bool,
}

impl NormalizeBackward {
    fn composed<'g>(self, y: Tensor<'g>, scale: Tensor<'g>, g: Tensor<'g>) -> Tensor<'g> {
        let centered = if self.centered { g - g.mean_keep(-1) } else { g };
        scale * (centered - y * (g * y).mean_keep(-1))
    }
}

impl Op for NormalizeBackward {
    fn name(&self) -> &'static str {
        "normalize_backward"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        let output = rows::output(&[inputs[0], inputs[2]])?;
        if inputs[1].shape != scale_shape(&output[0].shape) {
            return Err(format!("rows of {} need one scale each, not {}", output[0].shape, inputs[1].shape));
        }
        Ok(output)
    }
    fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::Composition
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let shape = &cx.inputs[0].shape;
        let text = Text::new(include_str!("../../shaders/normalize_backward.wgsl"), &[&libraries::ROWS])
            .unsigned("CENTERED", usize::from(self.centered));
        let (columns, centered) = (shape.last(), self.centered);
        let row = move |y: &[f32], scale: f32, g: &[f32], dx: &mut [f32]| {
            pulp::Arch::new().dispatch(|| {
                let count = columns as f32;
                let mean = if centered { sum_of(g, |_, g| g) / count } else { 0.0 };
                let projection = sum_of(g, |place, g| g * y[place]) / count;
                for ((dx, &y), &g) in dx.iter_mut().zip(y).zip(g) {
                    *dx = scale * (g - mean - y * projection);
                }
            });
        };
        let host = HostKernel::new(move |inputs, outputs| {
            let [y, scales, g] = [0, 1, 2].map(|number: usize| bytemuck::cast_slice::<u32, f32>(inputs[number]));
            let at_once = rows_at_once(scales.len(), columns);
            let size = at_once * columns;
            let parts = outputs[0].par_chunks_mut(size).zip(y.par_chunks(size));
            let others = scales.par_chunks(at_once).zip(g.par_chunks(size));
            parts.zip(others).for_each(|((dx, y), (scales, g))| {
                let dx: &mut [f32] = bytemuck::cast_slice_mut(dx);
                for (number, dx) in dx.chunks_exact_mut(columns).enumerate() {
                    let own = number * columns..(number + 1) * columns;
                    row(&y[own.clone()], scales[number], &g[own], dx);
                }
            });
        });
        let loads = ["y", "scale", "g"];
        rows::lower("normalize_backward", text, shape, cx.class, &loads, &["dx"], Some(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("centered", self.centered)
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        Some(vec![self.composed(inputs[0], inputs[1], inputs[2])])
    }
}

impl Reference for NormalizeBackward {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (y, scale, g) = (inputs[0].real(), inputs[1].real(), inputs[2].real());
        let last = Axis(y.ndim() - 1);
        let count = T::real(y.shape()[last.0] as f64);
        let projection = ((g * y).sum_axis(last) / count).insert_axis(last);
        let mut dx = g.clone();
        if self.centered {
            dx = dx - (g.sum_axis(last) / count).insert_axis(last);
        }
        Zip::from(&mut dx).and(y).and_broadcast(&projection).for_each(|dx, &y, &p| *dx = *dx - y * p);
        vec![Value::Real(dx * scale)]
    }
}

/// The axes that are normalized: as many as `weight` has, from the last on.
fn check(x: Tensor<'_>, weight: Tensor<'_>, epsilon: f64) -> Result<Shape, String> {
    let (shape, of) = (x.shape(), weight.shape());
    if of.rank() == 0 || of.rank() > shape.rank() || shape[shape.rank() - of.rank()..] != of[..] {
        return Err(format!("the weight's shape {of} must be that of the last axes of {shape}, which are normalized"));
    }
    check_epsilon(epsilon)?;
    let lead = &shape[..shape.rank() - of.rank()];
    Ok(lead.iter().copied().chain([of.elements()]).collect::<Vec<_>>().into())
}

/// Refuses what does not keep the root from zero.
pub(super) fn check_epsilon(epsilon: f64) -> Result<(), String> {
    if epsilon as f32 > 0.0 && (epsilon as f32).is_finite() {
        Ok(())
    } else {
        Err(format!("epsilon must be positive and finite in single precision, and is {epsilon}"))
    }
}

impl Tensor<'_> {
    /// Layer normalization: (x - mean) / sqrt(variance + epsilon) weight + bias, mean and variance (of the population) over
    /// the last axes, those of `weight` and `bias`. Source: Ba, Kiros, Hinton 2016.
    #[must_use]
    #[track_caller]
    pub fn layer_norm(self, weight: Self, bias: Self, epsilon: f64) -> Self {
        let _here = self.graph.here();
        if bias.is_valid() && weight.is_valid() && bias.shape() != weight.shape() {
            let reason = format!("weight {} and bias {} need one shape", weight.shape(), bias.shape());
            return self.graph.fault("layer_norm", &[self, weight, bias], reason);
        }
        self.normalized("layer_norm", weight, epsilon, true) * weight + bias
    }

    /// Normalization by the root mean square: x / sqrt(mean(x^2) + epsilon) weight, the mean over the last axes, those of
    /// `weight`. Source: Zhang, Sennrich 2019.
    #[must_use]
    #[track_caller]
    pub fn rms_norm(self, weight: Self, epsilon: f64) -> Self {
        let _here = self.graph.here();
        self.normalized("rms_norm", weight, epsilon, false) * weight
    }

    #[track_caller]
    fn normalized(self, name: &str, weight: Self, epsilon: f64, centered: bool) -> Self {
        if !self.is_valid() || !weight.is_valid() {
            return self.graph.fault(name, &[self, weight], "an operand is invalid");
        }
        match check(self, weight, epsilon) {
            Ok(rows) => {
                let shape = self.shape();
                self.graph.record_outputs(Normalize { epsilon, centered }, &[self.reshape(rows)], 2)[0].reshape(shape)
            }
            Err(reason) => self.graph.fault(name, &[self, weight], reason),
        }
    }

    /// Group normalization of `[batch, channels, ..]`: channels are divided into groups, each brought to mean 0 and variance
    /// 1 by itself for every element of the batch; then scaled and shifted by `weight` and `bias`, one number per channel.
    /// Source: Wu, He 2018.
    #[must_use]
    #[track_caller]
    pub fn group_norm(self, groups: usize, weight: Self, bias: Self, epsilon: f64) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        let operands = [self, weight, bias];
        if operands.iter().any(|operand| !operand.is_valid()) {
            return self.graph.fault("group_norm", &operands, "an operand is invalid");
        }
        let refuse = |reason: String| self.graph.fault("group_norm", &operands, reason);
        if shape.rank() < 2 {
            return refuse("it needs at least two axes, batch and channels".into());
        }
        let channels = shape[1];
        if groups == 0 || !channels.is_multiple_of(groups) {
            return refuse(format!(
                "{groups} groups do not divide {channels} channels evenly: use a number of groups that divides it"
            ));
        }
        if weight.shape()[..] != [channels] || bias.shape()[..] != [channels] {
            return refuse(format!(
                "weight {} and bias {} must have shape [{channels}], one number per channel",
                weight.shape(),
                bias.shape()
            ));
        }
        if let Err(reason) = check_epsilon(epsilon) {
            return refuse(reason);
        }
        let rows = self.reshape([shape[0], groups, shape.elements() / shape[0] / groups]);
        let normal = self.graph.record_outputs(Normalize { epsilon, centered: true }, &[rows], 2)[0].reshape(&shape);
        normal * weight.per_channel(shape.rank()) + bias.per_channel(shape.rank())
    }

    /// One number per channel, to stretch over `[batch, channels, ..]` of so many axes.
    #[track_caller]
    pub(super) fn per_channel(self, rank: usize) -> Self {
        let mut extents = vec![1; rank - 1];
        extents[0] = self.shape().elements();
        self.reshape(extents)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |x: &[usize], of: &[usize]| {
        vec![CaseInput::uniform(x, -2.0, 3.0), CaseInput::uniform(of, 0.5, 1.5), CaseInput::uniform(of, -1.0, 1.0)]
    };
    let rms = |x: &[usize], of: &[usize]| input(x, of)[..2].to_vec();
    vec![
        Case::new("layer", input(&[5, 13], &[13]), |x| x[0].layer_norm(x[1], x[2], 1e-5)),
        Case::new("layer, two axes", input(&[3, 4, 5], &[4, 5]), |x| x[0].layer_norm(x[1], x[2], 1e-3)),
        Case::new("layer, wide", input(&[2, 1025], &[1025]), |x| x[0].layer_norm(x[1], x[2], 1e-5)),
        Case::new("layer of a view", input(&[6, 7], &[6]), |x| x[0].transpose().layer_norm(x[1], x[2], 1e-5)),
        Case::new("root mean square", rms(&[4, 65], &[65]), |x| x[0].rms_norm(x[1], 1e-5)),
        Case::new("root mean square, three axes", rms(&[2, 3, 17], &[17]), |x| x[0].rms_norm(x[1], 1e-6)),
        Case::new("groups", input(&[2, 6, 3, 5], &[6]), |x| x[0].group_norm(3, x[1], x[2], 1e-5)),
        Case::new("a group per channel", input(&[3, 4, 9], &[4]), |x| x[0].group_norm(4, x[1], x[2], 1e-5)),
        Case::new("one group", input(&[3, 5, 2], &[5]), |x| x[0].group_norm(1, x[1], x[2], 1e-5)),
    ]
}
