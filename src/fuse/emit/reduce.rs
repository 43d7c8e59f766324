//! Reductions, with pointwise ops put where they load their elements and where they store their results.

use super::bindings::{Bindings, Place};
use super::fused::Fused;
use super::{Context, Emitted, Kernels};
use crate::base::{DType, Layout, Shape};
use crate::fuse::group::Group;
use crate::fuse::program::Program;
use crate::record::{KernelClass, Library, NodeId, Reduce, Reduction, TensorId, Text, grid, libraries};

/// Longest run of elements that one invocation combines: short enough to keep rounding small and
/// to give wide devices work, and far below the 65,535 iterations after which software adapters stop.
const LONGEST_RUN: usize = 512;
const GROUP: usize = 64;

/// What a reduction reads.
pub struct Source<'a> {
    /// The memory.
    pub place: Place,
    /// Where the elements lie.
    pub layout: Layout,
    /// Along which axes they are combined.
    pub axes: Vec<usize>,
    /// What is computed of them before.
    pub prologue: Option<&'a Program>,
}

/// The kernels that reduce; the first reads the input, each further one the result of the one before.
pub fn emit(context: &Context<'_>, group: &Group, root: NodeId, reduce: &Reduce) -> Result<Kernels, String> {
    let access = context.resolved.input(root, 0);
    let program = context.bodies(group).remove(0);
    let prologue = context.prologue(group, access.tensor);
    let source = match (context.partials)(root) {
        Some(count) => Source {
            place: Place::Partial(root),
            layout: Layout::dense(&[count].into()),
            axes: vec![0],
            prologue: None,
        },
        None => Source {
            place: Place::Tensor(access.tensor),
            layout: access.layout.clone(),
            axes: reduce.axes.clone(),
            prologue: prologue.as_ref(),
        },
    };
    let name = context.name(group, &format!("reduce_{}", reduce.kind.name()));
    let mut kernels = Kernels::default();
    combine(context, reduce.kind, &name, source, &program, &mut kernels)?;
    Ok(kernels)
}

/// Adds the kernels that combine elements; the last does with the results what `program` says.
pub fn combine(
    context: &Context<'_>,
    kind: Reduction,
    name: &str,
    mut source: Source<'_>,
    program: &Program,
    kernels: &mut Kernels,
) -> Result<(), String> {
    loop {
        let run = Run::new(&source.layout, &source.axes, context.class);
        let done = run.chunks == 1;
        let target = if done {
            Place::Tensor(program.stores.first().map_or(TensorId::INVALID, |store| store.tensor))
        } else {
            kernels.scratch.push(run.chunks * run.outputs);
            Place::Scratch(kernels.scratch.len() - 1)
        };
        let last = done.then_some(program);
        kernels.kernels.push(one(context, kind, name, &source, &run, last, target)?);
        if done {
            return Ok(());
        }
        let layout = Layout::dense(&[run.chunks, run.outputs].into());
        source = Source { place: target, layout, axes: vec![0], prologue: None };
    }
}

/// How the elements of a reduction are shared among invocations.
struct Run {
    outputs: usize,
    reduced: usize,
    chunk: usize,
    chunks: usize,
    source_index: String,
}

impl Run {
    fn new(layout: &Layout, axes: &[usize], class: KernelClass) -> Self {
        let kept: Vec<usize> = (0..layout.shape.rank()).filter(|axis| !axes.contains(axis)).collect();
        let part = |axes: &[usize]| Layout {
            shape: axes.iter().map(|&axis| layout.shape[axis]).collect::<Vec<_>>().into(),
            strides: axes.iter().map(|&axis| layout.strides[axis]).collect(),
            offset: 0,
        };
        let (outputs, reduced) = (part(&kept).merged(), part(axes).merged());
        let chunk = run_length(reduced.shape.elements(), class);
        let (output_lines, output_names) = Layout::coordinates(&outputs.shape, "output", "o");
        let (reduced_lines, reduced_names) = Layout::coordinates(&reduced.shape, "reduced", "r");
        let joined = Layout {
            shape: outputs.shape.iter().chain(reduced.shape.iter()).copied().collect::<Vec<_>>().into(),
            strides: outputs.strides.iter().chain(&reduced.strides).copied().collect(),
            offset: layout.offset,
        };
        let names: Vec<String> = output_names.into_iter().chain(reduced_names).collect();
        let source_index = format!(
            "fn source_index(output: u32, reduced: u32) -> u32 {{\n{output_lines}{reduced_lines}    return {};\n}}",
            joined.index_expression(&names)
        );
        let count = |shape: &Shape| shape.elements();
        Self {
            outputs: count(&outputs.shape),
            reduced: count(&reduced.shape),
            chunk,
            chunks: count(&reduced.shape).div_ceil(chunk),
            source_index,
        }
    }
}

fn one(
    context: &Context<'_>,
    kind: Reduction,
    name: &str,
    source: &Source<'_>,
    run: &Run,
    last: Option<&Program>,
    target: Place,
) -> Result<Emitted, String> {
    let workgroups = grid((run.chunks * run.outputs).div_ceil(GROUP));
    let combine = match kind {
        Reduction::Sum => "a + b",
        Reduction::Max => "maximum_f32(a, b)",
        Reduction::Min => "minimum_f32(a, b)",
    };
    let mut libraries: Vec<&'static Library> =
        if kind == Reduction::Sum { Vec::new() } else { vec![&libraries::COMPARISON] };
    // A float that the prologue loads takes the place of `x`.
    let first = source.prologue.and_then(|program| {
        let floats = program.loads.iter().flat_map(|load| load.accesses());
        floats.into_iter().find(|access| access.dtype == DType::F32).map(|access| Place::Tensor(access.tensor))
    });
    let mut bindings = Bindings::new(context.images);
    let place = first.unwrap_or(source.place);
    let elements = match place {
        Place::Tensor(tensor) => context.resolved.recording.tensor_type(tensor).shape.elements(),
        Place::Partial(_) | Place::Scratch(_) => source.layout.shape.elements(),
    };
    let x = bindings.source(place, "x", elements, run.reduced * run.outputs);
    bindings.named(target, "y", DType::F32, 1, true);
    let mut text = Text::new(include_str!("../../../shaders/reduce.wgsl"), &[])
        .unsigned("OUTPUTS", run.outputs)
        .unsigned("REDUCED", run.reduced)
        .unsigned("CHUNK", run.chunk)
        .unsigned("CHUNKS", run.chunks)
        .unsigned("GRID_WIDTH", workgroups[0] as usize)
        .declared("x", bindings.declaration(0))
        .function("source_index", run.source_index.clone())
        .function("combine", format!("fn combine(a: f32, b: f32) -> f32 {{\n    return {combine};\n}}"));
    let whole = |access: &_| context.whole(access);
    let mut uses_step = false;
    if source.prologue.is_none() {
        text =
            text.function("element", format!("fn element(index: u32) -> f32 {{\n    return {};\n}}", x.one("index")));
    }
    if let Some(program) = source.prologue {
        // The value that is reduced is what `element` returns: nothing is stored.
        let bare = Program { stores: Vec::new(), ..program.clone() };
        let fused = Fused::new(&bare, "_element", 1, None, &[program.stores[0].value], &whole, &mut bindings);
        let (body, totals) = fused.store_one(None, "    ");
        let functions = fused.functions(None);
        text = text.function(
            "element",
            format!("{functions}fn element(index: u32) -> f32 {{\n{body}    return {};\n}}", totals[0]),
        );
        libraries.extend(fused.libraries());
        uses_step |= program.uses_step();
    }
    if let Some(program) = last.filter(|program| !program.is_plain()) {
        let fused = Fused::new(program, "_store", 1, Some("y"), &[], &whole, &mut bindings);
        let (body, _) = fused.store_one(Some("value"), "    ");
        let functions = fused.functions(Some(DType::F32));
        text = text
            .function("store_y", format!("{functions}fn store_y(index: u32, value: f32) {{\n{body}}}"))
            .element("y", program.stores[0].dtype.to_string());
        libraries.extend(fused.libraries());
        uses_step |= program.uses_step();
    }
    if uses_step {
        libraries.push(&libraries::STEP);
    }
    let wgsl = text.declare(&bindings.declarations(2)).libraries(&libraries).assemble()?;
    Ok(Emitted { name: name.to_owned(), wgsl, bindings: bindings.places(), uses_step, workgroups })
}

/// All in one run where that is short; else about as many runs as elements per run. A GPU is idle while one
/// invocation adds; shaders on a CPU pay more for a second dispatch.
fn run_length(reduced: usize, class: KernelClass) -> usize {
    let short = if class == KernelClass::Gpu { 64 } else { LONGEST_RUN };
    if reduced <= short { reduced } else { (reduced.isqrt() + 1).min(LONGEST_RUN) }
}
