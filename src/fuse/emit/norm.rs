//! The global norm of gradients.

use super::{Usage, image};
use crate::base::DType;
use crate::record::{Text, libraries};

/// Most workgroups that add up one run of gradients, each to a sum of its own: few enough that one workgroup adds these,
/// and their loops stay far below the 65,535 iterations after which software adapters stop.
pub const MOST_SUMS: usize = 256;
/// Vectors that a workgroup adds at least, four for each of its invocations.
const FEWEST_VECTORS: usize = 256;

/// A kernel that adds up numbers, or their squares.
pub struct Sums {
    /// The shader.
    pub wgsl: String,
    /// How it reads the numbers.
    pub reads: Usage,
    /// How many sums it writes: one for every workgroup.
    pub count: usize,
}

/// The kernel that adds up the squares of `length` elements, a multiple of 4; in one workgroup where that is wanted, and
/// then it takes the root. From a length of `images` on, they are read as an image.
///
/// # Errors
/// When the shader file lacks what is to be replaced, a defect of this library.
pub fn squares(length: usize, alone: bool, images: usize) -> Result<Sums, String> {
    let run = if alone { length / 4 } else { (length / 4).div_ceil(MOST_SUMS).max(FEWEST_VECTORS) };
    let text = if alone { text(length, run) } else { text(length, run).function("finish", identity("f32", "finish")) };
    let (text, reads) = if (images..=image::LARGEST).contains(&length) {
        let load = "fn load_x(index: u32) -> vec4<f32> {\n    return x_four(index);\n}";
        let declaration = image::declaration(0, "x", DType::F32);
        (text.declared("x", declaration).function("load_x", load.into()), Usage::Image(DType::F32))
    } else {
        (text, Usage::Read)
    };
    Ok(Sums { wgsl: text.assemble()?, reads, count: (length / 4).div_ceil(run.max(1)) })
}

/// The kernel that adds up `length` sums of squares, a multiple of 4, and takes the root.
///
/// # Errors
/// As those of [`squares`].
pub fn root(length: usize) -> Result<Sums, String> {
    let text = text(length, length / 4).function("term", identity("vec4<f32>", "term"));
    Ok(Sums { wgsl: text.assemble()?, reads: Usage::Read, count: 1 })
}

/// Whether one workgroup is enough for so many elements.
#[must_use]
pub const fn is_short(length: usize) -> bool {
    length <= 4 * 4 * FEWEST_VECTORS
}

fn text(length: usize, run: usize) -> Text {
    Text::new(include_str!("../../../shaders/gradient_norm.wgsl"), &[&libraries::ROWS])
        .unsigned("VECTORS", length / 4)
        .unsigned("RUN", run)
}

fn identity(kind: &str, name: &str) -> String {
    format!("fn {name}(value: {kind}) -> {kind} {{\n    return value;\n}}")
}
