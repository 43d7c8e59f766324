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

/// A pointwise function on the host: computes a block of elements, as 32-bit words.
#[derive(Clone)]
pub struct HostFunction(Arc<dyn Fn(&HostBlock<'_>, &mut [u32]) + Send + Sync>);

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

    /// A function of one float, compiled for the vector units that this machine has.
    pub fn unary(function: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Self {
        Self::new(move |block, out| {
            let (x, out) = (block.floats(0), bytemuck::cast_slice_mut::<u32, f32>(out));
            pulp::Arch::new().dispatch(|| {
                for (y, &x) in out.iter_mut().zip(x) {
                    *y = function(x);
                }
            });
        })
    }

    /// A function of two floats, compiled for the vector units that this machine has.
    pub fn binary(function: impl Fn(f32, f32) -> f32 + Send + Sync + 'static) -> Self {
        Self::new(move |block, out| {
            let (a, b, out) = (block.floats(0), block.floats(1), bytemuck::cast_slice_mut::<u32, f32>(out));
            pulp::Arch::new().dispatch(|| {
                for ((y, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *y = function(a, b);
                }
            });
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
