//! Tensors read as images.
//!
//! Where shaders run on a CPU, a load from a storage buffer is a loop over the lanes of a SIMD register, with a check
//! for each: some 200 nanoseconds for a `vec4`. A texel is fetched by straight-line code instead, five to ten times
//! as fast. So kernels for such adapters read what they load often from a copy of it in a texture, row by row of
//! [`WIDTH`] texels, each of four elements. The copy itself costs about as much as copying memory does.

use crate::base::DType;
use crate::record::KernelClass;

/// Texels of a row. A row takes 16 KiB, a multiple of the 256 bytes that copies need.
pub const WIDTH: usize = 1024;
/// Most rows of an image, as every WebGPU device has.
pub const ROWS: u32 = 8192;
/// Most elements of an image, which is also a binding of 128 MiB.
pub const LARGEST: usize = ROWS as usize * WIDTH * 4;
/// Most images of one kernel, as every device binds.
pub const MOST: usize = 16;

/// From how many loads of a tensor on an image is faster for this class of devices, the copy included.
#[must_use]
pub const fn worthwhile(class: KernelClass) -> usize {
    match class {
        KernelClass::Cpu | KernelClass::Subgroup => 4096,
        KernelClass::Gpu | KernelClass::Host => usize::MAX,
    }
}

/// The declaration of an image, with functions that load one element, or four neighbours.
pub fn declaration(binding: usize, name: &str, dtype: DType) -> String {
    format!(
        "@group(0) @binding({binding}) var {name}: texture_2d<{dtype}>;\n\n\
         fn {name}_four(four: u32) -> vec4<{dtype}> {{\n    \
         return textureLoad({name}, vec2<u32>(four % {WIDTH}u, four / {WIDTH}u), 0);\n}}\n\n\
         fn {name}_one(index: u32) -> {dtype} {{\n    \
         return {name}_four(index / 4u)[index % 4u];\n}}\n\n"
    )
}
