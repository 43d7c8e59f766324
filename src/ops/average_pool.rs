//! y = the mean of every window; dx = the sum of g over the windows that an element lies in, each divided by its count.

use super::pool::PoolSettings;
use super::table::table;
use crate::base::{Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Domain, EvalContext, HostKernel, LowerContext, Lowering, Op, Reference,
    Tensor, Text, Vjp,
};
use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// The sum of every window.
#[derive(Clone, Copy, Debug)]
struct SumPool {
    settings: PoolSettings,
}

impl Op for SumPool {
    fn name(&self) -> &'static str {
        "sum_pool2d"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(inputs)?;
        Ok(vec![TensorType::f32(self.settings.output(&inputs[0].shape)?)])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let op = SumPoolBackward { settings: self.settings, shape: cx.inputs[0].shape() };
        Cotangents::one(cx.inputs[0].graph().record(op, &[cx.cotangent()]))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        super::pool::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let (x, y) = (&cx.inputs[0].shape, &cx.outputs[0].shape);
        let planes = self.settings.planes(x, y);
        let host = HostKernel::new(move |inputs, outputs| {
            let x: &[f32] = bytemuck::cast_slice(inputs[0]);
            outputs[0].par_chunks_mut(planes.out_size()).zip(x.par_chunks(planes.size())).for_each(|(y, x)| {
                planes.visit(|window, places| y[window] = places.map(|place| x[place]).sum::<f32>().to_bits());
            });
        });
        let text = Text::new(include_str!("../../shaders/sum_pool.wgsl"), &[]);
        self.settings.lower("sum_pool", text, [x, y, y], cx.class, &["x"], &["y"], host)
    }
    fn attributes(&self) -> Attributes {
        self.settings.attributes()
    }
}

impl Reference for SumPool {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let x = inputs[0].real();
        let shape: Shape = x.shape().into();
        let out = self.settings.output(&shape).expect("the shape rule was checked when the op was recorded");
        let planes = self.settings.planes(&shape, &out);
        let elements: Vec<T> = x.iter().copied().collect();
        let mut y = vec![T::zero(); out.elements()];
        for (x, y) in elements.chunks_exact(planes.size()).zip(y.chunks_exact_mut(planes.out_size())) {
            planes.visit(|window, places| y[window] = places.map(|place| x[place]).sum());
        }
        vec![Value::Real(ArrayD::from_shape_vec(IxDyn(&out), y).expect("one number was made per window"))]
    }
}

/// From the gradients of windows to that of the input, which has this shape.
#[derive(Clone, Debug)]
struct SumPoolBackward {
    settings: PoolSettings,
    shape: Shape,
}

impl Op for SumPoolBackward {
    fn name(&self) -> &'static str {
        "sum_pool2d_backward"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(inputs)?;
        Ok(vec![TensorType::f32(&self.shape)])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let c = cx.cotangent();
        Cotangents::one(c.graph().record(SumPool { settings: self.settings }, &[c]))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        super::pool::domain(self, inputs)
    }
    fn part(&self, _domain: &Domain, ranges: &[Range<usize>]) -> Option<Arc<dyn Op>> {
        let planes = ranges.iter().map(Range::len).chain(self.shape[ranges.len()..].iter().copied());
        Some(Arc::new(Self { shape: planes.collect::<Vec<_>>().into(), ..self.clone() }))
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let planes = self.settings.planes(&self.shape, &cx.inputs[0].shape);
        let host = HostKernel::new(move |inputs, outputs| {
            let g: &[f32] = bytemuck::cast_slice(inputs[0]);
            outputs[0].par_chunks_mut(planes.size()).zip(g.par_chunks(planes.out_size())).for_each(|(dx, g)| {
                let dx: &mut [f32] = bytemuck::cast_slice_mut(dx);
                dx.fill(0.0);
                planes.visit(|window, places| places.for_each(|place| dx[place] += g[window]));
            });
        });
        let text = Text::new(include_str!("../../shaders/sum_pool_backward.wgsl"), &[]);
        let shapes = [&self.shape, &cx.inputs[0].shape, &self.shape];
        self.settings.lower("sum_pool_backward", text, shapes, cx.class, &["g"], &["dx"], host)
    }
    fn attributes(&self) -> Attributes {
        self.settings.attributes().with("shape", &self.shape[..])
    }
}

impl Reference for SumPoolBackward {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let g = inputs[0].real();
        let planes = self.settings.planes(&self.shape, &g.shape().into());
        let elements: Vec<T> = g.iter().copied().collect();
        let mut dx = vec![T::zero(); self.shape.elements()];
        for (dx, g) in dx.chunks_exact_mut(planes.size()).zip(elements.chunks_exact(planes.out_size())) {
            planes.visit(|window, places| places.for_each(|place| dx[place] = dx[place] + g[window]));
        }
        let dx = ArrayD::from_shape_vec(IxDyn(&self.shape), dx).expect("one number was made per element");
        vec![Value::Real(dx)]
    }
}

/// Means over parts of an extent as a matrix `[out, extent]`: part i reaches from floor(i extent / out) to before
/// ceil((i + 1) extent / out).
#[track_caller]
fn parts(x: Tensor<'_>, extent: usize, out: usize) -> Tensor<'_> {
    table("adaptive_avg_pool2d", x, [out, extent], |elements| {
        let mut matrix = vec![0.0f32; elements];
        for part in 0..out {
            let range = part * extent / out..((part + 1) * extent).div_ceil(out);
            let share = 1.0 / range.len() as f32;
            matrix[part * extent..][range].fill(share);
        }
        matrix
    })
}

impl Tensor<'_> {
    /// The mean of every window over the last two axes, `[.., height, width]`. Padding counts as zeros where
    /// `counts_padding`; else a mean is over those elements alone that lie in the image.
    #[must_use]
    #[track_caller]
    pub fn avg_pool2d(self, settings: PoolSettings, counts_padding: bool) -> Self {
        let _here = self.graph.here();
        if let (true, Err(reason)) = (self.is_valid(), settings.output(&self.shape())) {
            return self.graph.fault("avg_pool2d", &[self], reason);
        }
        let sums = self.graph.record(SumPool { settings }, &[self]);
        if counts_padding || settings.padding == [0; 2] || !sums.is_valid() {
            return sums / (settings.kernel[0] as f64 * settings.kernel[1] as f64);
        }
        let planes = settings.planes(&self.shape(), &sums.shape());
        sums * table("avg_pool2d", self, planes.outs, |windows| {
            let mut shares = vec![0.0f32; windows];
            planes.visit(|window, places| shares[window] = 1.0 / places.count() as f32);
            shares
        })
    }

    /// Means over parts of the last two axes such that the result is `[.., height, width]` with these two extents. Part i
    /// of n along an extent reaches from floor(i extent / n) to before ceil((i + 1) extent / n), so parts overlap where n
    /// does not divide it; they are products with matrices then, in which infinity and NaN spread to all parts of their rows
    /// and columns.
    #[must_use]
    #[track_caller]
    pub fn adaptive_avg_pool2d(self, output: [usize; 2]) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        if self.is_valid() && shape.rank() < 2 {
            return self.graph.fault("adaptive_avg_pool2d", &[self], "it needs at least two axes, height and width");
        }
        if !self.is_valid() || output.contains(&0) {
            let reason = format!("the output {output:?} needs extents of at least 1");
            return self.graph.fault("adaptive_avg_pool2d", &[self], reason);
        }
        if output == [1, 1] {
            return self.mean_keep([-2, -1]);
        }
        let extents = [shape[shape.rank() - 2], shape[shape.rank() - 1]];
        if (0..2).all(|axis| extents[axis].is_multiple_of(output[axis])) {
            let kernel = [extents[0] / output[0], extents[1] / output[1]];
            if PoolSettings::of(kernel).output(&shape).is_err() {
                // Parts that are larger than a window may be.
                let lead = &shape[..shape.rank() - 2];
                let with = |extents: &[usize]| lead.iter().chain(extents).copied().collect::<Vec<_>>();
                let parts = self.reshape(with(&[output[0], kernel[0], output[1], kernel[1]]));
                return parts.mean([-3, -1]);
            }
            return self.avg_pool2d(PoolSettings::of(kernel), true);
        }
        let rows = parts(self, extents[0], output[0]);
        let columns = parts(self, extents[1], output[1]);
        rows.matmul(self).matmul(columns.transpose())
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::uniform(shape, -1.0, 2.0)];
    vec![
        Case::new("plain", input(&[2, 3, 6, 8]), |x| x[0].avg_pool2d(PoolSettings::new(2), true).sin()),
        Case::new("overlapping, padded", input(&[2, 2, 7, 5]), |x| {
            x[0].avg_pool2d(PoolSettings::new(3).stride(2).padding(1), true).sin()
        }),
        Case::new("padding left out", input(&[2, 2, 7, 5]), |x| {
            x[0].avg_pool2d(PoolSettings::new(3).stride(1).padding(1), false).sin()
        }),
        Case::new("dilated", input(&[2, 9, 9]), |x| {
            x[0].avg_pool2d(PoolSettings::new(2).stride(3).dilation(3), true).sin()
        }),
        Case::new("adaptive", input(&[2, 3, 7, 5]), |x| x[0].adaptive_avg_pool2d([3, 2]).sin()),
        Case::new("adaptive, even", input(&[2, 3, 6, 4]), |x| x[0].adaptive_avg_pool2d([3, 2]).sin()),
        Case::new("adaptive, large parts", input(&[1, 480, 260]), |x| x[0].adaptive_avg_pool2d([2, 1]).sin()),
        Case::new("large windows", input(&[1, 130, 260]), |x| x[0].avg_pool2d(PoolSettings::new(130), true).sin()),
        Case::new("whole planes", input(&[2, 3, 5, 13]), |x| x[0].adaptive_avg_pool2d([1, 1]).sin()),
        Case::new("finer than the image", input(&[2, 3, 2]), |x| x[0].adaptive_avg_pool2d([5, 3]).sin()),
    ]
}
