//! The matrix product for adapters whose shaders run on a CPU: everything in registers, no barriers.
//!
//! Loads are what costs there, so an invocation holds many results. Where eight invocations are one SIMD
//! register (class `Subgroup`), they share sixteen rows: each loads two rows of A, and hands every element to the
//! other seven by `subgroupBroadcast`; of B and C each has columns of its own. Elsewhere (class `Cpu`) every
//! invocation has a tile of its own. Four steps of the inner axis are unrolled, so that operands which lie
//! densely along one of their axes are loaded as vectors.

use super::bindings::{Bindings, Place};
use super::contract::{Product, address};
use super::fused::{Fused, fours};
use super::{Context, Emitted, Fours};
use crate::base::DType;
use crate::fuse::resolve::Access;
use crate::record::{KernelClass, Text, grid, libraries};
use std::fmt::Write as _;

/// Rows of a tile.
const ROWS: usize = 16;
/// Invocations of a workgroup: the lanes of a SIMD register.
const LANES: usize = 8;
/// Longest run of the inner axis that one invocation adds up, four elements per iteration: far below the 65,535
/// iterations after which software adapters stop.
const LONGEST_RUN: usize = 131_072;
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// How much of the inner axis one invocation adds up.
pub fn inner_run(inner: usize) -> usize {
    inner.next_multiple_of(16).min(LONGEST_RUN)
}

/// Along which of its axes an operand is loaded in fours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    Inner,
    Outer,
    Neither,
}

struct Writer<'a> {
    product: &'a Product<'a>,
    /// Whether lanes share rows of A.
    shares: bool,
    /// Vectors of four columns that one invocation has.
    vectors: usize,
    a: Along,
    b: Along,
    a_strides: [isize; 2],
    b_strides: [isize; 2],
    text: String,
}

pub fn emit(context: &Context<'_>, product: &Product<'_>, name: String) -> Emitted {
    let shares = context.class == KernelClass::Subgroup;
    let vectors = if product.columns >= 2 * 4 * LANES { 2 } else { 1 };
    let (a_base, a_strides) = Product::base(product.a, "a_base");
    let (b_base, b_strides) = Product::base(product.b, "b_base");
    let along = |access: &Access, [row, column]: [isize; 2], outer_is_first: bool| {
        let (rows, columns) = (access.layout.shape[access.layout.shape.rank() - 2], access.layout.shape.last());
        let whole = context.whole(access);
        if fours(&access.layout, whole) != Fours::Vector && !turned_fours(access, whole) {
            return Along::Neither;
        }
        match (row, column) {
            (_, 1) if columns % 4 == 0 => {
                if outer_is_first {
                    Along::Inner
                } else {
                    Along::Outer
                }
            }
            (1, _) if rows % 4 == 0 => {
                if outer_is_first {
                    Along::Outer
                } else {
                    Along::Inner
                }
            }
            _ => Along::Neither,
        }
    };
    let (a, b) = (along(product.a, a_strides, true), along(product.b, b_strides, false));
    let mut writer = Writer { product, shares, vectors, a, b, a_strides, b_strides, text: String::new() };

    let (wide, splits) = (4 * vectors * if shares { LANES } else { 1 }, product.splits());
    let (down, across) = (product.rows.div_ceil(ROWS), product.columns.div_ceil(wide));
    let tiles = down * across * product.batch * splits;
    let workgroups = grid(if shares { tiles } else { tiles.div_ceil(LANES) });

    let mut bindings = Bindings::default();
    bindings.named(Place::Tensor(product.a.tensor), "a", DType::F32, a != Along::Neither, false);
    bindings.named(Place::Tensor(product.b.tensor), "b", DType::F32, b != Along::Neither, false);
    let width = if product.columns.is_multiple_of(4) { 4 } else { 1 };
    let program = product.program;
    let stored = program.stores.first().map_or(DType::F32, |store| store.dtype);
    bindings.named(product.target, "c", stored, width == 4, true);
    let whole = |access: &_| context.whole(access);
    // A and B are bound under names of their own; what the program loads of them is bound once more.
    let hidden: Vec<Place> =
        bindings.0.iter_mut().map(|bound| std::mem::replace(&mut bound.place, Place::Scratch(usize::MAX))).collect();
    let fused = Fused::new(program, "", width, Some("c"), &[], &whole, &mut bindings);
    for (bound, place) in bindings.0.iter_mut().zip(hidden) {
        bound.place = place;
    }
    if let Some((_, place)) = product.sums {
        bindings.named(place, "sums", DType::F32, false, true);
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
        "    let column = (tile % {across}u) * {wide}u{own};\n    let row = (tile / {across}u % {down}u) * {ROWS}u;\n    \
         let plane = tile / {}u;\n    let batch = plane % {}u;\n    let first = plane / {}u * {}u;\n    \
         let last = min(first + {}u, {}u);\n",
        across * down,
        product.batch,
        product.batch,
        product.run,
        product.run,
        product.inner
    );
    writer.text += &a_base;
    writer.text += &b_base;
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

/// Whether the operand lies in fours once its last two axes are exchanged.
fn turned_fours(access: &Access, whole: usize) -> bool {
    let rank = access.layout.shape.rank();
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 2, rank - 1);
    let turned = access.layout.view(&crate::base::View::Permute(order));
    turned.is_some_and(|layout| fours(&layout, whole) == Fours::Vector)
}

impl Writer<'_> {
    /// How a value of A is called: row `row` of the tile, step `k` of four.
    fn a_value(&self, row: usize, k: usize) -> String {
        let component = |index: usize| COMPONENTS[index];
        match (self.shares, self.a) {
            (true, Along::Inner) => {
                format!("subgroupBroadcast(a{}.{}, {}u)", row / LANES, component(k), row % LANES)
            }
            // A lane holds four rows of one step: lanes 0 to 3 of the even steps, 4 to 7 of the odd ones.
            (true, Along::Outer) => {
                format!("subgroupBroadcast(a{}.{}, {}u)", k / 2, component(row % 4), (k % 2) * 4 + row / 4)
            }
            (true, Along::Neither) => format!("subgroupBroadcast(a{}_{k}, {}u)", row / LANES, row % LANES),
            (false, Along::Inner) => format!("a{row}.{}", component(k)),
            (false, Along::Outer) => format!("a{}_{k}.{}", row / 4, component(row % 4)),
            (false, Along::Neither) => format!("a{row}_{k}"),
        }
    }

    /// Statements that load what [`a_value`](Self::a_value) names, for `steps` steps from `k` on.
    fn load_a(&mut self, steps: usize) {
        let [row_stride, inner_stride] = self.a_strides;
        let most = self.product.rows - 1;
        let clamped = |row: &str| format!("min({row}, {most}u)");
        let at = |row: &str, k: &str| address("a_base", &[(row, row_stride), (k, inner_stride)]);
        let step = |k: usize| if k == 0 { "k".to_owned() } else { format!("(k + {k}u)") };
        let rows = if self.shares { ROWS / LANES } else { ROWS };
        let own = |row: usize| {
            if self.shares {
                clamped(&format!("row + {}u + lane", row * LANES))
            } else {
                clamped(&format!("row + {row}u"))
            }
        };
        match self.a {
            Along::Inner => {
                for row in 0..rows {
                    let _ = writeln!(self.text, "        let a{row} = a[({}) / 4u];", at(&own(row), "k"));
                }
            }
            Along::Outer if self.shares => {
                // The last four rows stand in for those past the edge, whose results are not stored.
                let quad = format!("min(row + lane % 4u * 4u, {}u)", self.product.rows - 4);
                for pair in 0..2 {
                    let k = format!("(k + {}u + lane / 4u)", pair * 2);
                    let _ = writeln!(self.text, "        let a{pair} = a[({}) / 4u];", at(&quad, &k));
                }
            }
            Along::Outer => {
                for quad in 0..ROWS / 4 {
                    let row = format!("min(row + {}u, {}u)", quad * 4, self.product.rows - 4);
                    for k in 0..steps {
                        let _ = writeln!(self.text, "        let a{quad}_{k} = a[({}) / 4u];", at(&row, &step(k)));
                    }
                }
            }
            Along::Neither => {
                for row in 0..rows {
                    for k in 0..steps {
                        let _ = writeln!(self.text, "        let a{row}_{k} = a[{}];", at(&own(row), &step(k)));
                    }
                }
            }
        }
    }

    /// Statements that load `b{k}_{vector}`, four columns each, for `steps` steps from `k` on.
    fn load_b(&mut self, steps: usize) {
        let [inner_stride, column_stride] = self.b_strides;
        let columns = self.product.columns;
        let at = |k: &str, column: &str| address("b_base", &[(k, inner_stride), (column, column_stride)]);
        let step = |k: usize| if k == 0 { "k".to_owned() } else { format!("(k + {k}u)") };
        for vector in 0..self.vectors {
            match self.b {
                Along::Outer => {
                    let column = format!("min(column + {}u, {}u)", vector * 4, columns - 4);
                    for k in 0..steps {
                        let _ = writeln!(self.text, "        let b{k}_{vector} = b[({}) / 4u];", at(&step(k), &column));
                    }
                }
                Along::Inner => {
                    for own in 0..4 {
                        let column = format!("min(column + {}u, {}u)", vector * 4 + own, columns - 1);
                        let _ = writeln!(self.text, "        let t{vector}_{own} = b[({}) / 4u];", at("k", &column));
                    }
                    for (k, component) in COMPONENTS.into_iter().enumerate() {
                        let _ = writeln!(
                            self.text,
                            "        let b{k}_{vector} = vec4<f32>(t{vector}_0.{component}, t{vector}_1.{component}, t{vector}_2.{component}, t{vector}_3.{component});"
                        );
                    }
                }
                Along::Neither => {
                    for k in 0..steps {
                        let parts: Vec<String> = (0..4)
                            .map(|own| {
                                let column = format!("min(column + {}u, {}u)", vector * 4 + own, columns - 1);
                                format!("b[{}]", at(&step(k), &column))
                            })
                            .collect();
                        let _ = writeln!(self.text, "        let b{k}_{vector} = vec4<f32>({});", parts.join(", "));
                    }
                }
            }
        }
    }

    /// The loops that add up the product.
    fn product(&mut self) {
        for row in 0..ROWS {
            for vector in 0..self.vectors {
                let _ = writeln!(self.text, "    var c{row}_{vector} = vec4<f32>();");
            }
        }
        let whole = self.product.inner / 4 * 4;
        if whole > 0 {
            let _ = writeln!(self.text, "    for (var k = first; k < min(last, {whole}u); k += 4u) {{");
            self.load_a(4);
            self.load_b(4);
            self.add(4);
            self.text += "    }\n";
        }
        if whole < self.product.inner {
            // What is left of an inner axis that is no multiple of four. Only operands that are loaded in fours
            // along the other axis are here, and those that are loaded one by one.
            let _ = writeln!(self.text, "    for (var k = max(first, {whole}u); k < last; k++) {{");
            let (shares, a) = (self.shares, self.a);
            if shares && a == Along::Outer {
                // Lanes hold two steps each; the second one of these is not there.
                let [row_stride, inner_stride] = self.a_strides;
                let quad = format!("min(row + lane % 4u * 4u, {}u)", self.product.rows - 4);
                let index = address("a_base", &[(quad.as_str(), row_stride), ("k", inner_stride)]);
                let _ = writeln!(self.text, "        let a0 = a[({index}) / 4u];");
            } else {
                self.load_a(1);
            }
            self.load_b(1);
            self.add(1);
            self.text += "    }\n";
        }
    }

    /// Statements that add what was loaded. Results do not all fit into registers, so each is changed once for
    /// all steps.
    fn add(&mut self, steps: usize) {
        for row in 0..ROWS {
            for k in 0..steps {
                let _ = writeln!(self.text, "        let v{row}_{k} = {};", self.a_value(row, k));
            }
            for vector in 0..self.vectors {
                let products: Vec<String> = (0..steps).map(|k| format!("v{row}_{k} * b{k}_{vector}")).collect();
                let _ = writeln!(self.text, "        c{row}_{vector} += {};", products.join(" + "));
            }
        }
    }

    /// The function that does with four results what the program says, and stores them.
    fn store(&mut self, fused: &Fused<'_>, width: usize) {
        let (rows, columns) = (self.product.rows, self.product.columns);
        let _ = write!(
            self.text,
            "fn store(plane: u32, row: u32, column: u32, value: vec4<f32>) {{\n    \
             if (row >= {rows}u || column >= {columns}u) {{\n        return;\n    }}\n    \
             let index = (plane * {rows}u + row) * {columns}u + column;\n"
        );
        if width == 4 {
            self.text += &fused.store_four(Some("value"), "    ").0;
            self.text += "}\n\n";
            return;
        }
        for (offset, component) in COMPONENTS.into_iter().enumerate() {
            let guard = if offset == 0 { "true".to_owned() } else { format!("column + {offset}u < {columns}u") };
            let _ = writeln!(
                self.text,
                "    if ({guard}) {{\n        store_one(index + {offset}u, value.{component});\n    }}"
            );
        }
        self.text += "}\n\n";
        let body = fused.store_one(Some("value"), "    ").0;
        let _ = writeln!(self.text, "fn store_one(index: u32, value: f32) {{\n{body}}}\n");
    }

    fn results(&mut self) {
        for row in 0..ROWS {
            for vector in 0..self.vectors {
                let column = if vector == 0 { "column".to_owned() } else { format!("column + {}u", vector * 4) };
                let _ = writeln!(self.text, "    store(plane, row + {row}u, {column}, c{row}_{vector});");
            }
        }
    }

    /// The sums of an operand along the inner axis, by the tiles of the first column or row.
    fn sums(&mut self) {
        let Some((ride, _)) = self.product.sums else { return };
        let (access, strides, mode, extent, position, count, tile) = if ride.operand == 0 {
            let count = if self.shares { ROWS / LANES } else { ROWS };
            (self.product.a, self.a_strides, self.a, self.product.rows, "row", count, "column")
        } else {
            let [inner, column] = self.b_strides;
            (self.product.b, [column, inner], self.b, self.product.columns, "column", 4 * self.vectors, "row")
        };
        let _ = access;
        let (variable, base) = if ride.operand == 0 { ("a", "a_base") } else { ("b", "b_base") };
        let first_tile = if ride.operand == 0 && self.shares {
            // The lanes of the first tile have columns of their own; the tile is the first of its row.
            format!("{tile} - lane * {}u == 0u", 4 * self.vectors)
        } else {
            format!("{tile} == 0u")
        };
        let inner = self.product.inner;
        let _ = writeln!(self.text, "    if ({first_tile}) {{");
        for number in 0..count {
            let place = if ride.operand == 0 && self.shares {
                format!("{position} + {}u + lane", number * LANES)
            } else {
                format!("{position} + {number}u")
            };
            let own = format!("min({place}, {}u)", extent - 1);
            let at = |k: &str| address(base, &[(own.as_str(), strides[0]), (k, strides[1])]);
            let _ = writeln!(self.text, "        var sum{number} = 0.0f;");
            match mode {
                Along::Inner => {
                    let _ = writeln!(
                        self.text,
                        "        for (var k = 0u; k < {inner}u; k += 4u) {{\n            let four = {variable}[({}) / 4u];\n            sum{number} += (four.x + four.y) + (four.z + four.w);\n        }}",
                        at("k")
                    );
                }
                Along::Outer | Along::Neither => {
                    let index = at("k");
                    let element = if mode == Along::Outer {
                        format!("{variable}[({index}) / 4u][({index}) % 4u]")
                    } else {
                        format!("{variable}[{index}]")
                    };
                    let _ = writeln!(
                        self.text,
                        "        for (var k = 0u; k < {inner}u; k++) {{\n            sum{number} += {element};\n        }}"
                    );
                }
            }
            let _ = writeln!(
                self.text,
                "        if ({place} < {extent}u) {{\n            sums[{place}] = sum{number};\n        }}"
            );
        }
        self.text += "    }\n";
    }
}
