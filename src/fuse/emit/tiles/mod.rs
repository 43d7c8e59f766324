//! The matrix product for GPUs: a workgroup computes a tile of C from parts of A and B staged in workgroup memory.
//!
//! All tiles come from this one writer, as they differ only in their sizes; an expansion is pinned in the tests.
//! An operand is staged as it lies in memory, in vectors along the axis that is dense: what is loaded as a vector is
//! stored as one, nothing is transposed, and an invocation takes from its registers what it needs.

mod staging;

use super::bindings::{Bindings, Place};
use super::form::FEWEST_WORKGROUPS;
use super::fused::Fused;
use super::operand::{Along, along};
use super::product::Product;
use super::tile::Tile;
use super::{Context, Emitted};
use crate::base::DType;
use crate::fuse::resolve::Matrix;
use crate::record::{Text, grid, libraries};
use staging::Operand;
use std::fmt::Write as _;

/// Longest run of the inner axis that one workgroup adds up: far below the 65,535 iterations after which software
/// adapters stop.
const LONGEST_RUN: usize = 65_536;
/// Shortest run: below it, writing the parts and adding them up costs more than idle multiprocessors.
const SHORTEST_RUN: usize = 512;
/// So many tiles below each other are computed before those to their right, so that workgroups which run at the same
/// time share rows of A and columns of B in the cache.
const BAND: usize = 8;
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// How much of the inner axis one workgroup adds up: where few tiles would leave a GPU idle, as in weight gradients
/// over a long batch, the axis is cut.
pub fn inner_run(inner: usize, tiles: usize) -> usize {
    let parts = FEWEST_WORKGROUPS.div_ceil(tiles).min(inner / SHORTEST_RUN).max(1);
    let run = inner.div_ceil(parts).min(LONGEST_RUN).next_multiple_of(16);
    if run >= inner { inner.next_multiple_of(16) } else { run }
}

struct Writer<'a> {
    product: &'a Product<'a>,
    tile: Tile,
    a: Operand,
    b: Operand,
    text: String,
}

pub fn emit(context: &Context<'_>, product: &Product<'_>, tile: Tile, name: String) -> Emitted {
    let (a_base, a_strides) = Product::base(product.a, "a_base");
    let (b_base, b_strides) = Product::base(product.b, "b_base");
    let a_along = along(context, product.a, true, 4);
    let b_along = along(context, product.b, false, 4);
    // Where elements are loaded one by one, neighbours at least follow one another in memory.
    let staged = |matrix: &Matrix, inner_is_last: bool, along: Along, inner_stride: isize| match along {
        Along::Neither if !matrix.is_plain() => {
            let dense = matrix.side(inner_is_last).strides.last() == Some(&1);
            if dense { Along::Inner } else { Along::Outer }
        }
        Along::Neither if inner_stride == 1 => Along::Inner,
        Along::Neither => Along::Outer,
        along => along,
    };
    let a = Operand {
        name: "a",
        axis: "row",
        extent: product.rows,
        covered: tile.rows,
        side: tile.down(),
        lane: "y",
        along: staged(product.a, true, a_along, a_strides[1]),
        vectors: a_along != Along::Neither,
        strides: a_strides,
        paths: (!product.a.is_plain()).then_some(["a_rows", "a_columns"]),
        tile,
    };
    let b = Operand {
        name: "b",
        axis: "column",
        extent: product.columns,
        covered: tile.columns,
        side: tile.across(),
        lane: "x",
        along: staged(product.b, false, b_along, b_strides[0]),
        vectors: b_along != Along::Neither,
        strides: [b_strides[1], b_strides[0]],
        paths: (!product.b.is_plain()).then_some(["b_columns", "b_rows"]),
        tile,
    };

    let mut bindings = Bindings::new(context.images);
    // Their elements may be declared in fours, and those that programs load are not.
    for (matrix, operand) in [(product.a, &a), (product.b, &b)] {
        let width = if operand.vectors { 4 } else { 1 };
        bindings.own(Place::Tensor(matrix.access.tensor), operand.name, DType::F32, width, false);
    }
    let width = if product.columns.is_multiple_of(4) { 4 } else { 1 };
    let program = product.program;
    let stored = program.stores.first().map_or(DType::F32, |store| store.dtype);
    bindings.named(product.target, "c", stored, width, true);
    let whole = |access: &_| context.whole(access);
    let fused = Fused::new(program, "", width, Some("c"), &[], &whole, &mut bindings);
    if let Some((_, place)) = product.sums {
        bindings.named(place, "sums", DType::F32, 1, true);
    }

    let (down, across) = (product.rows.div_ceil(tile.rows), product.columns.div_ceil(tile.columns));
    let tiles = down * across * product.batch * product.splits();
    let workgroups = grid(tiles);
    let mut writer = Writer { product, tile, a, b, text: String::new() };
    writer.head(&bindings, &fused, width);
    writer.place(tiles, workgroups[0], &(a_base + &b_base));
    writer.multiply();
    writer.results();
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

impl Writer<'_> {
    /// Everything above the entry point.
    fn head(&mut self, bindings: &Bindings, fused: &Fused<'_>, width: usize) {
        let Tile { rows, columns, step, thread_rows, thread_columns } = self.tile;
        let (a, b) = (&self.a, &self.b);
        let staged = |operand: &Operand| self.tile.staged(operand.covered, operand.along == Along::Inner);
        let _ = write!(
            self.text,
            "// C[row, column] = sum over k of A[row, k] B[k, column].\n\
             //\n\
             // A workgroup of {} computes a tile of {rows} x {columns}, staging {step} columns of A and rows of B at a\n\
             // time in workgroup memory; every invocation holds {thread_rows} x {thread_columns} results in registers.\n\n\
             {}\n\
             var<workgroup> a_tile: array<vec4<f32>, {}>;\n\
             var<workgroup> b_tile: array<vec4<f32>, {}>;\n\n",
            self.tile.threads(),
            bindings.declarations(0),
            staged(a),
            staged(b)
        );
        self.text += &Product::paths(self.product.a, "a");
        self.text += &Product::paths(self.product.b, "b");
        self.text += &a.load_function();
        self.text += &b.load_function();
        self.text += &fused.functions(Some(DType::F32));
        let (rows, columns) = (self.product.rows, self.product.columns);
        let single = if width == 1 {
            format!("fn store_one(index: u32, value: f32) {{\n{}}}\n\n", fused.store_one(Some("value"), "    ").0)
        } else {
            String::new()
        };
        self.text += &single;
        let _ = write!(
            self.text,
            "fn store(plane: u32, row: u32, column: u32, value: vec4<f32>) {{\n    \
             if (row >= {rows}u || column >= {columns}u) {{\n        return;\n    }}\n    \
             let index = (plane * {rows}u + row) * {columns}u + column;\n"
        );
        if width == 4 {
            self.text += &fused.store_run(Some("value"), "    ").0;
        } else {
            self.text += "    store_one(index, value.x);\n";
            for (offset, component) in COMPONENTS.into_iter().enumerate().skip(1) {
                let _ = writeln!(
                    self.text,
                    "    if (column + {offset}u < {columns}u) {{\n        store_one(index + {offset}u, value.{component});\n    }}"
                );
            }
        }
        self.text += "}\n\n";
    }

    /// The entry point's first statements: which tile, and what each invocation stages of it.
    fn place(&mut self, tiles: usize, width: u32, bases: &str) {
        let Tile { rows, columns, .. } = self.tile;
        let product = self.product;
        let (down, across) = (product.rows.div_ceil(rows), product.columns.div_ceil(columns));
        let _ = write!(
            self.text,
            "@compute @workgroup_size({})\n\
             fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {{\n    \
             let tile = group.y * {width}u + group.x;\n    \
             // The last row of a folded grid may be incomplete. All invocations of a workgroup agree.\n    \
             if (tile >= {tiles}u) {{\n        return;\n    }}\n    \
             // Bands of {BAND} tiles below each other.\n    \
             let in_plane = tile % {}u;\n    \
             let band = in_plane / {}u * {BAND}u;\n    \
             let high = min({BAND}u, {down}u - band);\n    \
             let top = (band + in_plane % {}u % high) * {rows}u;\n    \
             let left = in_plane % {}u / high * {columns}u;\n    \
             // Planes are numbered split by split.\n    \
             let plane = tile / {}u;\n    let batch = plane % {}u;\n    let first = plane / {}u * {}u;\n    \
             let last = min(first + {}u, {}u);\n{bases}    \
             let x = local % {}u;\n    let y = local / {}u;\n",
            self.tile.threads(),
            down * across,
            BAND * across,
            BAND * across,
            BAND * across,
            down * across,
            product.batch,
            product.batch,
            product.run,
            product.run,
            product.inner,
            self.tile.across(),
            self.tile.across()
        );
        self.text += &self.a.places("top");
        self.text += &self.b.places("left");
    }

    fn row_blocks(&self) -> usize {
        self.tile.thread_rows / 4
    }

    fn column_blocks(&self) -> usize {
        self.tile.thread_columns / 4
    }

    /// The loop over the inner axis.
    fn multiply(&mut self) {
        let Tile { step, thread_rows, thread_columns, .. } = self.tile;
        for row in 0..thread_rows {
            for block in 0..self.column_blocks() {
                let _ = writeln!(self.text, "    var c{row}_{block} = vec4<f32>();");
            }
        }
        if let Some((ride, _)) = self.product.sums {
            let blocks = if ride.operand == 0 { self.row_blocks() } else { self.column_blocks() };
            for block in 0..blocks {
                let _ = writeln!(self.text, "    var sum{block} = vec4<f32>();");
            }
        }
        self.text += &self.a.fetch("first", "    ", "var ");
        self.text += &self.b.fetch("first", "    ", "var ");
        let _ = writeln!(self.text, "    for (var k0 = first; k0 < last; k0 += {step}u) {{");
        self.text += &self.a.stage();
        self.text += &self.b.stage();
        self.text += "        workgroupBarrier();\n        \
                      // The next part is on its way while this one is multiplied.\n";
        let next = format!("k0 + {step}u");
        self.text += &self.a.fetch(&next, "        ", "");
        self.text += &self.b.fetch(&next, "        ", "");
        let _ = writeln!(self.text, "        for (var k = 0u; k < {step}u; k += 4u) {{");
        self.text += &self.a.read_lines(thread_rows);
        self.text += &self.b.read_lines(thread_columns);
        for (step, component) in COMPONENTS.into_iter().enumerate() {
            if self.a.along == Along::Outer {
                self.text += &self.a.read_quads(self.row_blocks(), step);
            }
            self.text += &self.b.read_quads(self.column_blocks(), step);
            for row in 0..thread_rows {
                let value = match self.a.along {
                    Along::Inner => format!("a{row}.{component}"),
                    _ => format!("a{step}_{}.{}", row / 4, COMPONENTS[row % 4]),
                };
                for block in 0..self.column_blocks() {
                    let _ = writeln!(self.text, "            c{row}_{block} += {value} * b{step}_{block};");
                }
            }
        }
        self.text += "        }\n";
        if let Some((ride, _)) = self.product.sums {
            let (operand, blocks, first) = if ride.operand == 0 {
                (&self.a, self.row_blocks(), "left == 0u && x == 0u")
            } else {
                (&self.b, self.column_blocks(), "top == 0u && y == 0u")
            };
            let _ = writeln!(self.text, "        if ({first}) {{");
            self.text += &operand.add_up(blocks);
            self.text += "        }\n";
        }
        self.text += "        workgroupBarrier();\n    }\n";
    }

    /// Stores the results, and the sums of an operand.
    fn results(&mut self) {
        let tile = self.tile;
        for row in 0..tile.thread_rows {
            for block in 0..self.column_blocks() {
                let _ = writeln!(
                    self.text,
                    "    store(plane, top + {}u + y * 4u, left + {}u + x * 4u, c{row}_{block});",
                    row / 4 * tile.down() * 4 + row % 4,
                    block * tile.across() * 4
                );
            }
        }
        if let Some((ride, _)) = self.product.sums {
            let (blocks, first, place, side, extent) = if ride.operand == 0 {
                (self.row_blocks(), "left == 0u && x == 0u", "top + y * 4u", tile.down(), self.product.rows)
            } else {
                (self.column_blocks(), "top == 0u && y == 0u", "left + x * 4u", tile.across(), self.product.columns)
            };
            let _ = writeln!(self.text, "    if ({first}) {{");
            for block in 0..blocks {
                for (part, component) in COMPONENTS.into_iter().enumerate() {
                    let place = format!("{place} + {}u", block * side * 4 + part);
                    let _ = writeln!(
                        self.text,
                        "        if ({place} < {extent}u) {{\n            sums[{place}] = sum{block}.{component};\n        }}"
                    );
                }
            }
            self.text += "    }\n";
        }
        self.text += "}\n";
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::*;
    use crate::record::KernelClass;

    #[test]
    fn runs_cover_the_inner_axis_and_stay_short() {
        for inner in [1, 15, 16, 17, 300, 2048, 2049, 100_000] {
            for tiles in [1, 5, 63, 64, 1000] {
                let run = inner_run(inner, tiles);
                assert!(run <= LONGEST_RUN && run.is_multiple_of(16) && inner.div_ceil(run) * run >= inner);
            }
        }
    }

    /// WebGPU's default limits are 256 invocations and 16 KiB; every invocation stages equally many vectors.
    #[test]
    fn tiles_keep_the_limits_of_every_device() {
        for tile in Form::of_class(KernelClass::Gpu).iter().filter_map(|form| form.tile()) {
            assert!(tile.threads() <= 256 && tile.bytes() <= 16 << 10, "{tile:?}");
            for side in [tile.rows, tile.columns] {
                assert_eq!(side * tile.step / 4 % tile.threads(), 0, "{tile:?}");
            }
        }
    }
}
