//! The product of a matrix and up to four vectors, for GPUs.

use super::bindings::{Bindings, Place};
use super::form::VECTOR_INVOCATIONS;
use super::fused::Fused;
use super::product::{Product, address};
use super::{Context, Emitted};
use crate::base::DType;
use crate::fuse::resolve::Matrix;
use crate::record::{Text, grid, libraries};

/// Invocations of a workgroup.
const THREADS: usize = VECTOR_INVOCATIONS as usize;
/// Longest run of the inner axis that one workgroup adds up, at least four invocations to it: far below the 65,535
/// iterations after which software adapters stop.
const LONGEST_RUN: usize = 65_536;
/// Shortest run: below it, adding up the parts costs more than idle multiprocessors.
const SHORTEST_RUN: usize = 1024;

/// How much of the inner axis one workgroup adds up.
pub fn inner_run(inner: usize) -> usize {
    // Workgroups compute 16 or 64 results each: already many where the matrix is large. A long run alone is cut.
    if inner <= 2 * SHORTEST_RUN {
        return inner.next_multiple_of(16);
    }
    inner.div_ceil(inner.div_ceil(8 * SHORTEST_RUN)).next_multiple_of(16).min(LONGEST_RUN)
}

pub fn emit(context: &Context<'_>, product: &Product<'_>, name: String) -> Result<Emitted, String> {
    // The vectors are the rows of A, or the columns of B.
    let by_rows = product.rows <= product.columns;
    let (matrix, vectors) = if by_rows { (product.b, product.a) } else { (product.a, product.b) };
    let (wide, thin) = if by_rows { (product.columns, product.rows) } else { (product.rows, product.columns) };
    let (_, [row_stride, column_stride]) = Product::base(matrix, "base");
    let inner_stride = if by_rows { row_stride } else { column_stride };
    // Along the inner axis sixteen lanes, or four where it is the wide axis that is dense.
    let inner_dense = inner_stride == 1;
    let wide_lanes = if inner_dense { 16 } else { 64 };
    let groups = wide.div_ceil(wide_lanes);
    let count = groups * product.batch * product.splits();
    let workgroups = grid(count);

    // With the strides of the axis that C keeps and of the inner axis.
    let index = |function: &str, kept: &str, operand: &Matrix, kept_first: bool| {
        let (base, [first, second]) = Product::base(operand, "base");
        let [own, inner] = if kept_first { [first, second] } else { [second, first] };
        let index = address("base", &[(kept, own), ("k", inner)]);
        format!("fn {function}(batch: u32, {kept}: u32, k: u32) -> u32 {{\n{base}    return {index};\n}}")
    };
    let mut text = Text::new(include_str!("../../../shaders/matmul_vector.wgsl"), &[])
        .unsigned("BATCH", product.batch)
        .unsigned("WIDE", wide)
        .unsigned("THIN", thin)
        .unsigned("INNER", product.inner)
        .unsigned("INNER_RUN", product.run)
        .unsigned("WIDE_LANES", wide_lanes)
        .unsigned("INNER_LANES", THREADS / wide_lanes)
        .unsigned("GROUPS", groups)
        .unsigned("WORKGROUPS", count)
        .unsigned("GRID_WIDTH", workgroups[0] as usize)
        .function("matrix_index", index("matrix_index", "wide", matrix, !by_rows))
        .function("vectors_index", index("vectors_index", "thin", vectors, by_rows));
    if !by_rows {
        let body =
            "fn c_index(plane: u32, wide: u32, thin: u32) -> u32 {\n    return (plane * WIDE + wide) * THIN + thin;\n}";
        text = text.function("c_index", body.into());
    }
    if inner_dense {
        let body =
            "fn lane(local: u32) -> vec2<u32> {\n    return vec2<u32>(local / INNER_LANES, local % INNER_LANES);\n}";
        text = text.function("lane", body.into());
    }
    let mut bindings = Bindings::new(context.images);
    for (operand, name) in [(matrix, "matrix"), (vectors, "vectors")] {
        bindings.own(Place::Tensor(operand.access.tensor), name, DType::F32, 1, false);
    }
    bindings.named(product.target, "c", DType::F32, 1, true);
    let program = product.program;
    if !program.is_plain() {
        let whole = |access: &_| context.whole(access);
        let fused = Fused::new(program, "", 1, Some("c"), &[], &whole, &mut bindings);
        let (body, _) = fused.store_one(Some("value"), "    ");
        let functions = fused.functions(Some(DType::F32));
        text = text
            .function("store_c", format!("{functions}fn store_c(index: u32, value: f32) {{\n{body}}}"))
            .element("c", program.stores[0].dtype.to_string())
            .libraries(&fused.libraries());
        if program.uses_step() {
            text = text.libraries(&[&libraries::STEP]);
        }
    }
    let wgsl = text.declare(&bindings.declarations(3)).assemble()?;
    Ok(Emitted { name, wgsl, bindings: bindings.places(), uses_step: program.uses_step(), workgroups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_the_inner_axis_and_stay_short() {
        for inner in [1, 15, 2048, 2049, 8192, 8193, 100_000, 10_000_000] {
            let run = inner_run(inner);
            assert!(run <= LONGEST_RUN && run.is_multiple_of(16) && inner.div_ceil(run) * run >= inner);
        }
    }
}
