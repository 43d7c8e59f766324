//! Pointwise functions on the host, over blocks of elements.

use std::fmt;
use std::sync::Arc;

/// A block of elements for a [`HostFunction`].
#[derive(Clone, Copy, Debug)]
pub struct HostBlock<'a> {
    /// The elements of every argument as 32-bit words, in the order of the op's arguments; empty for the seed.
    pub arguments: &'a [&'a [u32]],
    /// The key of the step's random streams.
    pub seed: [u32; 2],
}

impl<'a> HostBlock<'a> {
    /// An argument that holds floats.
    #[must_use]
    pub fn floats(&self, argument: usize) -> &'a [f32] {
        bytemuck::cast_slice(self.arguments[argument])
    }
}

/// A kernel on the host: computes all outputs of an op from its inputs, which are dense.
#[derive(Clone)]
pub struct HostKernel(Arc<KernelFunction>);

type KernelFunction = dyn Fn(&[&[u32]], &mut [&mut [u32]]) + Send + Sync;

impl fmt::Debug for HostKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKernel")
    }
}

impl HostKernel {
    /// Any function from the elements of all inputs to those of all outputs, as 32-bit words.
    pub fn new(function: impl Fn(&[&[u32]], &mut [&mut [u32]]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    /// Computes the outputs.
    pub fn call(&self, inputs: &[&[u32]], outputs: &mut [&mut [u32]]) {
        (self.0)(inputs, outputs);
    }
}

/// A pointwise function on the host: computes a block of elements, as 32-bit words.
#[derive(Clone)]
pub struct HostFunction(Arc<BlockFunction>);

type BlockFunction = dyn Fn(&HostBlock<'_>, &mut [u32]) + Send + Sync;

/// A function of `N` floats. Its `call` should be marked `#[inline(always)]`: only then does it become vector code.
pub trait ScalarFunction<const N: usize>: Send + Sync + 'static {
    /// The result.
    fn call(&self, arguments: [f32; N]) -> f32;
}

/// A loop over elements, which is compiled once for every kind of vector unit.
struct Elements<'a, F, const N: usize> {
    function: &'a F,
    arguments: [&'a [f32]; N],
    out: &'a mut [f32],
}

impl<F: ScalarFunction<N>, const N: usize> pulp::WithSimd for Elements<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for (place, y) in self.out.iter_mut().enumerate() {
            *y = self.function.call(std::array::from_fn(|number| self.arguments[number][place]));
        }
    }
}

impl fmt::Debug for HostFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostFunction")
    }
}

impl HostFunction {
    /// Any function of a block.
    pub fn new(function: impl Fn(&HostBlock<'_>, &mut [u32]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    /// A function of floats, compiled for the vector units that this machine has.
    pub fn scalar<const N: usize>(function: impl ScalarFunction<N>) -> Self {
        Self::new(move |block, out| {
            let out = bytemuck::cast_slice_mut::<u32, f32>(out);
            let arguments = std::array::from_fn(|number| &block.floats(number)[..out.len()]);
            pulp::Arch::new().dispatch(Elements { function: &function, arguments, out });
        })
    }

    /// The first argument itself.
    #[must_use]
    pub fn first() -> Self {
        Self::new(|block, out| out.copy_from_slice(block.arguments[0]))
    }

    /// Computes a block.
    pub fn call(&self, block: &HostBlock<'_>, out: &mut [u32]) {
        (self.0)(block, out);
    }
}
