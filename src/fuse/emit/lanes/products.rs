//! Products whose operands are loaded in fours or one by one, and what is done with results.

use super::{COMPONENTS, Writer};
use crate::fuse::emit::fused::Fused;
use std::fmt::Write as _;

impl Writer<'_> {
    /// The loops that add up the product.
    pub(super) fn product(&mut self) {
        for row in 0..self.block.rows {
            for vector in 0..self.block.vectors {
                let _ = writeln!(self.text, "    var c{row}_{vector} = vec4<f32>();");
            }
        }
        self.places();
        self.begin_sums();
        let whole = self.product.inner / 4 * 4;
        if whole > 0 {
            let _ = writeln!(self.text, "    for (var k = first; k < min(last, {whole}u); k += 4u) {{");
            self.load_a(4);
            self.load_b(4);
            self.add(4);
            self.add_sums(4);
            self.text += "    }\n";
        }
        if whole < self.product.inner {
            // What is left of an inner axis that is no multiple of four. Only operands that are loaded in fours
            // along the other axis are here, and those that are loaded one by one.
            let _ = writeln!(self.text, "    for (var k = max(first, {whole}u); k < last; k++) {{");
            self.load_a(1);
            self.load_b(1);
            self.add(1);
            self.add_sums(1);
            self.text += "    }\n";
        }
    }

    /// Statements that add what was loaded. Results do not all fit into registers, so each is changed once for
    /// all steps.
    pub(super) fn add(&mut self, steps: usize) {
        for row in 0..self.block.rows {
            for k in 0..steps {
                let _ = writeln!(self.text, "        let v{row}_{k} = {};", self.a_value(row, k));
            }
            for vector in 0..self.block.vectors {
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

    /// Stores the results in a loop over a few rows at a time, picked from the registers: so the text, and the time to
    /// compile it, do not grow by what is done with every one of them.
    pub(super) fn results(&mut self) {
        let at_once = if self.long { 1 } else { 4 };
        let (parts, rows) = (self.block.rows / at_once, self.product.rows);
        let _ = writeln!(
            self.text,
            "    let parts = min({parts}u, ({rows}u - min(row, {rows}u) + {}u) / {at_once}u);\n    \
             for (var part = 0u; part < parts; part++) {{",
            at_once - 1
        );
        for own in 0..at_once {
            for vector in 0..self.block.vectors {
                let _ = writeln!(self.text, "        var r{own}_{vector} = c{own}_{vector};");
                for part in 1..parts {
                    let row = part * at_once + own;
                    let _ = writeln!(
                        self.text,
                        "        r{own}_{vector} = select(r{own}_{vector}, c{row}_{vector}, part == {part}u);"
                    );
                }
                let column = if vector == 0 { "column".to_owned() } else { format!("column + {}u", vector * 4) };
                let row = if at_once == 1 { "part".to_owned() } else { format!("part * {at_once}u + {own}u") };
                let _ = writeln!(self.text, "        store(plane, row + {row}, {column}, r{own}_{vector});");
            }
        }
        self.text += "    }\n";
    }
}
