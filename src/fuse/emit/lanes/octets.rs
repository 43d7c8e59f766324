//! Products whose operands are loaded in eights.

use super::{Along, COMPONENTS, Writer};
use std::fmt::Write as _;

impl Writer<'_> {
    /// The loop over eight steps at a time, where operands are loaded in eights; sums of an operand along the
    /// inner axis are added up on the way.
    pub(super) fn octets(&mut self) {
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
    pub(super) fn octet(&mut self, steps: usize, partial: usize) {
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
}
