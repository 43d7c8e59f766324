//! The matrix product for adapters whose shaders run on a CPU: everything in registers, no barriers.
//!
//! Loads are what costs there, so an invocation holds many results. Where eight invocations are one SIMD
//! register (class `Subgroup`), they share eight, sixteen or thirty-two rows: each loads some rows of A, and hands every
//! element to the other seven by `subgroupBroadcast`; of B and C each has columns of its own. Elsewhere (class `Cpu`)
//! every invocation has a tile of its own. Four steps of the inner axis are unrolled, so that operands which lie
//! densely along one of their axes are loaded as vectors; large ones are read as [images](super::image).

mod loads;
mod products;
mod sums;

use super::bindings::{Bindings, Place, Reader};
use super::block::{Block, LANES};
use super::fused::Fused;
use super::operand::{Along, along};
use super::product::Product;
use super::{Context, Emitted};
use crate::base::DType;
use crate::fuse::resolve::Access;
use crate::record::{Pointwise, Text, grid, libraries};
use std::fmt::Write as _;

/// Longest run of the inner axis that one invocation adds up, four elements per iteration: far below the 65,535
/// iterations after which software adapters stop.
const LONGEST_RUN: usize = 131_072;
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// How much of the inner axis one invocation adds up.
pub fn inner_run(inner: usize) -> usize {
    inner.next_multiple_of(16).min(LONGEST_RUN)
}

struct Writer<'a> {
    product: &'a Product<'a>,
    block: Block,
    /// Whether much is done with every result.
    long: bool,
    a: Along,
    b: Along,
    a_strides: [isize; 2],
    b_strides: [isize; 2],
    a_reader: Reader,
    b_reader: Reader,
    text: String,
}

impl<'a> Writer<'a> {
    /// Decides how the operands of a product are loaded. Returns also the statements that find its matrices.
    fn new(context: &Context<'_>, product: &'a Product<'a>, block: Block, bindings: &mut Bindings) -> (Self, String) {
        let (a_base, a_strides) = Product::base(product.a, "a_base");
        let (b_base, b_strides) = Product::base(product.b, "b_base");
        let a = along(context, product.a, true, 4);
        let b = along(context, product.b, false, 4);
        let terms = product.batch * product.rows * product.columns * product.inner;
        // Their elements may be declared in fours, and those that programs load are not.
        let mut operand = |access: &Access, name: &str, along: Along, reuse: usize| {
            let width = if along == Along::Neither { 1 } else { 4 };
            let of = (DType::F32, context.whole(access));
            bindings.operand(Place::Tensor(access.tensor), name, of, width, terms / reuse)
        };
        let a_reader = operand(&product.a.access, "a", a, block.columns());
        let b_reader = operand(&product.b.access, "b", b, block.rows);
        let long = product.program.steps.iter().any(|step| is_long(&step.pointwise));
        let text = String::new();
        let writer = Self { product, block, long, a, b, a_strides, b_strides, a_reader, b_reader, text };
        (writer, a_base + &b_base)
    }
}

pub fn emit(context: &Context<'_>, product: &Product<'_>, block: Block, name: String) -> Emitted {
    let mut bindings = Bindings::new(context.images);
    let (mut writer, bases) = Writer::new(context, product, block, &mut bindings);
    let Block { rows: high, vectors, shares } = block;
    let (wide, splits) = (block.columns(), product.splits());
    let (down, across) = (product.rows.div_ceil(high), product.columns.div_ceil(wide));
    let tiles = down * across * product.batch * splits;
    let workgroups = grid(if shares { tiles } else { tiles.div_ceil(LANES) });

    let width = if product.columns.is_multiple_of(4) { 4 } else { 1 };
    let program = product.program;
    let stored = program.stores.first().map_or(DType::F32, |store| store.dtype);
    bindings.named(product.target, "c", stored, width, true);
    let whole = |access: &_| context.whole(access);
    let fused = Fused::new(program, "", width, Some("c"), &[], &whole, &mut bindings);
    if let Some((_, place)) = product.sums {
        bindings.named(place, "sums", DType::F32, 1, true);
    }

    writer.text = bindings.declarations(0);
    writer.text.push('\n');
    writer.text += &fused.functions(Some(DType::F32));
    writer.store(&fused, width);
    let lane = if shares { "@builtin(subgroup_invocation_id)" } else { "@builtin(local_invocation_index)" };
    let _ = write!(
        writer.text,
        "@compute @workgroup_size({LANES})\n\
         fn main(@builtin(workgroup_id) group: vec3<u32>, {lane} lane: u32) {{\n    \
         let tile = {};\n    if (tile >= {tiles}u) {{\n        return;\n    }}\n",
        if shares {
            format!("group.y * {}u + group.x", workgroups[0])
        } else {
            format!("(group.y * {}u + group.x) * {LANES}u + lane", workgroups[0])
        }
    );
    let own = if shares { format!(" + lane * {}u", 4 * vectors) } else { String::new() };
    let _ = write!(
        writer.text,
        "    let column = (tile % {across}u) * {wide}u{own};\n    let row = (tile / {across}u % {down}u) * {high}u;\n    \
         let plane = tile / {}u;\n    let batch = plane % {}u;\n    let first = plane / {}u * {}u;\n    \
         let last = min(first + {}u, {}u);\n",
        across * down,
        product.batch,
        product.batch,
        product.run,
        product.run,
        product.inner
    );
    writer.text += &bases;
    writer.product();
    writer.results();
    writer.sums();
    writer.text += "}\n";
    let mut needed = fused.libraries();
    if program.uses_step() {
        needed.push(&libraries::STEP);
    }
    Emitted {
        name,
        wgsl: Text::join(&needed, &writer.text),
        bindings: bindings.places(),
        uses_step: program.uses_step(),
        workgroups,
    }
}

/// Whether a step calls functions of some length.
fn is_long(pointwise: &Pointwise) -> bool {
    let short = [&libraries::COMPARISON, &libraries::NUMBERS];
    pointwise.libraries.iter().any(|library| short.iter().all(|short| short.name != library.name))
}
