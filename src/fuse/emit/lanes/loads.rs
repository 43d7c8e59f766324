//! Loads of operands, and the names of what was loaded.

use super::{Along, COMPONENTS, LANES, Writer};
use crate::fuse::emit::product::address;
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
                let (quads, steps) = self.block.quads();
                format!("subgroupBroadcast(a{}.{}, {}u)", k / steps, component(row % 4), k % steps * quads + row / 4)
            }
            (true, Along::Neither) => format!("subgroupBroadcast(a{}_{k}, {}u)", row / LANES, row % LANES),
            (false, Along::Inner) => format!("a{row}.{}", component(k)),
            (false, Along::Outer) => format!("a{}_{k}.{}", row / 4, component(row % 4)),
            (false, Along::Neither) => format!("a{row}_{k}"),
        }
    }

    /// Statements that find where the rows and columns of the block begin, which the loop over the inner axis does not
    /// change. What lies past an edge is replaced by what lies at it, and not stored.
    pub(super) fn places(&mut self) {
        let (shares, rows) = (self.block.shares, self.product.rows);
        let (row_stride, column_stride) = (self.a_strides[0], self.b_strides[1]);
        let mut place = |name: String, base: &str, at: String, stride: isize| {
            let index = address(base, &[(at.as_str(), stride)]);
            let _ = writeln!(self.text, "    let {name} = {index};");
        };
        match self.a {
            Along::Outer if shares => {
                let quad = format!("min(row + lane % {}u * 4u, {}u)", self.block.rows / 4, rows - 4);
                place("a_at".into(), "a_base", quad, row_stride);
            }
            Along::Outer => {
                for quad in 0..self.block.rows / 4 {
                    let at = format!("min(row + {}u, {}u)", quad * 4, rows - 4);
                    place(format!("a_at{quad}"), "a_base", at, row_stride);
                }
            }
            Along::Inner | Along::Neither => {
                for row in 0..self.block.loaded_rows() {
                    let own = if shares { format!("{}u + lane", row * LANES) } else { format!("{row}u") };
                    let at = format!("min(row + {own}, {}u)", rows - 1);
                    place(format!("a_at{row}"), "a_base", at, row_stride);
                }
            }
        }
        let columns = self.product.columns;
        for vector in 0..self.block.vectors {
            if self.b == Along::Outer {
                let at = format!("min(column + {}u, {}u)", vector * 4, columns - 4);
                place(format!("b_at{vector}"), "b_base", at, column_stride);
                continue;
            }
            for own in 0..4 {
                let at = format!("min(column + {}u, {}u)", vector * 4 + own, columns - 1);
                place(format!("b_at{vector}_{own}"), "b_base", at, column_stride);
            }
        }
    }

    /// Statements that load what [`a_value`](Self::a_value) names, for `steps` steps from `k` on.
    pub(super) fn load_a(&mut self, steps: usize) {
        let inner_stride = self.a_strides[1];
        let at = |base: &str, k: &str| address(base, &[(k, inner_stride)]);
        let mut load = |name: String, value: String| {
            let _ = writeln!(self.text, "        let {name} = {value};");
        };
        let (rows, shares) = (self.block.rows, self.block.shares);
        match self.a {
            Along::Inner => {
                for row in 0..self.block.loaded_rows() {
                    load(format!("a{row}"), self.a_reader.four(&at(&format!("a_at{row}"), "k")));
                }
            }
            Along::Outer if shares => {
                let (quads, held) = self.block.quads();
                for number in 0..steps.div_ceil(held) {
                    // A single step is loaded by the first lanes, and again by the others.
                    let k =
                        if steps == 1 { "k".to_owned() } else { format!("(k + {}u + lane / {quads}u)", number * held) };
                    load(format!("a{number}"), self.a_reader.four(&at("a_at", &k)));
                }
            }
            Along::Outer => {
                for quad in 0..rows / 4 {
                    for k in 0..steps {
                        load(format!("a{quad}_{k}"), self.a_reader.four(&at(&format!("a_at{quad}"), &step(k))));
                    }
                }
            }
            Along::Neither => {
                for row in 0..self.block.loaded_rows() {
                    for k in 0..steps {
                        load(format!("a{row}_{k}"), self.a_reader.one(&at(&format!("a_at{row}"), &step(k))));
                    }
                }
            }
        }
    }

    /// Statements that load `b{k}_{vector}`, four columns each, for `steps` steps from `k` on.
    pub(super) fn load_b(&mut self, steps: usize) {
        let inner_stride = self.b_strides[0];
        let at = |base: &str, k: &str| address(base, &[(k, inner_stride)]);
        let mut load = |name: String, value: String| {
            let _ = writeln!(self.text, "        let {name} = {value};");
        };
        for vector in 0..self.block.vectors {
            match self.b {
                Along::Outer => {
                    for k in 0..steps {
                        load(format!("b{k}_{vector}"), self.b_reader.four(&at(&format!("b_at{vector}"), &step(k))));
                    }
                }
                Along::Inner => {
                    for own in 0..4 {
                        let four = self.b_reader.four(&at(&format!("b_at{vector}_{own}"), "k"));
                        load(format!("t{vector}_{own}"), four);
                    }
                    for (k, component) in COMPONENTS.into_iter().enumerate() {
                        let parts: Vec<String> = (0..4).map(|own| format!("t{vector}_{own}.{component}")).collect();
                        load(format!("b{k}_{vector}"), format!("vec4<f32>({})", parts.join(", ")));
                    }
                }
                Along::Neither => {
                    for k in 0..steps {
                        let part = |own: usize| self.b_reader.one(&at(&format!("b_at{vector}_{own}"), &step(k)));
                        let parts: Vec<String> = (0..4).map(part).collect();
                        load(format!("b{k}_{vector}"), format!("vec4<f32>({})", parts.join(", ")));
                    }
                }
            }
        }
    }
}

/// The step of the inner axis that is so many after `k`.
fn step(after: usize) -> String {
    if after == 0 { "k".to_owned() } else { format!("(k + {after}u)") }
}
