//! What pooling ops have in common: windows over the last two axes.

use super::elements;
use super::window::{fits, out_extent};
use crate::base::{Shape, TensorType};
use crate::record::{Attributes, Domain, HostKernel, KernelClass, Lowering, Op, Text};
use std::ops::Range;

/// How a pooling op is computed part by part: every plane by itself.
pub(super) fn domain(op: &dyn Op, inputs: &[&TensorType]) -> Option<Domain> {
    let outputs = op.outputs(inputs).ok()?;
    Some(Domain::of_leading(inputs[0].shape.rank() - 2, inputs, &outputs.iter().collect::<Vec<_>>()))
}

/// How a pooling window moves over the last two axes. All extents are in elements.
///
/// ```
/// use retrograd::ops::PoolSettings;
/// let settings = PoolSettings::new(3).stride(2).padding(1);
/// assert_eq!((settings.kernel, settings.stride), ([3, 3], [2, 2]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// How far it moves at a time.
    pub stride: [usize; 2],
    /// How far it reaches past the edges, at most half of the window.
    pub padding: [usize; 2],
    /// How far apart its elements lie.
    pub dilation: [usize; 2],
}

impl PoolSettings {
    /// A square window that moves by its own size, without padding.
    #[must_use]
    pub const fn new(kernel: usize) -> Self {
        Self::of([kernel, kernel])
    }

    /// A window of this height and width that moves by its own size, without padding.
    #[must_use]
    pub const fn of(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: kernel, padding: [0; 2], dilation: [1; 2] }
    }

    /// The same stride along both axes.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// The same padding along both axes.
    #[must_use]
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 2], ..self }
    }

    /// The same dilation along both axes.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        Self { dilation: [dilation; 2], ..self }
    }

    /// The shape of the result, or why there is none.
    pub(super) fn output(&self, x: &Shape) -> Result<Shape, String> {
        if x.rank() < 2 {
            return Err(format!("it needs at least two axes, height and width, and {x} has {}", x.rank()));
        }
        let mut extents = x.to_vec();
        for axis in 0..2 {
            let place = x.rank() - 2 + axis;
            let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
            let (padding, dilation) = (self.padding[axis], self.dilation[axis]);
            if kernel == 0 {
                return Err("a window needs at least one element, and its extent is 0".into());
            }
            fits(x[place], kernel, stride, padding, dilation, false)
                .map_err(|reason| format!("along axis {place}: {reason}"))?;
            if padding > 0 && dilation > x[place] {
                return Err(format!(
                    "dilation {dilation} with padding {padding} leaves windows that cover nothing of the extent {} of axis \
                     {place}: use a smaller dilation, or no padding",
                    x[place]
                ));
            }
            if 2 * padding > kernel {
                return Err(format!("padding {padding} is more than half of the window's extent {kernel}"));
            }
            extents[place] = out_extent(x[place] + 2 * padding, kernel, stride, dilation);
        }
        if self.iterations() > elements::LONGEST_LOOP {
            return Err(format!(
                "a window of {} x {} elements is larger than its kernels take, some {} elements: pool in two steps, or take \
                 `mean` or `amax` along axes",
                self.kernel[0],
                self.kernel[1],
                elements::LONGEST_LOOP
            ));
        }
        Ok(extents.into())
    }

    /// Iterations of the loops over a window, those that begin one included.
    const fn iterations(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1].saturating_add(1)).saturating_add(1)
    }

    pub(super) fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("kernel", self.kernel)
            .with("stride", self.stride)
            .with("padding", self.padding)
            .with("dilation", self.dilation)
    }

    /// The kernel over the elements of `over`, with the sizes of the windows.
    #[allow(clippy::too_many_arguments)] // the sizes, and what every kernel of elements is made of
    pub(super) fn lower(
        &self,
        name: &'static str,
        text: Text,
        [x, y, over]: [&Shape; 3],
        class: KernelClass,
        loads: &[&'static str],
        stores: &[&'static str],
        host: HostKernel,
    ) -> Lowering {
        let of = |shape: &Shape, axis: usize| shape[shape.rank() - 2 + axis];
        let text = text
            .unsigned("HEIGHT", of(x, 0))
            .unsigned("WIDTH", of(x, 1))
            .unsigned("OUT_HEIGHT", of(y, 0))
            .unsigned("OUT_WIDTH", of(y, 1))
            .unsigned("KERNEL_HEIGHT", self.kernel[0])
            .unsigned("KERNEL_WIDTH", self.kernel[1])
            .unsigned("STRIDE_HEIGHT", self.stride[0])
            .unsigned("STRIDE_WIDTH", self.stride[1])
            .unsigned("PADDING_HEIGHT", self.padding[0])
            .unsigned("PADDING_WIDTH", self.padding[1])
            .unsigned("DILATION_HEIGHT", self.dilation[0])
            .unsigned("DILATION_WIDTH", self.dilation[1]);
        elements::lower(name, text, over.elements(), self.iterations(), class, loads, stores, host)
    }

    /// The sizes of planes and windows.
    pub(super) fn planes(&self, x: &Shape, y: &Shape) -> Planes {
        let of = |shape: &Shape| [shape[shape.rank() - 2], shape[shape.rank() - 1]];
        Planes { settings: *self, extents: of(x), outs: of(y) }
    }
}

/// Windows over planes, on the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    settings: PoolSettings,
    /// Height and width of a plane.
    pub extents: [usize; 2],
    /// Height and width of its result.
    pub outs: [usize; 2],
}

impl Planes {
    /// Elements of a plane.
    pub fn size(&self) -> usize {
        self.extents[0] * self.extents[1]
    }

    /// Elements of its result.
    pub fn out_size(&self) -> usize {
        self.outs[0] * self.outs[1]
    }

    /// The places that a window covers along an axis, those past the edges left out.
    pub fn covered(&self, axis: usize, window: usize) -> impl Iterator<Item = usize> + use<> {
        let PoolSettings { kernel, stride, padding, dilation } = self.settings;
        let (extent, step, start) = (self.extents[axis], dilation[axis], window * stride[axis]);
        let padding = padding[axis];
        let taps: Range<usize> = 0..kernel[axis];
        taps.filter_map(move |tap| (start + tap * step).checked_sub(padding).filter(|&place| place < extent))
    }

    /// The windows along an axis whose tap of this number lies inside, and where that of the window 0 would lie.
    pub fn inside(&self, axis: usize, tap: usize) -> (Range<usize>, isize) {
        let PoolSettings { stride, padding, dilation, .. } = self.settings;
        let offset = tap * dilation[axis];
        let reached = |end: usize| end.saturating_sub(offset).div_ceil(stride[axis]).min(self.outs[axis]);
        (reached(padding[axis])..reached(self.extents[axis] + padding[axis]), offset as isize - padding[axis] as isize)
    }

    /// Height and width of a window.
    pub const fn kernel(&self) -> [usize; 2] {
        self.settings.kernel
    }

    /// How far a window moves along an axis.
    pub const fn stride(&self, axis: usize) -> usize {
        self.settings.stride[axis]
    }

    /// Calls `each` with the number of every window, and the places of its elements in the plane, in order.
    pub fn visit(&self, mut each: impl FnMut(usize, &mut dyn Iterator<Item = usize>)) {
        for row in 0..self.outs[0] {
            for column in 0..self.outs[1] {
                let width = self.extents[1];
                let mut places = self.covered(0, row).flat_map(|y| self.covered(1, column).map(move |x| y * width + x));
                each(row * self.outs[1] + column, &mut places);
            }
        }
    }
}
