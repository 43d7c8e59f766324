//! Products whose operands are loaded in fours or one by one, and what is done with results.

use super::{Along, COMPONENTS, LANES, Writer};
use crate::fuse::emit::contract::address;
use crate::fuse::emit::fused::Fused;
use std::fmt::Write as _;

impl Writer<'_> {
    /// The loops that add up the product.
    pub(super) fn product(&mut self) {
        for row in 0..self.high {
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
                let quad = format!("min(row + lane % {}u * 4u, {}u)", self.high / 4, self.product.rows - 4);
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
    pub(super) fn add(&mut self, steps: usize) {
        for row in 0..self.high {
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
    pub(super) fn store(&mut self, fused: &Fused<'_>, width: usize) {
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
    pub(super) fn results(&mut self) {
        if self.twice {
            for row in 0..self.high {
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
                "    for (var r = row; r < min(row + {}u, {rows}u); r++) {{\n        \
                 for (var v = column; v < min(column + {}u, {columns}u); v += 4u) {{\n            \
                 store(plane, r, v, c[((plane * {rows}u + r) * {columns}u + v) / 4u]);\n        }}\n    }}\n",
                self.high,
                self.vectors * 4
            );
            return;
        }
        for row in 0..self.high {
            for vector in 0..self.vectors {
                let column = if vector == 0 { "column".to_owned() } else { format!("column + {}u", vector * 4) };
                let _ = writeln!(self.text, "    store(plane, row + {row}u, {column}, c{row}_{vector});");
            }
        }
    }

    /// The sums of an operand along the inner axis, by the tiles of the first column or row.
    pub(super) fn sums(&mut self) {
        let Some((ride, _)) = self.product.sums else { return };
        if self.octets {
            self.octet_sums(ride.operand);
            return;
        }
        let (access, strides, mode, extent, position, count, tile) = if ride.operand == 0 {
            let count = if self.shares { self.high / LANES } else { self.high };
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
