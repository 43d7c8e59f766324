//! Products whose operands are loaded in eights.

use super::{Along, COMPONENTS, Writer};
use std::fmt::Write as _;

impl Writer<'_> {
    /// How often eight rows a tile has.
    pub(super) const fn octs(&self) -> usize {
        self.high / 8
    }

    /// The loop over eight steps at a time, where operands are loaded in eights; sums of an operand along the
    /// inner axis are added up on the way.
    pub(super) fn octets(&mut self) {
        let ride = self.product.sums.map(|(ride, _)| ride.operand);
        let partial = match (ride, self.a) {
            (Some(0), Along::Inner) => self.octs(),
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
    pub(super) fn octet(&mut self, steps: usize, partial: usize) {
        let ride = self.product.sums.map(|(ride, _)| ride.operand);
        self.load_a(steps);
        self.load_b(steps);
        for number in 0..partial {
            let terms: Vec<String> = match (ride, self.a) {
                (Some(0), Along::Inner) => (0..8).map(|k| format!("a{number}_{k}")).collect(),
                (Some(0), _) => {
                    let octs = self.octs();
                    let load = |load: usize| {
                        let loaded = format!("a{load}_{number}");
                        if steps == 8 {
                            return loaded;
                        }
                        format!("select(0.0f, {loaded}, {}u + lane / {octs}u < {steps}u)", load * 8 / octs)
                    };
                    (0..octs).map(load).collect()
                }
                _ => (0..steps).map(|k| format!("b{k}_{}.{}", number / 4, COMPONENTS[number % 4])).collect(),
            };
            let _ = writeln!(self.text, "        p{number} += {};", terms.join(" + "));
        }
        self.add(steps);
    }

    /// Stores the sums that [`octets`](Self::octets) has added up.
    pub(super) fn octet_sums(&mut self, operand: usize) {
        let (rows, columns) = (self.product.rows, self.product.columns);
        if operand == 1 {
            let _ = writeln!(self.text, "    if (row == 0u && column < {columns}u) {{");
            for number in 0..8 {
                let _ = writeln!(
                    self.text,
                    "        if (column + {number}u < {columns}u) {{\n            sums[column + {number}u] = p{number};\n        }}"
                );
            }
            self.text += "    }\n";
            return;
        }
        // Every lane gets the sums of its rows; the first tile of a row of tiles stores them.
        let first = format!("column - lane * {}u == 0u", 4 * self.vectors);
        let octs = self.octs();
        for oct in 0..octs {
            if self.a == Along::Inner {
                let _ = writeln!(self.text, "    let sum{oct} = p{oct};");
                continue;
            }
            // Rows in eights lie in every second or fourth lane.
            let _ = writeln!(self.text, "    var sum{oct} = 0.0f;");
            for row in 0..8 {
                let lanes: Vec<String> =
                    (0..8 / octs).map(|step| format!("subgroupBroadcast(p{row}, {}u)", step * octs + oct)).collect();
                let _ = writeln!(
                    self.text,
                    "    let total{oct}_{row} = {};\n    sum{oct} = select(sum{oct}, total{oct}_{row}, lane == {row}u);",
                    lanes.join(" + ")
                );
            }
        }
        for oct in 0..octs {
            let place = format!("row + {}u + lane", oct * 8);
            let _ = writeln!(
                self.text,
                "    if ({first} && {place} < {rows}u) {{\n        sums[{place}] = sum{oct};\n    }}"
            );
        }
    }
}
