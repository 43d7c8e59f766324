use crate::base::{Layout, Shape};
use crate::record::{Reduce, Reduction, Text, grid, libraries};

/// Longest run of elements that one invocation combines: short enough to keep rounding small and
/// to give wide devices work, and far below the 65,535 iterations after which software adapters stop.
const LONGEST_RUN: usize = 512;

/// One kernel of a reduction.
#[derive(Clone, Debug)]
pub struct ReduceKernel {
    /// The shader.
    pub wgsl: String,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
    /// Elements that it writes: `[chunks, outputs]`.
    pub elements: usize,
}

/// The kernels that reduce a tensor which lies like `layout`: the first reads it, each further one
/// the result of the one before.
///
/// # Errors
/// When the shader file lacks what is to be replaced, a defect of this library.
pub fn reduce(op: &Reduce, layout: &Layout) -> Result<Vec<ReduceKernel>, String> {
    let mut kernels = Vec::new();
    let mut layout = layout.clone();
    let mut axes = op.axes.clone();
    loop {
        let kernel = one(op.kind, &layout, &axes)?;
        let chunks = kernel.elements / layout.shape.reduced(&axes, false).elements();
        let outputs = kernel.elements / chunks;
        kernels.push(kernel);
        if chunks == 1 {
            return Ok(kernels);
        }
        layout = Layout::dense(&[chunks, outputs].into());
        axes = vec![0];
    }
}

fn one(kind: Reduction, layout: &Layout, axes: &[usize]) -> Result<ReduceKernel, String> {
    const GROUP: usize = 64;
    let kept: Vec<usize> = (0..layout.shape.rank()).filter(|axis| !axes.contains(axis)).collect();
    let part = |axes: &[usize]| -> Shape { axes.iter().map(|&axis| layout.shape[axis]).collect::<Vec<_>>().into() };
    let (outputs, reduced) = (part(&kept), part(axes));
    let chunk = run_length(reduced.elements());
    let chunks = reduced.elements().div_ceil(chunk);
    let elements = chunks * outputs.elements();
    let workgroups = grid(elements.div_ceil(GROUP));

    let (output_lines, output_names) = Layout::coordinates(&outputs, "output", "o");
    let (reduced_lines, reduced_names) = Layout::coordinates(&reduced, "reduced", "r");
    let mut coordinates = vec![String::new(); layout.shape.rank()];
    for (&axis, name) in kept.iter().zip(output_names).chain(axes.iter().zip(reduced_names)) {
        coordinates[axis] = name;
    }
    let source_index = format!(
        "fn source_index(output: u32, reduced: u32) -> u32 {{\n{output_lines}{reduced_lines}    return {};\n}}",
        layout.index_expression(&coordinates)
    );
    let combine = match kind {
        Reduction::Sum => "a + b",
        Reduction::Max => "maximum_f32(a, b)",
        Reduction::Min => "minimum_f32(a, b)",
    };
    let libraries: &[&'static crate::record::Library] =
        if kind == Reduction::Sum { &[] } else { &[&libraries::COMPARISON] };
    let wgsl = Text::new(include_str!("../../shaders/reduce.wgsl"), libraries)
        .unsigned("OUTPUTS", outputs.elements())
        .unsigned("REDUCED", reduced.elements())
        .unsigned("CHUNK", chunk)
        .unsigned("CHUNKS", chunks)
        .unsigned("GRID_WIDTH", workgroups[0] as usize)
        .function("source_index", source_index)
        .function("combine", format!("fn combine(a: f32, b: f32) -> f32 {{\n    return {combine};\n}}"))
        .assemble()?;
    Ok(ReduceKernel { wgsl, workgroups, elements })
}

/// All in one run where that is short; else about as many runs as elements per run.
fn run_length(reduced: usize) -> usize {
    if reduced <= 64 { reduced } else { (reduced.isqrt() + 1).min(LONGEST_RUN) }
}
