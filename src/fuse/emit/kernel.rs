//! Kernels of an op's own, with pointwise ops put where they store their results.

use super::bindings::{Bindings, Place};
use super::fused::Fused;
use super::{Context, Emitted, Kernels};
use crate::base::DType;
use crate::fuse::group::Group;
use crate::fuse::program::Program;
use crate::record::{Dispatched, Kernel, NodeId, Operand, TensorId, libraries};

pub fn emit(context: &Context<'_>, group: &Group, root: NodeId, kernel: &Kernel) -> Result<Kernels, String> {
    let programs = context.bodies(group);
    let recording = &context.resolved.recording;
    let outputs = &recording.nodes[root.index()].outputs;
    let mut kernels = Vec::new();
    for stage in &kernel.stages {
        let hooks: Vec<(&'static str, DType, &Program)> = stage
            .stores
            .iter()
            .filter_map(|&(output, variable)| {
                let body = group.bodies.iter().position(|body| body.output as usize == output)?;
                Some((variable, outputs[output].dtype, &programs[body]))
            })
            .collect();
        let place = |operand: &Operand| match *operand {
            Operand::Input(number) => Place::Tensor(context.resolved.input(root, number).tensor),
            Operand::Scratch(number) => Place::Scratch(number),
            Operand::Output(number) => {
                // The binding of a hooked output takes the first tensor that is stored there.
                let hooked = group.bodies.iter().position(|body| body.output as usize == number);
                let tensor = hooked.and_then(|body| programs[body].stores.first()).map(|store| store.tensor);
                Place::Tensor(tensor.unwrap_or(TensorId { node: root, output: number as u32 }))
            }
        };
        let mut bindings = Bindings::new(context.images);
        let mut stage = stage.clone();
        for (number, operand) in stage.reads.iter().chain(&stage.writes).enumerate() {
            let (place, written) = (place(operand), number >= stage.reads.len());
            let load = stage.loads.iter().find(|(read, _)| *read == number && !written);
            let (Some(&(_, variable)), Place::Tensor(tensor)) = (load, place) else {
                bindings.own(place, &format!("own{number}"), DType::F32, 1, written);
                continue;
            };
            let of = recording.tensor_type(tensor);
            let (dtype, elements) = (of.dtype, of.shape.elements());
            let reader = bindings.operand(place, variable, (dtype, elements), 1, elements);
            if reader.is_image() {
                let one = reader.one("index");
                let function = format!("fn load_{variable}(index: u32) -> {dtype} {{\n    return {one};\n}}");
                stage.text = stage.text.declared(variable, bindings.declaration(number));
                stage.text = stage.text.function(&format!("load_{variable}"), function);
            }
        }
        kernels.push(hooked(context, group, &stage, &hooks, bindings)?);
    }
    Ok(Kernels { kernels, scratch: kernel.scratch.clone(), partials: Vec::new(), chosen: None })
}

/// A stage with the programs of its outputs in the place of its store functions. The names of the stage's own
/// bindings are those of its text, so what programs load is bound once more.
fn hooked(
    context: &Context<'_>,
    group: &Group,
    stage: &Dispatched,
    hooks: &[(&'static str, DType, &Program)],
    mut bindings: Bindings,
) -> Result<Emitted, String> {
    let own = bindings.len();
    let mut text = stage.text.clone();
    let mut uses_step = stage.uses_step;
    let mut needed = Vec::new();
    for (variable, dtype, program) in hooks {
        if program.is_plain() {
            if let Some(store) = program.stores.first().filter(|store| store.dtype != *dtype) {
                return Err(format!("`{variable}` is {dtype} and what is stored there {}", store.dtype));
            }
            continue;
        }
        let whole = |access: &_| context.whole(access);
        let suffix = format!("_{variable}");
        let fused = Fused::new(program, &suffix, 1, Some(variable), &[], &whole, &mut bindings);
        let (body, _) = fused.store_one(Some("value"), "    ");
        let functions = fused.functions(Some(*dtype));
        text = text
            .function(
                &format!("store_{variable}"),
                format!("{functions}fn store_{variable}(index: u32, value: {dtype}) {{\n{body}}}"),
            )
            .libraries(&fused.libraries());
        if let Some(store) = program.stores.first() {
            text = text.element(variable, store.dtype.to_string());
        }
        if program.uses_step() && !uses_step {
            uses_step = true;
            needed.push(&libraries::STEP);
        }
    }
    let wgsl = text.declare(&bindings.declarations(own)).libraries(&needed).assemble()?;
    Ok(Emitted {
        name: context.name(group, stage.name),
        wgsl,
        bindings: bindings.places(),
        uses_step,
        workgroups: stage.workgroups,
    })
}
