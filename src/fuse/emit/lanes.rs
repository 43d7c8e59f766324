//! The matrix product for adapters whose shaders run on a CPU: everything in registers, no barriers.
//!
//! Loads are what costs there, so an invocation holds many results. Where eight invocations are one SIMD
//! register (class `Subgroup`), they share sixteen rows: each loads two rows of A, and hands every element to the
//! other seven by `subgroupBroadcast`; of B and C each has columns of its own. Elsewhere (class `Cpu`) every
//! invocation has a tile of its own. Four steps of the inner axis are unrolled, so that operands which lie
//! densely along one of their axes are loaded as vectors.

use super::bindings::{Bindings, Place};
use super::contract::{Product, address};
use super::fused::{Fused, runs};
use super::{Context, Emitted, Fours};
use crate::base::{DType, Layout};
use crate::fuse::resolve::Access;
use crate::record::{KernelClass, Pointwise, Text, grid, libraries};
use std::fmt::Write as _;

/// Rows of a tile.
const ROWS: usize = 16;
/// Invocations of a workgroup: the lanes of a SIMD register.
const LANES: usize = 8;
/// Longest run of the inner axis that one invocation adds up, four elements per iteration: far below the 65,535
/// iterations after which software adapters stop.
const LONGEST_RUN: usize = 131_072;
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];
/// Functions that take pairs of floats apart.
const PAIRS: &str = "\
fn low(pair: u64) -> f32 {
    return bitcast<f32>(u32(pair & 0xfffffffflu));
}

fn high(pair: u64) -> f32 {
    return bitcast<f32>(u32(pair >> 32u));
}

";

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
    /// Whether operands are loaded in eights.
    octets: bool,
    /// Whether results are stored before the program goes on with them.
    twice: bool,
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
    let along = |access: &Access, strides: [isize; 2], inner_is_last: bool, length: usize| {
        let whole = context.whole(access);
        let lies = |layout: &Layout| runs(layout, whole, length) == Fours::Vector;
        if !lies(&access.layout) && !lies(&turned(&access.layout)) {
            return Along::Neither;
        }
        let rank = access.layout.shape.rank();
        let fits = |axis: usize| strides[axis] == 1 && access.layout.shape[rank - 2 + axis].is_multiple_of(length);
        match (fits(1), fits(0)) {
            (true, _) if inner_is_last => Along::Inner,
            (true, _) => Along::Outer,
            (_, true) if inner_is_last => Along::Outer,
            (_, true) => Along::Inner,
            _ => Along::Neither,
        }
    };
    let modes = |length: usize| (along(product.a, a_strides, true, length), along(product.b, b_strides, false, length));
    // Eight elements at once, as four words of 64 bits, where both operands lie so: half as many loads.
    let octets = shares && vectors == 2 && {
        let (a, b) = modes(8);
        a != Along::Neither && b != Along::Neither
    };
    let (a, b) = modes(if octets { 8 } else { 4 });
    let twice = product.columns.is_multiple_of(4)
        && product.program.stores.first().is_none_or(|store| store.dtype == DType::F32)
        && product.program.steps.iter().any(|step| is_long(&step.pointwise));
    let mut writer =
        Writer { product, shares, octets, twice, vectors, a, b, a_strides, b_strides, text: String::new() };

    let (wide, splits) = (4 * vectors * if shares { LANES } else { 1 }, product.splits());
    let (down, across) = (product.rows.div_ceil(ROWS), product.columns.div_ceil(wide));
    let tiles = down * across * product.batch * splits;
    let workgroups = grid(if shares { tiles } else { tiles.div_ceil(LANES) });

    let mut bindings = Bindings::default();
    let declared = |along: Along| match along {
        Along::Neither => 1,
        _ if octets => 8,
        _ => 4,
    };
    bindings.named(Place::Tensor(product.a.tensor), "a", DType::F32, declared(a), false);
    bindings.named(Place::Tensor(product.b.tensor), "b", DType::F32, declared(b), false);
    let width = if product.columns.is_multiple_of(4) { 4 } else { 1 };
    let program = product.program;
    let stored = program.stores.first().map_or(DType::F32, |store| store.dtype);
    bindings.named(product.target, "c", stored, width, true);
    let whole = |access: &_| context.whole(access);
    // A and B are bound under names of their own; what the program loads of them is bound once more.
    let hidden: Vec<Place> =
        bindings.0.iter_mut().map(|bound| std::mem::replace(&mut bound.place, Place::Scratch(usize::MAX))).collect();
    let fused = Fused::new(program, "", width, Some("c"), &[], &whole, &mut bindings);
    for (bound, place) in bindings.0.iter_mut().zip(hidden) {
        bound.place = place;
    }
    if let Some((_, place)) = product.sums {
        bindings.named(place, "sums", DType::F32, 1, true);
    }

    writer.text = bindings.declarations(0);
    writer.text.push('\n');
    if octets {
        writer.text += PAIRS;
    }
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

/// Whether a step calls functions of some length.
fn is_long(pointwise: &Pointwise) -> bool {
    let short = [&libraries::COMPARISON, &libraries::NUMBERS];
    pointwise.libraries.iter().any(|library| short.iter().all(|short| short.name != library.name))
}

/// The layout with its last two axes exchanged.
fn turned(layout: &Layout) -> Layout {
    let mut turned = layout.clone();
    let rank = layout.shape.rank();
    let mut extents = layout.shape.to_vec();
    extents.swap(rank - 2, rank - 1);
    turned.strides.swap(rank - 2, rank - 1);
    turned.shape = extents.into();
    turned
}

impl Writer<'_> {
    /// How a value of A is called: row `row` of the tile, step `k` of four.
    fn a_value(&self, row: usize, k: usize) -> String {
        let component = |index: usize| COMPONENTS[index];
        match (self.shares, self.a) {
            (_, Along::Inner) if self.octets => {
                format!("subgroupBroadcast(a{}_{k}, {}u)", row / LANES, row % LANES)
            }
            // A lane holds eight rows of one step: even lanes the first eight, four steps to a load.
            (_, Along::Outer) if self.octets => {
                format!("subgroupBroadcast(a{}_{}, {}u)", k / 4, row % 8, k % 4 * 2 + row / 8)
            }
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
            _ if self.octets => {
                let index = |load: usize| {
                    if self.a == Along::Inner {
                        at(&own(load), "k")
                    } else {
                        let octet = format!("min(row + lane % 2u * 8u, {}u)", self.product.rows - 8);
                        // In the rest of the axis, lanes past its end load the last step, which nothing reads.
                        let k = format!("(k + {}u + lane / 2u)", load * 4);
                        let k = if steps < 8 { format!("min({k}, {}u)", self.product.inner - 1) } else { k };
                        at(&octet, &k)
                    }
                };
                for (load, index) in [index(0), index(1)].into_iter().enumerate() {
                    let _ = writeln!(self.text, "        let e{load} = a[({index}) / 8u];");
                    self.unpack(&format!("e{load}"), &format!("a{load}"));
                }
            }
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
        if self.octets {
            let loads = if self.b == Along::Outer { steps } else { 8 };
            for load in 0..loads {
                let (k, column) = if self.b == Along::Outer {
                    (step(load), format!("min(column, {}u)", columns - 8))
                } else {
                    ("k".to_owned(), format!("min(column + {load}u, {}u)", columns - 1))
                };
                let _ = writeln!(self.text, "        let f{load} = b[({}) / 8u];", at(&k, &column));
                self.unpack(&format!("f{load}"), &format!("t{load}"));
            }
            for k in 0..steps {
                for vector in 0..2 {
                    let part = |own: usize| {
                        let column = vector * 4 + own;
                        if self.b == Along::Outer { format!("t{k}_{column}") } else { format!("t{column}_{k}") }
                    };
                    let _ = writeln!(
                        self.text,
                        "        let b{k}_{vector} = vec4<f32>({}, {}, {}, {});",
                        part(0),
                        part(1),
                        part(2),
                        part(3)
                    );
                }
            }
            return;
        }
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

    /// Statements that take the eight floats of a load apart.
    fn unpack(&mut self, from: &str, to: &str) {
        for (pair, component) in COMPONENTS.into_iter().enumerate() {
            let _ = writeln!(self.text, "        let {to}_{} = low({from}.{component});", 2 * pair);
            let _ = writeln!(self.text, "        let {to}_{} = high({from}.{component});", 2 * pair + 1);
        }
    }

    /// The loop over eight steps at a time, where operands are loaded in eights; sums of an operand along the
    /// inner axis are added up on the way.
    fn octets(&mut self) {
        let ride = self.product.sums.map(|(ride, _)| ride.operand);
        let partial = match (ride, self.a) {
            (Some(0), Along::Inner) => 2,
            (Some(_), _) => 8,
            _ => 0,
        };
        for number in 0..partial {
            let _ = writeln!(self.text, "    var p{number} = 0.0f;");
        }
        let inner = self.product.inner;
        let whole = inner / 8 * 8;
        let _ = writeln!(self.text, "    for (var k = first; k < min(last, {whole}u); k += 8u) {{");
        self.octet(8, partial);
        self.text += "    }\n";
        if whole < inner {
            // Both operands are loaded along their other axis here, or the inner one would be a multiple of eight.
            let _ = writeln!(self.text, "    if (last == {inner}u) {{\n        let k = {whole}u;");
            self.octet(inner - whole, partial);
            self.text += "    }\n";
        }
    }

    /// At most eight steps from `k` on.
    fn octet(&mut self, steps: usize, partial: usize) {
        let ride = self.product.sums.map(|(ride, _)| ride.operand);
        self.load_a(steps);
        self.load_b(steps);
        for number in 0..partial {
            let terms: Vec<String> = match (ride, self.a) {
                (Some(0), Along::Inner) => (0..8).map(|k| format!("a{number}_{k}")).collect(),
                (Some(0), _) if steps < 8 => (0..2)
                    .map(|load| format!("select(0.0f, a{load}_{number}, {}u + lane / 2u < {steps}u)", load * 4))
                    .collect(),
                (Some(0), _) => vec![format!("a0_{number}"), format!("a1_{number}")],
                _ => (0..steps).map(|k| format!("b{k}_{}.{}", number / 4, COMPONENTS[number % 4])).collect(),
            };
            let _ = writeln!(self.text, "        p{number} += {};", terms.join(" + "));
        }
        self.add(steps);
    }

    /// Stores the sums that [`octets`](Self::octets) has added up.
    fn octet_sums(&mut self, operand: usize) {
        let (rows, columns) = (self.product.rows, self.product.columns);
        if operand == 1 {
            let _ = writeln!(self.text, "    if (row == 0u && column < {columns}u) {{");
            for number in 0..8 {
                let _ = writeln!(self.text, "        sums[column + {number}u] = p{number};");
            }
            self.text += "    }\n";
            return;
        }
        // Every lane gets the sums of its two rows; the first tile of a row of tiles stores them.
        let first = format!("column - lane * {}u == 0u", 4 * self.vectors);
        for half in 0..2 {
            if self.a == Along::Inner {
                let _ = writeln!(self.text, "    let sum{half} = p{half};");
                continue;
            }
            // Rows in eights lie in lanes of one parity.
            let _ = writeln!(self.text, "    var sum{half} = 0.0f;");
            for row in 0..8 {
                let lanes: Vec<String> =
                    (0..4).map(|step| format!("subgroupBroadcast(p{row}, {}u)", step * 2 + half)).collect();
                let _ = writeln!(
                    self.text,
                    "    let total{half}_{row} = {};\n    sum{half} = select(sum{half}, total{half}_{row}, lane == {row}u);",
                    lanes.join(" + ")
                );
            }
        }
        for half in 0..2 {
            let place = format!("row + {}u + lane", half * 8);
            let _ = writeln!(
                self.text,
                "    if ({first} && {place} < {rows}u) {{\n        sums[{place}] = sum{half};\n    }}"
            );
        }
    }

    /// The loops that add up the product.
    fn product(&mut self) {
        for row in 0..ROWS {
            for vector in 0..self.vectors {
                let _ = writeln!(self.text, "    var c{row}_{vector} = vec4<f32>();");
            }
        }
        if self.octets {
            self.octets();
            return;
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
            self.text += &fused.store_run(Some("value"), "    ").0;
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

    /// Stores the results. Where much is done with them, as plain sums first, on which a loop then goes on: so the
    /// text, and the time to compile it, do not grow by what is done with every one of them.
    fn results(&mut self) {
        if self.twice {
            for row in 0..ROWS {
                for vector in 0..self.vectors {
                    let (rows, columns) = (self.product.rows, self.product.columns);
                    let _ = writeln!(
                        self.text,
                        "    if (row + {row}u < {rows}u && column + {}u < {columns}u) {{\n        \
                         c[((plane * {rows}u + row + {row}u) * {columns}u + column) / 4u + {vector}u] = c{row}_{vector};\n    }}",
                        vector * 4
                    );
                }
            }
            let (rows, columns) = (self.product.rows, self.product.columns);
            let _ = write!(
                self.text,
                "    for (var r = row; r < min(row + {ROWS}u, {rows}u); r++) {{\n        \
                 for (var v = column; v < min(column + {}u, {columns}u); v += 4u) {{\n            \
                 store(plane, r, v, c[((plane * {rows}u + r) * {columns}u + v) / 4u]);\n        }}\n    }}\n",
                self.vectors * 4
            );
            return;
        }
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
        if self.octets {
            self.octet_sums(ride.operand);
            return;
        }
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
