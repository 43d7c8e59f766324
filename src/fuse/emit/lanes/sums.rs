//! Sums of an operand along the inner axis, such as bias gradients, which ride along with a product: they add up
//! what it loads.

use super::{Along, COMPONENTS, LANES, Writer};
use std::fmt::Write as _;

impl Writer<'_> {
    /// Which operand is summed, if one is: 0 for A, 1 for B.
    fn summed(&self) -> Option<usize> {
        self.product.sums.map(|(ride, _)| ride.operand)
    }

    /// The partial sums that an invocation has: their names and the type.
    fn partial_sums(&self) -> (usize, &'static str) {
        match (self.summed(), self.a) {
            (None, _) => (0, ""),
            (Some(0), Along::Outer) if self.block.shares => (1, "vec4<f32>"),
            (Some(0), Along::Outer) => (self.block.rows / 4, "vec4<f32>"),
            (Some(0), _) => (self.block.loaded_rows(), "f32"),
            (Some(_), _) => (self.block.vectors, "vec4<f32>"),
        }
    }

    /// Declares them.
    pub(super) fn begin_sums(&mut self) {
        let (count, kind) = self.partial_sums();
        for number in 0..count {
            let _ = writeln!(self.text, "    var p{number} = {kind}();");
        }
    }

    /// Adds what was loaded for so many steps.
    pub(super) fn add_sums(&mut self, steps: usize) {
        let (count, _) = self.partial_sums();
        for number in 0..count {
            let terms: Vec<String> = match (self.summed(), self.a) {
                (Some(0), Along::Outer) if self.block.shares => {
                    let (quads, held) = self.block.quads();
                    if steps == 1 && held > 1 {
                        // The other lanes have loaded the same step again.
                        vec![format!("select(vec4<f32>(), a0, lane < {quads}u)")]
                    } else {
                        (0..steps.div_ceil(held)).map(|load| format!("a{load}")).collect()
                    }
                }
                (Some(0), Along::Inner) => (0..steps).map(|k| format!("a{number}.{}", COMPONENTS[k])).collect(),
                (Some(0), _) => (0..steps).map(|k| format!("a{number}_{k}")).collect(),
                _ => (0..steps).map(|k| format!("b{k}_{number}")).collect(),
            };
            let _ = writeln!(self.text, "        p{number} += {};", terms.join(" + "));
        }
    }

    /// Stores the sums: those of a row by the first tile of a row of tiles, those of a column by the first of a column.
    pub(super) fn sums(&mut self) {
        let (count, kind) = self.partial_sums();
        match self.summed() {
            None => return,
            Some(0) => {
                let own =
                    if self.block.shares { format!(" - lane * {}u", 4 * self.block.vectors) } else { String::new() };
                let _ = writeln!(self.text, "    let is_first = column{own} == 0u;");
            }
            Some(_) => self.text += "    let is_first = row == 0u;\n",
        }
        let (extent, position) =
            if self.summed() == Some(0) { (self.product.rows, "row") } else { (self.product.columns, "column") };
        let mut results: Vec<(String, String)> = Vec::new();
        if self.summed() == Some(0) && self.block.shares && self.a == Along::Outer {
            // Lanes have sums of the same rows over different steps.
            let (quads, held) = self.block.quads();
            for quad in 0..quads {
                let parts: Vec<String> =
                    (0..held).map(|step| format!("subgroupBroadcast(p0, {}u)", step * quads + quad)).collect();
                let _ = writeln!(self.text, "    let q{quad} = {};", parts.join(" + "));
                for (part, component) in COMPONENTS.into_iter().enumerate() {
                    results.push((format!("{position} + {}u", quad * 4 + part), format!("q{quad}.{component}")));
                }
            }
        } else {
            for number in 0..count {
                if kind == "f32" {
                    let own =
                        if self.block.shares { format!("{}u + lane", number * LANES) } else { format!("{number}u") };
                    results.push((format!("{position} + {own}"), format!("p{number}")));
                    continue;
                }
                for (part, component) in COMPONENTS.into_iter().enumerate() {
                    results.push((format!("{position} + {}u", number * 4 + part), format!("p{number}.{component}")));
                }
            }
        }
        self.text += "    if (is_first) {\n";
        for (place, value) in results {
            let _ = writeln!(
                self.text,
                "        if ({place} < {extent}u) {{\n            sums[{place}] = {value};\n        }}"
            );
        }
        self.text += "    }\n";
    }
}
