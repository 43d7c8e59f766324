use crate::ops::{ConvSettings, divides};
use crate::record::{Init, Param, Params, Tensor};

/// The bound within which weights and biases start for so many channels and a kernel of these extents, as in `PyTorch`.
fn bound(channels: usize, kernel: &[usize]) -> Init {
    // In floats, as extents that overflow are refused where the weight is added.
    let inputs = kernel.iter().fold(channels as f64, |product, &extent| product * extent as f64);
    let bound = inputs.max(1.0).sqrt().recip();
    Init::Uniform(-bound, bound)
}

/// What convolution layers have in common.
#[derive(Clone, Debug)]
struct Kernel<const N: usize> {
    name: String,
    weight: Param,
    bias: Option<Param>,
    settings: ConvSettings<N>,
}

impl<const N: usize> Kernel<N> {
    #[track_caller]
    fn new(
        params: &mut Params,
        name: &str,
        [first, second]: [usize; 2],
        outs: usize,
        kernel: [usize; N],
        settings: ConvSettings<N>,
    ) -> Self {
        let bare = Self::without_bias(params, name, [first, second], kernel, settings);
        let bias = params.add(&format!("{name}.bias"), [outs], bound(second, &kernel));
        Self { bias: Some(bias), ..bare }
    }

    #[track_caller]
    fn without_bias(
        params: &mut Params,
        name: &str,
        [first, second]: [usize; 2],
        kernel: [usize; N],
        settings: ConvSettings<N>,
    ) -> Self {
        let shape: Vec<usize> = [first, second].into_iter().chain(kernel).collect();
        let weight = params.add(&format!("{name}.weight"), shape, bound(second, &kernel));
        Self { name: name.to_owned(), weight, bias: None, settings }
    }

    #[track_caller]
    fn shifted<'g>(&self, y: Tensor<'g>) -> Tensor<'g> {
        match &self.bias {
            Some(bias) => {
                let mut extents = vec![1; N + 1];
                extents[0] = bias.shape().elements();
                y + y.graph().param(bias).reshape(extents)
            }
            None => y,
        }
    }
}

/// Notes groups that do not divide the channels evenly, and gives the settings that a layer then goes on with: what uses it
/// adds no mistake of its own.
#[track_caller]
fn grouped<const N: usize>(
    params: &mut Params,
    name: &str,
    [inputs, outputs]: [usize; 2],
    settings: ConvSettings<N>,
) -> ConvSettings<N> {
    for (role, channels) in [("input", inputs), ("output", outputs)] {
        if let Err(reason) = divides(settings.groups, role, channels) {
            params.refuse(&format!("convolution `{name}`"), reason);
            return settings.groups(1);
        }
    }
    settings
}

macro_rules! convolution {
    ($(#[$about:meta])* $name:ident, $axes:literal, $method:ident) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $name(Kernel<$axes>);

        impl $name {
            /// From `inputs` channels to `outputs`, with stride 1 and no padding. Weight and bias start uniform within 1 /
            /// sqrt(channels times kernel elements), as in `PyTorch`.
            #[track_caller]
            pub fn new(params: &mut Params, name: &str, inputs: usize, outputs: usize, kernel: [usize; $axes]) -> Self {
                Self::with_settings(params, name, inputs, outputs, kernel, ConvSettings::new())
            }

            /// With stride, padding, dilation and groups.
            #[track_caller]
            pub fn with_settings(
                params: &mut Params,
                name: &str,
                inputs: usize,
                outputs: usize,
                kernel: [usize; $axes],
                settings: ConvSettings<$axes>,
            ) -> Self {
                let settings = grouped(params, name, [inputs, outputs], settings);
                let lead = [outputs, inputs / settings.groups];
                Self(Kernel::new(params, name, lead, outputs, kernel, settings))
            }

            /// Without a bias, which what follows may make useless, as batch normalization does.
            #[track_caller]
            pub fn without_bias(
                params: &mut Params,
                name: &str,
                inputs: usize,
                outputs: usize,
                kernel: [usize; $axes],
                settings: ConvSettings<$axes>,
            ) -> Self {
                let settings = grouped(params, name, [inputs, outputs], settings);
                let lead = [outputs, inputs / settings.groups];
                Self(Kernel::without_bias(params, name, lead, kernel, settings))
            }

            /// The weight, `[outputs, inputs / groups, kernel extents..]`.
            #[must_use]
            pub const fn weight(&self) -> &Param {
                &self.0.weight
            }

            /// The bias, `[outputs]`.
            #[must_use]
            pub const fn bias(&self) -> Option<&Param> {
                self.0.bias.as_ref()
            }
        }

        impl $name {
            /// `[batch, inputs, extents..]` to `[batch, outputs, extents..]`, whose extents are those that the kernel has places for.
            #[must_use]
            #[track_caller]
            pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
                let graph = x.graph();
                let _scope = graph.scope(&self.0.name);
                self.0.shifted(x.$method(graph.param(&self.0.weight), &self.0.settings))
            }
        }
    };
}

convolution! {
    /// A convolution along one axis: `[batch, inputs, length] -> [batch, outputs, length']`.
    Conv1d, 1, conv1d
}

convolution! {
    /// A convolution over images: `[batch, inputs, height, width] -> [batch, outputs, height', width']`.
    Conv2d, 2, conv2d
}

/// A transposed convolution over images, which makes them larger: `[batch, inputs, height, width] -> [batch, outputs,
/// height', width']`, an extent being (extent - 1) stride - 2 padding + dilation (kernel - 1) + output padding + 1.
#[derive(Clone, Debug)]
pub struct ConvTranspose2d {
    kernel: Kernel<2>,
    output_padding: [usize; 2],
}

impl ConvTranspose2d {
    /// From `inputs` channels to `outputs`.
    #[track_caller]
    pub fn new(
        params: &mut Params,
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: [usize; 2],
        settings: ConvSettings<2>,
    ) -> Self {
        let settings = grouped(params, name, [inputs, outputs], settings);
        let lead = [inputs, outputs / settings.groups];
        Self { kernel: Kernel::new(params, name, lead, outputs, kernel, settings), output_padding: [0; 2] }
    }

    /// With more rows and columns at the end: fewer than the stride, or than the dilation.
    #[must_use]
    pub fn output_padding(mut self, output_padding: [usize; 2]) -> Self {
        self.output_padding = output_padding;
        self
    }

    /// The weight, `[inputs, outputs / groups, kernel height, kernel width]`.
    #[must_use]
    pub const fn weight(&self) -> &Param {
        &self.kernel.weight
    }

    /// The bias, `[outputs]`.
    #[must_use]
    pub const fn bias(&self) -> Option<&Param> {
        self.kernel.bias.as_ref()
    }
}

impl ConvTranspose2d {
    /// `[batch, inputs, height, width]` to `[batch, outputs, height, width]`, larger by the stride.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let graph = x.graph();
        let _scope = graph.scope(&self.kernel.name);
        let weight = graph.param(&self.kernel.weight);
        self.kernel.shifted(x.conv_transpose2d(weight, &self.kernel.settings, self.output_padding))
    }
}
