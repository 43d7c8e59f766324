use crate::base::{DType, Layout, TensorType};
use crate::record::{Argument, Pointwise, Text, grid, libraries};
use std::fmt::Write as _;

/// Where a pointwise kernel finds one of its inputs.
#[derive(Clone, Debug)]
pub struct Source {
    /// The binding of the buffer; inputs that share a buffer share it.
    pub binding: usize,
    /// Where its elements lie in the buffer.
    pub layout: Layout,
    /// Their type.
    pub dtype: DType,
}

/// The kernel that computes every element of a dense output, one per invocation, and its workgroups.
///
/// Bindings are the buffers of the sources, then the output.
#[must_use]
pub fn pointwise(op: &Pointwise, sources: &[Source], output: &TensorType) -> (String, [u32; 3]) {
    const GROUP: usize = 64;
    let elements = output.shape.elements();
    let workgroups = grid(elements.div_ceil(GROUP));
    let (coordinate_lines, coordinates) = Layout::coordinates(&output.shape, "index", "c");

    let mut text = String::new();
    let bindings = sources.iter().map(|source| source.binding + 1).max().unwrap_or(0);
    for binding in 0..bindings {
        let dtype = sources.iter().find(|source| source.binding == binding).map_or(DType::F32, |source| source.dtype);
        let _ = writeln!(text, "@group(0) @binding({binding}) var<storage, read> in{binding}: array<{dtype}>;");
    }
    let _ = writeln!(text, "@group(0) @binding({bindings}) var<storage, read_write> result: array<{}>;", output.dtype);
    let _ = write!(
        text,
        "\n@compute @workgroup_size({GROUP})\nfn main(@builtin(global_invocation_id) id: vec3<u32>) {{\n    \
         let index = id.y * {}u + id.x;\n    if (index >= {elements}u) {{\n        return;\n    }}\n",
        workgroups[0] as usize * GROUP
    );
    let mut body = String::new();
    let mut expression = op.expression.clone();
    for (number, argument) in op.arguments.iter().enumerate() {
        let value = value(argument, number, sources, &coordinates, &output.shape, &mut body);
        expression = expression.replace(&format!("{{{number}}}"), &value);
    }
    // Coordinates that nothing asks for are left out.
    for line in coordinate_lines.lines() {
        let name = line.trim_start().trim_start_matches("let ").split(' ').next().unwrap_or_default();
        if mentions(&body, name) || mentions(&expression, name) {
            let _ = writeln!(text, "{line}");
        }
    }
    let _ = write!(text, "{body}    result[index] = {expression};\n}}\n");
    let mut included = op.libraries.clone();
    if op.arguments.contains(&Argument::Seed) {
        included.push(&libraries::STEP);
    }
    (Text::join(&included, &text), workgroups)
}

/// The WGSL expression of an argument; statements that it needs go to `body`.
fn value(
    argument: &Argument,
    number: usize,
    sources: &[Source],
    coordinates: &[String],
    shape: &[usize],
    body: &mut String,
) -> String {
    let load = |input: usize, coordinates: &[String]| {
        let source = &sources[input];
        let index = if source.layout.is_dense() && source.layout.shape[..] == *shape && coordinates_are_own(coordinates)
        {
            "index".to_owned()
        } else {
            source.layout.index_expression(coordinates)
        };
        format!("in{}[{index}]", source.binding)
    };
    let name = format!("a{number}");
    match argument {
        Argument::Index => "index".into(),
        Argument::Coordinate(axis) => coordinates[*axis].clone(),
        Argument::Seed => "step.seed".into(),
        Argument::Input(input) => {
            let _ = writeln!(body, "    let {name} = {};", load(*input, coordinates));
            name
        }
        Argument::Joined { axis, inputs } => {
            let _ = writeln!(body, "    var {name} = 0.0f;");
            let mut start = 0;
            for (place, &input) in inputs.iter().enumerate() {
                let end = start + sources[input].layout.shape[*axis];
                let mut own = coordinates.to_vec();
                own[*axis] = format!("({} - {start}u)", coordinates[*axis]);
                let keyword = if place == 0 { "    if" } else { " else if" };
                let _ = write!(
                    body,
                    "{keyword} ({} < {end}u) {{\n        {name} = {};\n    }}",
                    coordinates[*axis],
                    load(input, &own)
                );
                start = end;
            }
            body.push('\n');
            name
        }
        Argument::Padded { input, before, steps } => {
            let extents = &sources[*input].layout.shape;
            let mut conditions = Vec::new();
            let mut own = coordinates.to_vec();
            for axis in 0..extents.rank() {
                let (coordinate, first, step) = (&coordinates[axis], before[axis], steps[axis]);
                let end = first + (extents[axis] - 1) * step + 1;
                if first > 0 {
                    conditions.push(format!("{coordinate} >= {first}u"));
                    own[axis] = format!("({coordinate} - {first}u)");
                }
                if end < shape[axis] {
                    conditions.push(format!("{coordinate} < {end}u"));
                }
                if step > 1 {
                    conditions.push(format!("{} % {step}u == 0u", own[axis]));
                    own[axis] = format!("({} / {step}u)", own[axis]);
                }
            }
            let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" && ") };
            let _ = write!(
                body,
                "    var {name} = 0.0f;\n    if ({condition}) {{\n        {name} = {};\n    }}\n",
                load(*input, &own)
            );
            name
        }
    }
}

/// Whether coordinates are the plain ones of the output, not shifted.
fn coordinates_are_own(coordinates: &[String]) -> bool {
    coordinates.iter().all(|coordinate| !coordinate.contains(' '))
}

/// Whether a text holds a name as a whole word.
fn mentions(text: &str, name: &str) -> bool {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').any(|word| word == name)
}
