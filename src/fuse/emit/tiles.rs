//! The matrix product for GPUs: tiles in workgroup memory.

use super::bindings::Bindings;
use super::contract::{Product, address};
use super::fused::Fused;
use super::{Context, Emitted};
use crate::base::DType;
use crate::fuse::resolve::Access;
use crate::record::{Text, grid, libraries};

/// The side of a tile of C.
const TILE: usize = 64;
/// Longest run of the inner axis that one workgroup adds up, sixteen elements per iteration: far below the
/// 65,535 iterations after which software adapters stop.
const LONGEST_RUN: usize = 65_536;
/// Fewer tiles than this leave a GPU idle: then the inner axis is cut, as in weight gradients over a long batch.
const FEWEST_TILES: usize = 64;

/// How much of the inner axis one workgroup adds up.
pub fn inner_run(inner: usize, tiles: usize) -> usize {
    let run = if tiles < FEWEST_TILES { inner.div_ceil(FEWEST_TILES.div_ceil(tiles)).max(256) } else { inner };
    let run = run.min(LONGEST_RUN).next_multiple_of(16);
    if run >= inner { inner.next_multiple_of(16) } else { run }
}

pub fn emit(context: &Context<'_>, product: &Product<'_>, name: String) -> Result<Emitted, String> {
    let (down, across) = (product.rows.div_ceil(TILE), product.columns.div_ceil(TILE));
    let tiles = down * across * product.batch * product.splits();
    let workgroups = grid(tiles);
    let mut text = Text::new(include_str!("../../../shaders/matmul_tiled.wgsl"), &[])
        .unsigned("BATCH", product.batch)
        .unsigned("ROWS", product.rows)
        .unsigned("COLUMNS", product.columns)
        .unsigned("INNER", product.inner)
        .unsigned("INNER_RUN", product.run)
        .unsigned("TILES_DOWN", down)
        .unsigned("TILES_ACROSS", across)
        .unsigned("TILES", tiles)
        .unsigned("GRID_WIDTH", workgroups[0] as usize);
    let index = |function: &str, parameters: [&str; 2], access: &Access| {
        let (base, [first, second]) = Product::base(access, "base");
        let index = address("base", &[(parameters[0], first), (parameters[1], second)]);
        let arguments = format!("batch: u32, {}: u32, {}: u32", parameters[0], parameters[1]);
        format!("fn {function}({arguments}) -> u32 {{\n{base}    return {index};\n}}")
    };
    if !product.a.layout.is_dense() {
        text = text.function("a_index", index("a_index", ["row", "k"], product.a));
    }
    if !product.b.layout.is_dense() {
        text = text.function("b_index", index("b_index", ["k", "column"], product.b));
    }
    let mut bindings = Bindings::default();
    for (access, name) in [(product.a, "a"), (product.b, "b")] {
        bindings.named(super::Place::Tensor(access.tensor), name, DType::F32, 1, false);
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
        for inner in [1, 15, 16, 17, 300, 2048, 2049, 100_000] {
            for tiles in [1, 5, 63, 64, 1000] {
                let run = inner_run(inner, tiles);
                assert!(run <= LONGEST_RUN && run.is_multiple_of(16) && inner.div_ceil(run) * run >= inner);
            }
        }
    }
}
