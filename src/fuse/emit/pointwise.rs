//! Kernels without a root: every invocation computes a run of elements.

use super::bindings::{Bindings, Place};
use super::fused::Fused;
use super::{Context, Emitted, Kernels};
use crate::base::DType;
use crate::fuse::group::Group;
use crate::fuse::program::Operand;
use crate::record::{KernelClass, NodeId, Text, grid, libraries};
use std::fmt::Write as _;

const GROUP: usize = 64;

/// How many vectors of elements one invocation computes. On a CPU a run of neighbours, as one load of a SIMD lane
/// follows another; on a GPU neighbours belong to neighbouring invocations.
const fn run(class: KernelClass) -> usize {
    match class {
        KernelClass::Gpu => 1,
        _ => 8,
    }
}

pub fn emit(context: &Context<'_>, group: &Group) -> Kernels {
    let program = context.bodies(group).remove(0);
    let totals: Vec<Operand> =
        group.totals.iter().map(|&sum| program.value_of(context.resolved.input(sum, 0).tensor)).collect();
    let width = if program.elements.is_multiple_of(4) { 4 } else { 1 };
    let units = program.elements / width;
    let run = run(context.class);
    let invocations = units.div_ceil(run);
    let workgroups = grid(invocations.div_ceil(GROUP));

    let mut bindings = Bindings::new(context.images);
    let whole = |access: &_| context.whole(access);
    let fused = Fused::new(&program, "", width, None, &totals, &whole, &mut bindings);
    let partial_names: Vec<String> =
        group.totals.iter().map(|&sum: &NodeId| bindings.write(Place::Partial(sum), DType::F32, 1)).collect();

    let mut text = bindings.declarations(0);
    text.push('\n');
    text += &fused.functions(None);
    let _ = write!(
        text,
        "@compute @workgroup_size({GROUP})\n\
         fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{\n    \
         let invocation = (group.y * {}u + group.x) * {GROUP}u + lane;\n",
        workgroups[0]
    );
    let times = if width > 1 { format!(" * {width}u") } else { String::new() };
    let indent = if run == 1 { "    " } else { "        " };
    let (body, totals) = if width > 1 { fused.store_run(None, indent) } else { fused.store_one(None, indent) };
    if run == 1 {
        let _ = write!(text, "    if (invocation >= {units}u) {{\n        return;\n    }}\n");
        let _ = writeln!(text, "    let index = invocation{times};");
        text += &body;
        for (name, total) in partial_names.iter().zip(&totals) {
            let _ = writeln!(text, "    {name}[invocation] = {total};");
        }
    } else {
        let _ = write!(text, "    if (invocation >= {invocations}u) {{\n        return;\n    }}\n");
        let _ = writeln!(text, "    let last = min(invocation * {run}u + {run}u, {units}u);");
        for number in 0..totals.len() {
            let _ = writeln!(text, "    var total{number} = 0.0f;");
        }
        let _ = writeln!(text, "    for (var unit = invocation * {run}u; unit < last; unit++) {{");
        let _ = writeln!(text, "        let index = unit{times};");
        text += &body;
        for (number, total) in totals.iter().enumerate() {
            let _ = writeln!(text, "        total{number} += {total};");
        }
        text += "    }\n";
        for (number, name) in partial_names.iter().enumerate() {
            let _ = writeln!(text, "    {name}[invocation] = total{number};");
        }
    }
    text += "}\n";
    let mut needed = fused.libraries();
    if program.uses_step() {
        needed.push(&libraries::STEP);
    }
    let kernel = Emitted {
        name: context.name(group, ""),
        wgsl: Text::join(&needed, &text),
        bindings: bindings.places(),
        uses_step: program.uses_step(),
        workgroups,
    };
    Kernels {
        kernels: vec![kernel],
        scratch: Vec::new(),
        partials: vec![invocations; group.totals.len()],
        chosen: None,
    }
}
