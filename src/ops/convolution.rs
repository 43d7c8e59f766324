//! Convolution over any number of axes, in groups; its gradients are convolutions as well:
//!
//! y[n, o, p..] = sum over c, k.. of x[n, c, p stride + k dilation ..] w[o, c, k..], and for the gradient g of y
//! dw[o, c, k..] = sum over n, p.. of g[n, o, p..] x[n, c, p stride + k dilation ..], and
//! dx = the convolution of g, spread by the stride and surrounded by zeros, with w mirrored and its channels exchanged.
//!
//! All three are matrix products of tensors seen through windows: nothing is copied to make the windows on a GPU, and on
//! a CPU they are made block by block.
//! Source: Dumoulin, Visin, "A guide to convolution arithmetic for deep learning" (2016).

use super::elementwise::floats;
use super::pad::surround;
use super::window::{ConvSettings, out_extent};
use crate::base::{Real, Shape, TensorType, Value, View, Walk};
use crate::record::{
    Attributes, Case, CaseInput, Contraction, Cotangents, EvalContext, Factor, LowerContext, Lowering, Op, Reference,
    Tensor, Vjp,
};
use ndarray::{ArrayD, IxDyn};

/// Of an input that is padded already: `[n, groups * c, extents..]` with weights `[groups * o, c, kernel..]`.
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    pub groups: usize,
}

/// The sizes of a convolution.
struct Sizes {
    batch: usize,
    groups: usize,
    /// Channels of a group, in and out.
    channels: [usize; 2],
    kernel: Vec<usize>,
    out: Vec<usize>,
}

impl Convolution {
    fn sizes(&self, x: &Shape, w: &Shape) -> Sizes {
        let kernel = w[2..].to_vec();
        let axis = |axis: usize| out_extent(x[2 + axis], kernel[axis], self.stride[axis], self.dilation[axis]);
        let out = (0..kernel.len()).map(axis).collect();
        Sizes { batch: x[0], groups: self.groups, channels: [w[1], w[0] / self.groups], kernel, out }
    }

    /// How the input is walked along: the axes of a window, and those of its positions.
    fn windows(&self, sizes: &Sizes) -> (Vec<Walk>, Vec<Walk>) {
        let axes = 0..sizes.kernel.len();
        let within = axes.clone().map(|axis| Walk::new(2 + axis, self.dilation[axis], sizes.kernel[axis]));
        let positions = axes.map(|axis| Walk::new(2 + axis, self.stride[axis], sizes.out[axis]));
        (within.collect(), positions.collect())
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("stride", &self.stride).with("dilation", &self.dilation).with("groups", self.groups)
    }
}

fn factor(input: usize, batch: Vec<Walk>, first: Vec<Walk>, second: Vec<Walk>) -> Factor {
    let (batches, firsts) = (batch.len(), first.len());
    let walks = batch.into_iter().chain(first).chain(second).collect();
    Factor { input, view: Some(View::Walk(walks)), batch: batches, first: firsts }
}

impl Op for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        floats(inputs)?;
        let sizes = self.sizes(&inputs[0].shape, &inputs[1].shape);
        let lead = [sizes.batch, sizes.groups * sizes.channels[1]];
        Ok(vec![TensorType::f32(lead.into_iter().chain(sizes.out).collect::<Vec<_>>())])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (x, w, g) = (cx.inputs[0], cx.inputs[1], cx.cotangent());
        let dx = self.input_gradient(g, w, &x.shape()[2..]);
        let kernel = w.shape()[2..].to_vec();
        let dw = g.graph().record(WeightGradient { convolution: self.clone(), kernel }, &[g, x]);
        Cotangents::two(dx, dw)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let sizes = self.sizes(&cx.inputs[0].shape, &cx.inputs[1].shape);
        let [channels, outs] = sizes.channels;
        let (within, positions) = self.windows(&sizes);
        let taps = (0..sizes.kernel.len()).map(|axis| Walk::new(2 + axis, 1, sizes.kernel[axis]));
        let inner: Vec<Walk> = [Walk::new(1, 1, channels)].into_iter().chain(taps).collect();
        let a = factor(
            1,
            vec![Walk::new(0, 0, sizes.batch), Walk::new(0, outs, sizes.groups)],
            vec![Walk::new(0, 1, outs)],
            inner,
        );
        let inner = [Walk::new(1, 1, channels)].into_iter().chain(within).collect();
        let b = factor(0, vec![Walk::new(0, 1, sizes.batch), Walk::new(1, channels, sizes.groups)], inner, positions);
        Lowering::Contract(Contraction { a, b })
    }
    fn attributes(&self) -> Attributes {
        self.attributes()
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        let (x, w) = (inputs[0], inputs[1]);
        let sizes = self.sizes(&x.shape(), &w.shape());
        let [channels, outs] = sizes.channels;
        let spatial = sizes.kernel.len();
        let mut windows = x;
        for axis in 0..spatial {
            windows = windows.unfold((2 + axis) as isize, sizes.kernel[axis], self.stride[axis], self.dilation[axis]);
        }
        // [n, channels, positions.., kernel..] to [n, groups, channel and kernel, positions].
        let order = [0, 1].into_iter().chain(2 + spatial..2 + 2 * spatial).chain(2..2 + spatial);
        let taps: usize = sizes.kernel.iter().product();
        let places: usize = sizes.out.iter().product();
        let columns = windows.permute(order.map(|axis| axis as isize).collect::<Vec<_>>()).reshape([
            sizes.batch,
            sizes.groups,
            channels * taps,
            places,
        ]);
        let rows = w.reshape([1, sizes.groups, outs, channels * taps]);
        let shape = [sizes.batch, sizes.groups * outs].into_iter().chain(sizes.out).collect::<Vec<_>>();
        Some(vec![rows.matmul(columns).reshape(shape)])
    }
}

impl Convolution {
    /// The gradient of an input with these extents, from that of the output: as all convolutions, a gather.
    #[track_caller]
    pub fn input_gradient<'g>(&self, g: Tensor<'g>, w: Tensor<'g>, extents: &[usize]) -> Tensor<'g> {
        let _here = g.graph().here();
        let (shape, w_shape) = (g.shape(), w.shape());
        let spatial = extents.len();
        let (mut before, mut after, mut steps) = (vec![0; 2], vec![0; 2], vec![1; 2]);
        for (axis, &extent) in extents.iter().enumerate() {
            let reach = self.dilation[axis] * (w_shape[2 + axis] - 1);
            let covered = (shape[2 + axis] - 1) * self.stride[axis] + 1 + reach;
            before.push(reach);
            // What no window reached gets no gradient.
            after.push(reach + extent - covered);
            steps.push(self.stride[axis]);
        }
        let spread = surround(g, before, after, steps);
        let (outs, channels) = (w_shape[0] / self.groups, w_shape[1]);
        let kernel = &w_shape[2..];
        let axes: Vec<isize> = (0..spatial).map(|axis| 2 + axis as isize).collect();
        let mirrored = w.flip(&axes[..]);
        let exchanged = if self.groups == 1 {
            mirrored.swap_axes(0, 1)
        } else {
            let split: Vec<usize> = [self.groups, outs, channels].iter().chain(kernel).copied().collect();
            let order: Vec<isize> = [0, 2, 1].into_iter().chain((0..spatial).map(|axis| 3 + axis as isize)).collect();
            let joined: Vec<usize> = [self.groups * channels, outs].iter().chain(kernel).copied().collect();
            mirrored.reshape(split).permute(order).reshape(joined)
        };
        let op = Self { stride: vec![1; spatial], dilation: self.dilation.clone(), groups: self.groups };
        g.graph().record(op, &[spread, exchanged])
    }
}

impl Reference for Convolution {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (x, w) = (inputs[0].real(), inputs[1].real());
        let sizes = self.sizes(&x.shape().into(), &w.shape().into());
        let [channels, outs] = sizes.channels;
        let shape: Vec<usize> = [sizes.batch, sizes.groups * outs].into_iter().chain(sizes.out).collect();
        let value = |at: IxDyn| {
            let mut sum = T::zero();
            for (tap, &weight) in w.index_axis(ndarray::Axis(0), at[1]).indexed_iter() {
                let mut place = vec![at[0], at[1] / outs * channels + tap[0]];
                for axis in 0..self.stride.len() {
                    place.push(at[2 + axis] * self.stride[axis] + tap[1 + axis] * self.dilation[axis]);
                }
                sum = sum + weight * x[IxDyn(&place)];
            }
            sum
        };
        vec![Value::Real(ArrayD::from_shape_fn(IxDyn(&shape), value))]
    }
}

/// From the gradient of a convolution's output, and its input, to the gradient of its weights.
#[derive(Clone, Debug)]
struct WeightGradient {
    convolution: Convolution,
    kernel: Vec<usize>,
}

impl WeightGradient {
    fn weight_shape(&self, x: &Shape, g: &Shape) -> Shape {
        let lead = [g[1], x[1] / self.convolution.groups];
        lead.into_iter().chain(self.kernel.iter().copied()).collect::<Vec<_>>().into()
    }
}

impl Op for WeightGradient {
    fn name(&self) -> &'static str {
        "convolution_weight_gradient"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        floats(inputs)?;
        Ok(vec![TensorType::f32(self.weight_shape(&inputs[1].shape, &inputs[0].shape))])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        // It is linear in both, as the convolution is.
        let (g, x, c) = (cx.inputs[0], cx.inputs[1], cx.cotangent());
        let dx = self.convolution.input_gradient(g, c, &x.shape()[2..]);
        Cotangents::two(g.graph().record(self.convolution.clone(), &[x, c]), dx)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let (g, x) = (&cx.inputs[0].shape, &cx.inputs[1].shape);
        let sizes = self.convolution.sizes(x, &self.weight_shape(x, g));
        let [channels, outs] = sizes.channels;
        let (within, positions) = self.convolution.windows(&sizes);
        let places = (0..sizes.out.len()).map(|axis| Walk::new(2 + axis, 1, sizes.out[axis]));
        let inner = [Walk::new(0, 1, sizes.batch)].into_iter().chain(places).collect();
        let a = factor(0, vec![Walk::new(1, outs, sizes.groups)], vec![Walk::new(1, 1, outs)], inner);
        let b = factor(
            1,
            vec![Walk::new(1, channels, sizes.groups)],
            [Walk::new(0, 1, sizes.batch)].into_iter().chain(positions).collect(),
            [Walk::new(1, 1, channels)].into_iter().chain(within).collect(),
        );
        Lowering::Contract(Contraction { a, b })
    }
    fn attributes(&self) -> Attributes {
        self.convolution.attributes().with("kernel", &self.kernel)
    }
}

impl Reference for WeightGradient {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (g, x) = (inputs[0].real(), inputs[1].real());
        let shape = self.weight_shape(&x.shape().into(), &g.shape().into());
        let Convolution { stride, dilation, groups } = &self.convolution;
        let (channels, outs) = (shape[1], shape[0] / groups);
        let value = |at: IxDyn| {
            let mut sum = T::zero();
            for (place, &gradient) in g.index_axis(ndarray::Axis(1), at[0]).indexed_iter() {
                let mut from = vec![place[0], at[0] / outs * channels + at[1]];
                for axis in 0..stride.len() {
                    from.push(place[1 + axis] * stride[axis] + at[2 + axis] * dilation[axis]);
                }
                sum = sum + gradient * x[IxDyn(&from)];
            }
            sum
        };
        vec![Value::Real(ArrayD::from_shape_fn(IxDyn(&shape), value))]
    }
}

impl Tensor<'_> {
    /// The convolution, without mirroring as is usual, of images `[batch, channels, height, width]` with weights `[out
    /// channels, channels / groups, kernel height, kernel width]`: `[batch, out channels, out height, out width]`.
    /// An extent of the output is (extent + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.
    #[must_use]
    #[track_caller]
    pub fn conv2d(self, weight: Self, settings: &ConvSettings<2>) -> Self {
        self.convolved("conv2d", weight, settings)
    }

    /// As [`conv2d`](Self::conv2d) along one axis: signals `[batch, channels, length]`, weights `[out channels,
    /// channels / groups, kernel length]`.
    #[must_use]
    #[track_caller]
    pub fn conv1d(self, weight: Self, settings: &ConvSettings<1>) -> Self {
        self.convolved("conv1d", weight, settings)
    }

    /// As [`conv2d`](Self::conv2d) along three axes: volumes `[batch, channels, depth, height, width]`.
    #[must_use]
    #[track_caller]
    pub fn conv3d(self, weight: Self, settings: &ConvSettings<3>) -> Self {
        self.convolved("conv3d", weight, settings)
    }

    #[track_caller]
    fn convolved<const N: usize>(self, name: &str, weight: Self, settings: &ConvSettings<N>) -> Self {
        let _here = self.graph.here();
        let (x, w) = (self.shape(), weight.shape());
        if let Err(reason) = settings.check(&x, &w, false) {
            return self.graph.fault(name, &[self, weight], reason);
        }
        let padding = settings.padding.to_vec();
        let before: Vec<usize> = [0, 0].into_iter().chain(padding).collect();
        let padded = surround(self, before.clone(), before, vec![1; N + 2]);
        let op = Convolution {
            stride: settings.stride.to_vec(),
            dilation: settings.dilation.to_vec(),
            groups: settings.groups,
        };
        self.graph.record(op, &[padded, weight])
    }

    /// The transposed convolution of `[batch, channels, height, width]` with weights `[channels, out channels / groups,
    /// kernel height, kernel width]`: what turns a convolution's output gradient into its input gradient, used forwards.
    /// An extent of the output is (extent - 1) stride - 2 padding + dilation (kernel - 1) + `output_padding` + 1, where
    /// `output_padding` is below stride or dilation.
    #[must_use]
    #[track_caller]
    pub fn conv_transpose2d(self, weight: Self, settings: &ConvSettings<2>, output_padding: [usize; 2]) -> Self {
        self.convolved_back("conv_transpose2d", weight, settings, output_padding)
    }

    /// As [`conv_transpose2d`](Self::conv_transpose2d) along one axis.
    #[must_use]
    #[track_caller]
    pub fn conv_transpose1d(self, weight: Self, settings: &ConvSettings<1>, output_padding: [usize; 1]) -> Self {
        self.convolved_back("conv_transpose1d", weight, settings, output_padding)
    }

    #[track_caller]
    fn convolved_back<const N: usize>(
        self,
        name: &str,
        weight: Self,
        settings: &ConvSettings<N>,
        output_padding: [usize; N],
    ) -> Self {
        let _here = self.graph.here();
        let (x, w) = (self.shape(), weight.shape());
        let ConvSettings { stride, padding, dilation, groups } = settings.clone();
        let check = || {
            settings.check(&x, &w, true)?;
            for axis in 0..N {
                if output_padding[axis] >= stride[axis].max(dilation[axis]) {
                    return Err(format!(
                        "output padding {} must be below the stride {} or the dilation {}",
                        output_padding[axis], stride[axis], dilation[axis]
                    ));
                }
                let full = (x[2 + axis] - 1) * stride[axis] + dilation[axis] * (w[2 + axis] - 1) + 1;
                if full + output_padding[axis] <= 2 * padding[axis] {
                    return Err(format!("padding {} leaves nothing of {full} elements", padding[axis]));
                }
            }
            Ok(())
        };
        if let Err(reason) = check() {
            return self.graph.fault(name, &[self, weight], reason);
        }
        let op = Convolution { stride: stride.to_vec(), dilation: dilation.to_vec(), groups };
        let extents: Vec<usize> = (0..N)
            .map(|axis| {
                (x[2 + axis] - 1) * stride[axis] + dilation[axis] * (w[2 + axis] - 1) + 1 + output_padding[axis]
            })
            .collect();
        let mut y = op.input_gradient(self, weight, &extents);
        for (axis, &extent) in extents.iter().enumerate() {
            if padding[axis] > 0 {
                y = y.slice((2 + axis) as isize, padding[axis]..extent - padding[axis]);
            }
        }
        y
    }
}

pub(super) fn cases() -> Vec<Case> {
    let of = |x: &[usize], w: &[usize]| vec![CaseInput::uniform(x, -1.0, 1.0), CaseInput::uniform(w, -1.0, 1.0)];
    let plain = ConvSettings::new;
    vec![
        Case::new("plain", of(&[2, 3, 7, 6], &[4, 3, 3, 2]), move |x| x[0].conv2d(x[1], &plain())),
        Case::new("padded", of(&[2, 3, 5, 5], &[5, 3, 3, 3]), move |x| x[0].conv2d(x[1], &plain().padding(1))),
        Case::new("strided, with a rest", of(&[1, 2, 8, 11], &[3, 2, 3, 3]), move |x| {
            x[0].conv2d(x[1], &plain().strides([2, 3]).padding(1))
        }),
        Case::new("dilated", of(&[2, 2, 9, 8], &[3, 2, 3, 2]), move |x| {
            x[0].conv2d(x[1], &plain().dilation(2).paddings([2, 0]))
        }),
        Case::new("groups", of(&[2, 6, 5, 4], &[9, 2, 2, 3]), move |x| {
            x[0].conv2d(x[1], &plain().groups(3).padding(1).strides([2, 1]))
        }),
        Case::new("depthwise", of(&[1, 5, 6, 7], &[5, 1, 3, 3]), move |x| x[0].conv2d(x[1], &plain().groups(5))),
        Case::new("one by one", of(&[3, 4, 3, 3], &[5, 4, 1, 1]), move |x| x[0].conv2d(x[1], &plain())),
        Case::new("as large as the image", of(&[3, 2, 4, 4], &[5, 2, 4, 4]), move |x| x[0].conv2d(x[1], &plain())),
        Case::new("of a view", of(&[5, 6, 2, 3], &[3, 3, 2, 2]), move |x| {
            x[0].permute([2, 3, 0, 1]).conv2d(x[1].flip(0), &plain())
        }),
        Case::new("many channels and images", of(&[9, 16, 9, 9], &[33, 16, 3, 3]), move |x| {
            x[0].conv2d(x[1], &plain().padding(1)) * 0.1
        }),
        Case::new("signals", of(&[2, 3, 65], &[4, 3, 5]), |x| {
            x[0].conv1d(x[1], &ConvSettings::new().stride(2).padding(2))
        }),
        Case::new("volumes", of(&[1, 2, 4, 5, 3], &[3, 2, 2, 3, 2]), |x| {
            x[0].conv3d(x[1], &ConvSettings::new().padding(1))
        }),
        Case::new("transposed", of(&[2, 3, 4, 5], &[3, 4, 3, 3]), move |x| {
            x[0].conv_transpose2d(x[1], &plain().stride(2).padding(1), [1, 0])
        }),
        Case::new("transposed, groups", of(&[2, 4, 3, 3], &[4, 3, 2, 2]), move |x| {
            x[0].conv_transpose2d(x[1], &plain().groups(2).dilation(2), [0, 0])
        }),
        Case::new("transposed signals", of(&[2, 3, 7], &[3, 2, 4]), |x| {
            x[0].conv_transpose1d(x[1], &ConvSettings::new().stride(3), [2])
        }),
    ]
}
