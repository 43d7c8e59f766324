//! The update of parameters: an optimizer's function of one element, on a whole run of an arena.

use super::{Usage, image};
use crate::base::DType;
use crate::record::{KernelClass, Text, grid};
use std::fmt::Write as _;

const GROUP: usize = 64;
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// A kernel that changes parameters.
pub struct Updated {
    /// The shader.
    pub wgsl: String,
    /// Which variable every binding is for, by number, and how it is used.
    pub bindings: Vec<(usize, Usage)>,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
}

/// The kernel that changes `length` elements, a multiple of 4. `variables` are the bindings: the gradient, the weight
/// and the optimizer's states, which the text's function `change` takes in this order; it returns all but the first.
/// From a length of `images` on, what is read is read as images.
///
/// # Errors
/// When the text lacks what is to be replaced, a defect of the optimizer.
pub fn update(
    text: &Text,
    variables: &[&'static str],
    length: usize,
    class: KernelClass,
    images: usize,
) -> Result<Updated, String> {
    let run = if class == KernelClass::Gpu { 1 } else { 8 };
    let units = length / 4;
    let workgroups = grid(units.div_ceil(run * GROUP));
    let mut bindings: Vec<(usize, Usage)> =
        (0..variables.len()).map(|number| (number, if number == 0 { Usage::Read } else { Usage::Write })).collect();
    let mut text = text.clone().unsigned("LENGTH", length).unsigned("GRID_WIDTH", workgroups[0] as usize);
    for &variable in variables {
        text = text.element(variable, "vec4<f32>");
    }
    let images = (images..=image::LARGEST).contains(&length);
    if images {
        // The gradient is only read; what is written as well is bound once more.
        let gradient = variables[0];
        text = text.declared(gradient, image::declaration(0, gradient, DType::F32));
        bindings[0].1 = Usage::Image(DType::F32);
        for (number, variable) in variables.iter().enumerate().skip(1) {
            let name = format!("{variable}_image");
            text = text.declare(&image::declaration(bindings.len(), &name, DType::F32));
            bindings.push((number, Usage::Image(DType::F32)));
        }
    }
    let mut main = format!(
        "fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{\n    \
         let first = ((group.y * GRID_WIDTH + group.x) * {GROUP}u + lane) * {run}u;\n    \
         for (var i = first; i < min(first + {run}u, {units}u); i++) {{\n"
    );
    for (number, variable) in variables.iter().enumerate() {
        let old = match (images, number) {
            (true, 0) => format!("{variable}_four(i)"),
            (true, _) => format!("{variable}_image_four(i)"),
            (false, _) => format!("{variable}[i]"),
        };
        let _ = writeln!(main, "        let old_{variable} = {old};");
    }
    for (number, component) in COMPONENTS.into_iter().enumerate() {
        let arguments: Vec<String> = variables.iter().map(|variable| format!("old_{variable}.{component}")).collect();
        let _ = writeln!(main, "        let new{number} = change({});", arguments.join(", "));
    }
    for variable in &variables[1..] {
        let parts: Vec<String> = (0..4).map(|number| format!("new{number}.{variable}")).collect();
        let _ = writeln!(main, "        {variable}[i] = vec4<f32>({});", parts.join(", "));
    }
    main += "    }\n}";
    Ok(Updated { wgsl: text.function("main", main).assemble()?, bindings, workgroups })
}
