//! Loads of operands, and the names of what was loaded.

use super::{Along, COMPONENTS, LANES, Writer};
use crate::fuse::emit::contract::address;
use std::fmt::Write as _;

impl Writer<'_> {
    /// How a value of A is called: row `row` of the tile, step `k` of four.
    pub(super) fn a_value(&self, row: usize, k: usize) -> String {
        let component = |index: usize| COMPONENTS[index];
        match (self.block.shares, self.a) {
            (true, Along::Inner) => {
                format!("subgroupBroadcast(a{}.{}, {}u)", row / LANES, component(k), row % LANES)
            }
            // A lane holds four rows of one step; in a tile of sixteen rows lanes 0 to 3 of the even steps, 4 to 7
            // of the odd ones.
            (true, Along::Outer) => {
                let (quads, steps) = self.quads();
                format!("subgroupBroadcast(a{}.{}, {}u)", k / steps, component(row % 4), k % steps * quads + row / 4)
            }
            (true, Along::Neither) => format!("subgroupBroadcast(a{}_{k}, {}u)", row / LANES, row % LANES),
            (false, Along::Inner) => format!("a{row}.{}", component(k)),
            (false, Along::Outer) => format!("a{}_{k}.{}", row / 4, component(row % 4)),
            (false, Along::Neither) => format!("a{row}_{k}"),
        }
    }

    /// In how many fours the rows of a tile are, and how many steps of all of them eight lanes hold.
    pub(super) const fn quads(&self) -> (usize, usize) {
        (self.block.rows / 4, 4 * LANES / self.block.rows)
    }

    /// Statements that load what [`a_value`](Self::a_value) names, for `steps` steps from `k` on.
    pub(super) fn load_a(&mut self, steps: usize) {
        let [row_stride, inner_stride] = self.a_strides;
        let most = self.product.rows - 1;
        let clamped = |row: &str| format!("min({row}, {most}u)");
        let at = |row: &str, k: &str| address("a_base", &[(row, row_stride), (k, inner_stride)]);
        let step = |k: usize| if k == 0 { "k".to_owned() } else { format!("(k + {k}u)") };
        let rows = if self.block.shares { self.block.rows / LANES } else { self.block.rows };
        let own = |row: usize| {
            if self.block.shares {
                clamped(&format!("row + {}u + lane", row * LANES))
            } else {
                clamped(&format!("row + {row}u"))
            }
        };
        match self.a {
            Along::Inner => {
                for row in 0..rows {
                    let four = self.a_reader.four(&at(&own(row), "k"));
                    let _ = writeln!(self.text, "        let a{row} = {four};");
                }
            }
            Along::Outer if self.block.shares => {
                // The last four rows stand in for those past the edge, whose results are not stored.
                let (quads, held) = self.quads();
                let quad = format!("min(row + lane % {quads}u * 4u, {}u)", self.product.rows - 4);
                for load in 0..steps.div_ceil(held) {
                    // A single step is loaded by the first lanes, and again by the others.
                    let k =
                        if steps == 1 { "k".to_owned() } else { format!("(k + {}u + lane / {quads}u)", load * held) };
                    let four = self.a_reader.four(&at(&quad, &k));
                    let _ = writeln!(self.text, "        let a{load} = {four};");
                }
            }
            Along::Outer => {
                for quad in 0..self.block.rows / 4 {
                    let row = format!("min(row + {}u, {}u)", quad * 4, self.product.rows - 4);
                    for k in 0..steps {
                        let four = self.a_reader.four(&at(&row, &step(k)));
                        let _ = writeln!(self.text, "        let a{quad}_{k} = {four};");
                    }
                }
            }
            Along::Neither => {
                for row in 0..rows {
                    for k in 0..steps {
                        let one = self.a_reader.one(&at(&own(row), &step(k)));
                        let _ = writeln!(self.text, "        let a{row}_{k} = {one};");
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
        for vector in 0..self.block.vectors {
            match self.b {
                Along::Outer => {
                    let column = format!("min(column + {}u, {}u)", vector * 4, columns - 4);
                    for k in 0..steps {
                        let four = self.b_reader.four(&at(&step(k), &column));
                        let _ = writeln!(self.text, "        let b{k}_{vector} = {four};");
                    }
                }
                Along::Inner => {
                    for own in 0..4 {
                        let column = format!("min(column + {}u, {}u)", vector * 4 + own, columns - 1);
                        let four = self.b_reader.four(&at("k", &column));
                        let _ = writeln!(self.text, "        let t{vector}_{own} = {four};");
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
                                self.b_reader.one(&at(&step(k), &column))
                            })
                            .collect();
                        let _ = writeln!(self.text, "        let b{k}_{vector} = vec4<f32>({});", parts.join(", "));
                    }
                }
            }
        }
    }
}
