//! Loads of operands, and the names of what was loaded.

use super::{Along, COMPONENTS, LANES, Writer};
use crate::fuse::emit::contract::address;
use std::fmt::Write as _;

impl Writer<'_> {
    /// How a value of A is called: row `row` of the tile, step `k` of four.
    pub(super) fn a_value(&self, row: usize, k: usize) -> String {
        let component = |index: usize| COMPONENTS[index];
        match (self.shares, self.a) {
            (_, Along::Inner) if self.octets => {
                format!("subgroupBroadcast(a{}_{k}, {}u)", row / LANES, row % LANES)
            }
            // A lane holds eight rows of one step; in a tile of sixteen rows even lanes the first eight, four steps
            // to a load.
            (_, Along::Outer) if self.octets => {
                let (octs, steps) = (self.octs(), 8 / self.octs());
                format!("subgroupBroadcast(a{}_{}, {}u)", k / steps, row % 8, k % steps * octs + row / 8)
            }
            (true, Along::Inner) => {
                format!("subgroupBroadcast(a{}.{}, {}u)", row / LANES, component(k), row % LANES)
            }
            // A lane holds four rows of one step; in a tile of sixteen rows lanes 0 to 3 of the even steps, 4 to 7
            // of the odd ones.
            (true, Along::Outer) => {
                let (quads, steps) = (self.high / 4, 32 / self.high);
                format!("subgroupBroadcast(a{}.{}, {}u)", k / steps, component(row % 4), k % steps * quads + row / 4)
            }
            (true, Along::Neither) => format!("subgroupBroadcast(a{}_{k}, {}u)", row / LANES, row % LANES),
            (false, Along::Inner) => format!("a{row}.{}", component(k)),
            (false, Along::Outer) => format!("a{}_{k}.{}", row / 4, component(row % 4)),
            (false, Along::Neither) => format!("a{row}_{k}"),
        }
    }

    /// Statements that load what [`a_value`](Self::a_value) names, for `steps` steps from `k` on.
    pub(super) fn load_a(&mut self, steps: usize) {
        let [row_stride, inner_stride] = self.a_strides;
        let most = self.product.rows - 1;
        let clamped = |row: &str| format!("min({row}, {most}u)");
        let at = |row: &str, k: &str| address("a_base", &[(row, row_stride), (k, inner_stride)]);
        let step = |k: usize| if k == 0 { "k".to_owned() } else { format!("(k + {k}u)") };
        let rows = if self.shares { self.high / LANES } else { self.high };
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
                        let octs = self.octs();
                        let octet = format!("min(row + lane % {octs}u * 8u, {}u)", self.product.rows - 8);
                        // In the rest of the axis, lanes past its end load the last step, which nothing reads.
                        let k = format!("(k + {}u + lane / {octs}u)", load * 8 / octs);
                        let k = if steps < 8 { format!("min({k}, {}u)", self.product.inner - 1) } else { k };
                        at(&octet, &k)
                    }
                };
                for (load, index) in (0..self.octs()).map(index).collect::<Vec<_>>().into_iter().enumerate() {
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
                let quads = self.high / 4;
                let quad = format!("min(row + lane % {quads}u * 4u, {}u)", self.product.rows - 4);
                for load in 0..quads / 2 {
                    let k = format!("(k + {}u + lane / {quads}u)", load * 8 / quads);
                    let _ = writeln!(self.text, "        let a{load} = a[({}) / 4u];", at(&quad, &k));
                }
            }
            Along::Outer => {
                for quad in 0..self.high / 4 {
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
    pub(super) fn load_b(&mut self, steps: usize) {
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
    pub(super) fn unpack(&mut self, from: &str, to: &str) {
        for (pair, component) in COMPONENTS.into_iter().enumerate() {
            let _ = writeln!(self.text, "        let {to}_{} = low({from}.{component});", 2 * pair);
            let _ = writeln!(self.text, "        let {to}_{} = high({from}.{component});", 2 * pair + 1);
        }
    }
}
