//! y = the greatest element of every window; dx = g at the places where these stand, added up where windows overlap.

use super::pool::{Planes, PoolSettings};
use crate::base::{DType, Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Domain, Draw, EvalContext, HostKernel, LowerContext, Lowering, Op,
    Reference, Tensor, Text, Vjp, libraries,
};
use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// The outputs are the greatest elements, and where in their planes they stand.
#[derive(Clone, Copy, Debug)]
struct MaxPool {
    settings: PoolSettings,
}

/// Whether an element comes before the best so far: NaN before all.
#[inline(always)]
fn leads<T: Real>(value: T, best: T) -> bool {
    value > best || (value.is_nan() && !best.is_nan())
}

/// The greatest element of every window of a plane, and where it stands.
fn greatest<T: Real>(planes: &Planes, x: &[T], mut store: impl FnMut(usize, T, usize)) {
    planes.visit(|window, places| {
        let mut best: Option<(T, usize)> = None;
        for place in places {
            if best.is_none_or(|(greatest, _)| leads(x[place], greatest)) {
                best = Some((x[place], place));
            }
        }
        // Padding is at most half of a window, so that every one covers something.
        if let Some((greatest, place)) = best {
            store(window, greatest, place);
        }
    });
}

/// The same of floats: line by line, and of every line element by element of the windows, which takes a third of the time.
fn greatest_of_plane(planes: &Planes, x: &[f32], y: &mut [f32], at: &mut [u32]) {
    const NONE: u32 = u32::MAX;
    let (width, out_width, stride) = (planes.extents[1], planes.outs[1], planes.stride(1));
    at.fill(NONE);
    for (row, (y, at)) in y.chunks_exact_mut(out_width).zip(at.chunks_exact_mut(out_width)).enumerate() {
        for line in planes.covered(0, row) {
            for tap in 0..planes.kernel()[1] {
                let (windows, start) = planes.inside(1, tap);
                // Where a tap lies left of all windows there are none, and the place stands for nothing.
                let mut place = (windows.start * stride).wrapping_add_signed(start).wrapping_add(line * width);
                for (best, best_at) in y[windows.clone()].iter_mut().zip(&mut at[windows]) {
                    let value = x[place];
                    let takes = *best_at == NONE || leads(value, *best);
                    *best = if takes { value } else { *best };
                    *best_at = if takes { place as u32 } else { *best_at };
                    place += stride;
                }
            }
        }
    }
}

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(inputs)?;
        let shape = self.settings.output(&inputs[0].shape)?;
        Ok(vec![TensorType::f32(&shape), TensorType { shape, dtype: DType::I32 }])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let Some(g) = cx.cotangents[0] else { return Cotangents::ends(1) };
        let op = MaxPoolBackward { settings: self.settings, shape: cx.inputs[0].shape() };
        Cotangents::one(g.graph().record(op, &[cx.outputs[1], g]))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        super::pool::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let (x, y) = (&cx.inputs[0].shape, &cx.outputs[0].shape);
        let planes = self.settings.planes(x, y);
        let host = HostKernel::new(move |inputs, outputs| {
            let [y, at] = outputs else { return };
            let size = planes.out_size();
            let outs = y.par_chunks_mut(size).zip(at.par_chunks_mut(size));
            inputs[0].par_chunks(planes.size()).zip(outs).for_each(|(x, (y, at))| {
                greatest_of_plane(&planes, bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y), at);
            });
        });
        let text = Text::new(include_str!("../../shaders/max_pool.wgsl"), &[&libraries::NUMBERS]);
        self.settings.lower("max_pool", text, [x, y, y], cx.class, &["x"], &["y", "at"], host)
    }
    fn attributes(&self) -> Attributes {
        self.settings.attributes()
    }
}

/// Why arrays of the results fit their shapes.
const FITS: &str = "one number was made per window";

impl Reference for MaxPool {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let x = inputs[0].real();
        let shape: Shape = x.shape().into();
        let out = self.settings.output(&shape).expect("the shape rule was checked when the op was recorded");
        let planes = self.settings.planes(&shape, &out);
        let elements: Vec<T> = x.iter().copied().collect();
        let (mut y, mut at) = (vec![T::zero(); out.elements()], vec![0; out.elements()]);
        for (number, x) in elements.chunks_exact(planes.size()).enumerate() {
            greatest(&planes, x, |window, value, place| {
                let to = number * planes.out_size() + window;
                (y[to], at[to]) = (value, place as i32);
            });
        }
        vec![
            Value::Real(ArrayD::from_shape_vec(IxDyn(&out), y).expect(FITS)),
            Value::I32(ArrayD::from_shape_vec(IxDyn(&out), at).expect(FITS)),
        ]
    }
}

/// From where the greatest elements stand, and their gradients, to the gradient of the input.
#[derive(Clone, Debug)]
struct MaxPoolBackward {
    settings: PoolSettings,
    shape: Shape,
}

impl Op for MaxPoolBackward {
    fn name(&self) -> &'static str {
        "max_pool2d_backward"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::integers(inputs[0])?;
        super::elementwise::floats(&inputs[1..])?;
        super::elementwise::same_shapes(inputs)?;
        Ok(vec![TensorType::f32(&self.shape)])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        // The gradient of g: what stands at its place.
        let (at, c) = (cx.inputs[0], cx.cotangent());
        let size = |shape: &Shape| shape[shape.rank() - 2..].iter().product::<usize>();
        let (out, planes) = (at.shape(), self.shape.elements() / size(&self.shape));
        let lines = c.reshape([planes, size(&self.shape)]);
        let taken = lines.gather(1, at.reshape([planes, size(&out)])).reshape(out);
        Cotangents::Inputs(vec![None, Some(taken)])
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
            let g: &[f32] = bytemuck::cast_slice(inputs[1]);
            let size = planes.out_size();
            let ins = inputs[0].par_chunks(size).zip(g.par_chunks(size));
            outputs[0].par_chunks_mut(planes.size()).zip(ins).for_each(|(dx, (at, g))| {
                let dx: &mut [f32] = bytemuck::cast_slice_mut(dx);
                dx.fill(0.0);
                at.iter().zip(g).for_each(|(&place, &g)| dx[place as usize] += g);
            });
        });
        let text = Text::new(include_str!("../../shaders/max_pool_backward.wgsl"), &[]);
        let shapes = [&self.shape, &cx.inputs[0].shape, &self.shape];
        self.settings.lower("max_pool_backward", text, shapes, cx.class, &["at", "g"], &["dx"], host)
    }
    fn attributes(&self) -> Attributes {
        self.settings.attributes().with("shape", &self.shape[..])
    }
}

impl Reference for MaxPoolBackward {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (at, g) = (inputs[0].integers(), inputs[1].real());
        let planes = self.settings.planes(&self.shape, &at.shape().into());
        let mut dx = vec![T::zero(); self.shape.elements()];
        for (window, (&place, &g)) in at.iter().zip(g).enumerate() {
            let to = window / planes.out_size() * planes.size() + place as usize;
            dx[to] = dx[to] + g;
        }
        let dx = ArrayD::from_shape_vec(IxDyn(&self.shape), dx).expect("one number was made per element");
        vec![Value::Real(dx)]
    }
}

impl Tensor<'_> {
    /// The greatest element of every window over the last two axes, `[.., height, width]`. Of equal elements the gradient
    /// goes to the first; NaN counts as greater than all. Padding never wins.
    #[must_use]
    #[track_caller]
    pub fn max_pool2d(self, settings: PoolSettings) -> Self {
        self.graph.record_outputs(MaxPool { settings }, &[self], 2)[0]
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::new(shape, Draw::Distinct { low: -2.0, high: 2.0 })];
    vec![
        Case::new("plain", input(&[2, 3, 6, 8]), |x| x[0].max_pool2d(PoolSettings::new(2)).sin()),
        Case::new("overlapping, padded", input(&[2, 2, 7, 5]), |x| {
            x[0].max_pool2d(PoolSettings::new(3).stride(2).padding(1)).sin()
        }),
        Case::new("dilated", input(&[1, 2, 9, 9]), |x| {
            x[0].max_pool2d(PoolSettings::new(3).stride(1).dilation(2)).sin()
        }),
        Case::new("with a rest", input(&[3, 7, 11]), |x| x[0].max_pool2d(PoolSettings::of([2, 3])).sin()),
        Case::new("narrower than the window", input(&[2, 3, 1]), |x| {
            let settings = PoolSettings { padding: [0, 2], ..PoolSettings::of([1, 5]).stride(1) };
            x[0].max_pool2d(settings).sin()
        }),
        Case::new("large windows", input(&[1, 130, 260]), |x| x[0].max_pool2d(PoolSettings::new(130)).sin())
            .value_only(),
        Case::new("of a view", input(&[6, 4]), |x| x[0].transpose().max_pool2d(PoolSettings::new(2)).sin()),
        Case::new("equal ones", vec![CaseInput::new([4, 9, 9], Draw::Mask)], |x| {
            x[0].to_f32().max_pool2d(PoolSettings::new(3).stride(2).padding(1))
        })
        .value_only(),
    ]
}
