//! The update of parameters: an optimizer's function of one element, on a whole run of an arena.

use crate::record::{KernelClass, Text, grid};
use std::fmt::Write as _;

const GROUP: usize = 64;
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// The shader that changes `length` elements, a multiple of 8, and its workgroups. `variables` are the bindings:
/// the gradient, the weight and the optimizer's states, which the text's function `change` takes in this order; it
/// returns all but the first.
///
/// # Errors
/// When the text lacks what is to be replaced, a defect of the optimizer.
pub fn update(
    text: &Text,
    variables: &[&'static str],
    length: usize,
    class: KernelClass,
) -> Result<(String, [u32; 3]), String> {
    let (width, run) = match class {
        KernelClass::Gpu => (4, 1),
        KernelClass::Subgroup => (8, 4),
        KernelClass::Cpu | KernelClass::Host => (4, 8),
    };
    let units = length / width;
    let workgroups = grid(units.div_ceil(run * GROUP));
    let mut main = format!(
        "fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{\n    \
         let first = ((group.y * GRID_WIDTH + group.x) * {GROUP}u + lane) * {run}u;\n    \
         for (var i = first; i < min(first + {run}u, {units}u); i++) {{\n"
    );
    for variable in variables {
        let _ = writeln!(main, "        let old_{variable} = {variable}[i];");
    }
    for offset in 0..width {
        let element = |variable: &&str| match (width, offset % 2) {
            (8, 0) => format!("bitcast<f32>(u32(old_{variable}.{}))", COMPONENTS[offset / 2]),
            (8, _) => format!("bitcast<f32>(u32(old_{variable}.{} >> 32u))", COMPONENTS[offset / 2]),
            _ => format!("old_{variable}.{}", COMPONENTS[offset]),
        };
        let arguments: Vec<String> = variables.iter().map(element).collect();
        let _ = writeln!(main, "        let new{offset} = change({});", arguments.join(", "));
    }
    for variable in &variables[1..] {
        let word = |offset: usize| format!("u64(bitcast<u32>(new{offset}.{variable}))");
        let part = |place: usize| match width {
            8 => format!("{} | ({} << 32u)", word(2 * place), word(2 * place + 1)),
            _ => format!("new{place}.{variable}"),
        };
        let parts: Vec<String> = (0..4).map(part).collect();
        let element = if width == 8 { "u64" } else { "f32" };
        let _ = writeln!(main, "        {variable}[i] = vec4<{element}>({});", parts.join(", "));
    }
    main += "    }\n}";
    let mut text = text.clone().unsigned("LENGTH", length).unsigned("GRID_WIDTH", workgroups[0] as usize);
    for &variable in variables {
        text = text.element(variable, if width == 8 { "vec4<u64>" } else { "vec4<f32>" });
    }
    Ok((text.function("main", main).assemble()?, workgroups))
}
