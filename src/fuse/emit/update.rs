//! The update of parameters: an optimizer's function of one element, on a whole run of an arena.

use super::{Usage, image};
use crate::base::DType;
use crate::record::{KernelClass, Text, grid, libraries};
use std::fmt::Write as _;

const GROUP: usize = 64;
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// An argument of an optimizer's function `change`, or a part of what it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name, as the shader file has it.
    pub name: &'static str,
    /// What is done with it.
    pub role: Role,
}

/// What an update does with the memory of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is read.
    Read,
    /// It is read and written.
    Change,
    /// It is written and not read: `change` does not take it.
    Write,
    /// It has no memory: `change` takes zero, and what it returns is dropped.
    Absent,
}

impl Role {
    /// The variable of this name in this role.
    #[must_use]
    pub const fn of(self, name: &'static str) -> Variable {
        Variable { name, role: self }
    }
}

/// What an update is generated from.
#[derive(Clone, Copy, Debug)]
pub struct UpdateKernel<'a> {
    /// The shader.
    pub text: &'a Text,
    /// The variables of its function `change`: the gradient, the weight, and the states.
    pub variables: &'a [Variable],
    /// How many elements it changes, a multiple of 4.
    pub length: usize,
    /// Which kernels suit the device.
    pub class: KernelClass,
    /// From this length on, what is read is read as images.
    pub images: usize,
    /// Whether gradients are multiplied by a factor on the device, which also tells whether to leave everything as it is.
    pub clips_norm: bool,
    /// The greatest absolute value that an element of the gradient may have.
    pub clips_value: Option<f64>,
    /// Whether running averages of the weights are kept.
    pub averages: bool,
}

/// What a binding of an update is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The variable of this number.
    Variable(usize),
    /// The norm of the gradients, the factor to multiply them by, and the number of updates left out.
    Clip,
    /// The running averages of the weights.
    Average,
}

/// A kernel that changes parameters.
pub struct Updated {
    /// The shader.
    pub wgsl: String,
    /// What every binding is for, and how it is used.
    pub bindings: Vec<(Operand, Usage)>,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
}

/// The kernel of an update.
///
/// # Errors
/// When the text lacks what is to be replaced, a defect of the optimizer.
pub fn update(kernel: &UpdateKernel<'_>) -> Result<Updated, String> {
    let &UpdateKernel { variables, length, .. } = kernel;
    let run = if kernel.class == KernelClass::Gpu { 1 } else { 8 };
    let units = length / 4;
    let workgroups = grid(units.div_ceil(run * GROUP));
    let mut text = kernel.text.clone().unsigned("LENGTH", length).unsigned("GRID_WIDTH", workgroups[0] as usize);
    let images = (kernel.images..=image::LARGEST).contains(&length);
    let mut bindings = Vec::new();
    // Bindings of the file come first, numbered anew, as some may have no memory.
    for (number, &Variable { name, role }) in variables.iter().enumerate() {
        let place = bindings.len();
        let usage = match role {
            Role::Absent => {
                text = text.declared(name, "");
                continue;
            }
            Role::Read if images => {
                text = text.declared(name, image::declaration(place, name, DType::F32));
                Usage::Image(DType::F32)
            }
            Role::Read => {
                text = text.declared(name, declaration(place, "read", name));
                Usage::Read
            }
            Role::Change | Role::Write => {
                text = text.declared(name, declaration(place, "read_write", name));
                Usage::Write
            }
        };
        bindings.push((Operand::Variable(number), usage));
    }
    if kernel.clips_norm {
        let place = bindings.len();
        text = text.declare(&format!("@group(0) @binding({place}) var<storage, read> clip: array<f32>;\n"));
        bindings.push((Operand::Clip, Usage::Read));
    }
    if kernel.averages {
        let place = bindings.len();
        text = text.declare(&format!("{}\n", declaration(place, "read_write", "average")));
        bindings.push((Operand::Average, Usage::Write));
    }
    if images {
        // What is written as well is bound once more.
        let changed = |(number, variable): (usize, &Variable)| {
            (variable.role == Role::Change).then_some((Operand::Variable(number), variable.name))
        };
        let average = kernel.averages.then_some((Operand::Average, "average"));
        for (operand, name) in variables.iter().enumerate().filter_map(changed).chain(average) {
            text = text.declare(&image::declaration(bindings.len(), &format!("{name}_image"), DType::F32));
            bindings.push((operand, Usage::Image(DType::F32)));
        }
    }
    if let Some(limit) = kernel.clips_value {
        let limit = Text::literal(limit);
        text = text.libraries(&[&libraries::NUMBERS]).declare(&format!(
            "\nfn limited(x: f32) -> f32 {{\n    return select(clamp(x, -{limit}, {limit}), x, is_nan(x));\n}}\n"
        ));
    }
    Ok(Updated { wgsl: text.function("main", main(kernel, run, images)).assemble()?, bindings, workgroups })
}

/// The declaration of an array of vectors.
fn declaration(binding: usize, access: &str, name: &str) -> String {
    format!("@group(0) @binding({binding}) var<storage, {access}> {name}: array<vec4<f32>>;")
}

fn main(kernel: &UpdateKernel<'_>, run: usize, images: bool) -> String {
    let variables = kernel.variables;
    let units = kernel.length / 4;
    let mut main = format!(
        "fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{\n    \
         let first = ((group.y * GRID_WIDTH + group.x) * {GROUP}u + lane) * {run}u;\n"
    );
    if kernel.clips_norm {
        main += "    let factor = clip[1];\n    if (factor < 0.0f) {\n        return;\n    }\n";
    }
    let _ = writeln!(main, "    for (var i = first; i < min(first + {run}u, {units}u); i++) {{");
    let read = |name: &str, role: Role| match (images, role) {
        (true, Role::Read) => format!("{name}_four(i)"),
        (true, _) => format!("{name}_image_four(i)"),
        (false, _) => format!("{name}[i]"),
    };
    let is_read = |variable: &&Variable| matches!(variable.role, Role::Read | Role::Change);
    for (number, variable) in variables.iter().filter(is_read).enumerate() {
        let mut old = read(variable.name, variable.role);
        if number == 0 && kernel.clips_norm {
            old = format!("factor * {old}");
        }
        let _ = writeln!(main, "        let old_{} = {old};", variable.name);
    }
    for (number, component) in COMPONENTS.into_iter().enumerate() {
        let argument = |(place, variable): (usize, &Variable)| match variable.role {
            Role::Absent => "0.0f".to_owned(),
            _ if place == 0 && kernel.clips_value.is_some() => format!("limited(old_{}.{component})", variable.name),
            _ => format!("old_{}.{component}", variable.name),
        };
        let taken = variables.iter().filter(|variable| variable.role != Role::Write);
        let arguments: Vec<String> = taken.enumerate().map(argument).collect();
        let _ = writeln!(main, "        let new{number} = change({});", arguments.join(", "));
    }
    for variable in variables.iter().filter(|variable| matches!(variable.role, Role::Change | Role::Write)) {
        let parts: Vec<String> = (0..4).map(|number| format!("new{number}.{}", variable.name)).collect();
        let _ = writeln!(main, "        {}[i] = vec4<f32>({});", variable.name, parts.join(", "));
    }
    if kernel.averages {
        let (weight, old) = (variables[1].name, read("average", Role::Change));
        let parts: Vec<String> = (0..4).map(|number| format!("new{number}.{weight}")).collect();
        let _ = writeln!(main, "        let old_average = {old};");
        let _ = writeln!(
            main,
            "        average[i] = old_average + step.averaging * (vec4<f32>({}) - old_average);",
            parts.join(", ")
        );
    }
    main += "    }\n}";
    main
}
