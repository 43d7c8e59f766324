//! The global norm of gradients.

use super::{Usage, image};
use crate::base::DType;
use crate::record::{Text, libraries};

/// Most workgroups that add up one run of gradients, each to a sum of its own: few enough that one workgroup adds these,
/// and their loops stay far below the 65,535 iterations after which software adapters stop.
pub const MOST_SUMS: usize = 256;
/// Vectors that a workgroup adds at least, four for each of its invocations.
const FEWEST_VECTORS: usize = 256;

/// What the norm is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Purpose {
    /// The limit that gradients are brought under.
    pub limit: Option<f64>,
    /// Whether runs that only add up gradients ask as well whether the norm is a number: with a limit alone.
    pub gathers: bool,
}

/// A kernel that adds up numbers, or their squares.
pub struct Sums {
    /// The shader.
    pub wgsl: String,
    /// How it reads the numbers.
    pub reads: Usage,
    /// How many sums it writes: one for every workgroup.
    pub count: usize,
}

/// The kernel that adds up the squares of `length` elements, a multiple of 4. Where it is to take the `root`, it is one
/// workgroup, and does with the norm what [`root`] does. From a length of `images` on, they are read as an image.
///
/// # Errors
/// When the shader file lacks what is to be replaced, a defect of this library.
pub fn squares(length: usize, root: Option<Purpose>, images: usize) -> Result<Sums, String> {
    let alone = length / 4;
    let run = if root.is_some() { alone } else { alone.div_ceil(MOST_SUMS).max(FEWEST_VECTORS) };
    let text = match root {
        Some(purpose) => limited(text(length, run), purpose),
        None => text(length, run).function("finish", identity("f32", "finish")),
    };
    let (text, reads) = if (images..=image::LARGEST).contains(&length) {
        let load = "fn load_x(index: u32) -> vec4<f32> {\n    return x_four(index);\n}";
        let declaration = image::declaration(0, "x", DType::F32);
        (text.declared("x", declaration).function("load_x", load.into()), Usage::Image(DType::F32))
    } else {
        (text, Usage::Read)
    };
    Ok(Sums { wgsl: text.assemble()?, reads, count: (length / 4).div_ceil(run.max(1)) })
}

/// The kernel that adds up `length` sums of squares, a multiple of 4, and takes the root. With a limit, it writes the
/// factor that brings gradients under it after the norm, negative where the norm is no number, counts these cases
/// after that, and says last whether it is a number, by the sign.
///
/// # Errors
/// As those of [`squares`].
pub fn root(length: usize, purpose: Purpose) -> Result<Sums, String> {
    let text = text(length, length / 4).function("term", identity("vec4<f32>", "term"));
    Ok(Sums { wgsl: limited(text, purpose).assemble()?, reads: Usage::Read, count: 1 })
}

/// With a limit of the norm.
fn limited(text: Text, purpose: Purpose) -> Text {
    let Some(limit) = purpose.limit else { return text };
    let factor = if limit.is_finite() {
        format!("min(1.0f, {} / (norm + 1e-6f))", Text::literal(limit))
    } else {
        "1.0f".to_owned()
    };
    let (text, early) = if purpose.gathers {
        let early = "    if (step.gathers_only != 0u) {\n        return y[0];\n    }\n";
        (text.libraries(&[&libraries::STEP]), early)
    } else {
        (text, "")
    };
    let finish = format!(
        "fn finish(sum: f32) -> f32 {{\n    \
         let norm = sqrt(sum);\n    \
         let is_number = (bitcast<u32>(norm) & 0x7f800000u) != 0x7f800000u;\n    \
         y[3] = select(-1.0f, 1.0f, is_number);\n\
         {early}    \
         y[1] = select(-1.0f, {factor}, is_number);\n    \
         y[2] += select(1.0f, 0.0f, is_number);\n    \
         return norm;\n}}"
    );
    text.function("finish", finish)
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
