//! What a model is made of, as a table.

use crate::base::{DType, Layout, TensorType};
use crate::record::{Graph, KernelClass, Leaf, LowerContext, Lowering, Node, NodeKind, Recording};
use std::collections::BTreeSet;
use std::fmt;

/// A recording, layer by layer: what [`Graph::summary`] makes. Printing it gives a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// A row for every scope, in the order of recording, and one for everything between them.
    pub rows: Vec<SummaryRow>,
}

/// One layer of a [`Summary`].
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// Its scope, such as `decoder.attention`; empty for what was recorded outside of all.
    pub scope: String,
    /// The ops that it records, each once.
    pub ops: Vec<String>,
    /// The type of its result: the last of what it records that others use, or else the last.
    pub output: TensorType,
    /// Elements of the parameters that it is the first to use, without cells.
    pub parameters: usize,
    /// Bytes of the results of its ops, before any are fused or share memory.
    pub bytes: usize,
    /// Floating-point operations of a forward pass, a function counted as one.
    pub operations: u64,
}

impl Summary {
    /// Elements of all parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.rows.iter().map(|row| row.parameters).sum()
    }

    /// Floating-point operations of a forward pass.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.rows.iter().map(|row| row.operations).sum()
    }

    /// Bytes of all results.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.bytes).sum()
    }
}

impl Graph {
    /// What has been recorded so far, as a table of layers: output shapes, parameters, memory and operations of a forward
    /// pass. Layers are told apart by their scopes.
    ///
    /// ```
    /// use retrograd::nn::Linear;
    /// use retrograd::{Graph, Params};
    /// let mut params = Params::seeded(1);
    /// let layer = Linear::new(&mut params, "down", 3, 2);
    /// let g = Graph::new();
    /// layer.forward(g.input("x", [4, 3]));
    /// let summary = g.summary();
    /// assert_eq!(summary.parameters(), 3 * 2 + 2);
    /// println!("{summary}");
    /// ```
    #[must_use]
    pub fn summary(&self) -> Summary {
        let recording = self.recording();
        let mut rows: Vec<SummaryRow> = Vec::new();
        let mut counted = BTreeSet::new();
        let used = used_outside(&recording);
        for (number, node) in recording.nodes.iter().enumerate().filter(|(_, node)| node.origin.is_none()) {
            if matches!(node.kind, NodeKind::Leaf(Leaf::Input { .. } | Leaf::Constant(_))) {
                continue;
            }
            // What has no scope stands in a row of its own wherever it comes, so that shapes read from top to bottom.
            let same = |row: &SummaryRow| row.scope == node.place.scope;
            let known = match rows.last() {
                Some(last) if node.place.scope.is_empty() => same(last).then(|| rows.len() - 1),
                _ => rows.iter().position(same),
            };
            let place = known.unwrap_or_else(|| {
                rows.push(SummaryRow {
                    scope: node.place.scope.clone(),
                    ops: Vec::new(),
                    output: node.outputs[0].clone(),
                    parameters: 0,
                    bytes: 0,
                    operations: 0,
                });
                rows.len() - 1
            });
            let row = &mut rows[place];
            match &node.kind {
                NodeKind::Leaf(Leaf::Parameter(info)) if !info.cell && counted.insert((info.store, info.index)) => {
                    row.parameters += node.outputs[0].shape.elements();
                }
                NodeKind::Leaf(_) => {}
                NodeKind::Op(_) => {
                    if let Some(operations) = operations(&recording, node) {
                        if !row.ops.iter().any(|op| op == node.name()) {
                            row.ops.push(node.name().to_owned());
                        }
                        row.bytes += node.outputs.iter().map(TensorType::bytes).sum::<usize>();
                        row.operations += operations;
                    }
                    let scope = &node.place.scope;
                    if used.contains(&number) || !used.iter().any(|&of| recording.nodes[of].place.scope == *scope) {
                        row.output = node.outputs[0].clone();
                    }
                }
            }
        }
        rows.retain(|row| row.parameters > 0 || !row.ops.is_empty());
        Summary { rows }
    }
}

/// The forward nodes whose results other scopes use.
fn used_outside(recording: &Recording) -> BTreeSet<usize> {
    let forward = recording.nodes.iter().filter(|node| node.origin.is_none());
    let used = forward.flat_map(|node| node.inputs.iter().map(move |input| (input.node.index(), node)));
    used.filter(|(index, node)| recording.nodes[*index].place.scope != node.place.scope)
        .map(|(index, _)| index)
        .collect()
}

/// Floating-point operations of an op; none for views, which move nothing.
fn operations(recording: &Recording, node: &Node) -> Option<u64> {
    let NodeKind::Op(op) = &node.kind else { return None };
    let types: Vec<TensorType> = node.inputs.iter().map(|&input| recording.tensor_type(input).clone()).collect();
    let layouts: Vec<Layout> = types.iter().map(|input| Layout::dense(&input.shape)).collect();
    let cx = LowerContext { inputs: &types, layouts: &layouts, outputs: &node.outputs, class: KernelClass::Cpu };
    let outputs: usize = node.outputs.iter().map(|output| output.shape.elements()).sum();
    Some(match op.lower(&cx) {
        Lowering::View(_) => return None,
        Lowering::Contract(contraction) => 2 * outputs as u64 * contraction.inner(&types) as u64,
        Lowering::Reduce(_) => types[0].shape.elements() as u64,
        Lowering::Pointwise(_) | Lowering::Kernel(_) if node.outputs[0].dtype == DType::F32 => outputs as u64,
        Lowering::Pointwise(_) | Lowering::Kernel(_) => 0,
    })
}

/// A number with a unit of thousands, as people read it.
fn short(number: f64) -> String {
    let units = ["", " k", " M", " G", " T"];
    let mut scaled = number;
    let mut unit = 0;
    while scaled >= 1000.0 && unit + 1 < units.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{number}") } else { format!("{scaled:.1}{}", units[unit]) }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["layer", "ops", "output", "parameters", "memory (B)", "operations"].map(str::to_owned);
        let cells = |row: &SummaryRow| {
            let scope = if row.scope.is_empty() { "(outside)".to_owned() } else { row.scope.clone() };
            let shown = 3;
            let mut ops = row.ops.iter().take(shown).cloned().collect::<Vec<_>>().join(", ");
            if row.ops.len() > shown {
                ops += ", ..";
            }
            let (bytes, operations) = (short(row.bytes as f64), short(row.operations as f64));
            [scope, ops, row.output.shape.to_string(), row.parameters.to_string(), bytes, operations]
        };
        let total = [
            "total".to_owned(),
            String::new(),
            String::new(),
            self.parameters().to_string(),
            short(self.bytes() as f64),
            short(self.operations() as f64),
        ];
        let rows: Vec<[String; 6]> = self.rows.iter().map(cells).collect();
        let all = || rows.iter().chain([&head, &total]);
        let widths: Vec<usize> =
            (0..head.len()).map(|column| all().map(|row| row[column].len()).max().unwrap_or(0)).collect();
        let line = |f: &mut fmt::Formatter<'_>, row: &[String; 6]| {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // Numbers stand at the right.
                if column >= 3 {
                    write!(f, "  {cell:>width$}")?;
                } else {
                    write!(f, "{}{cell:width$}", if column == 0 { "" } else { "  " })?;
                }
            }
            writeln!(f)
        };
        let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
        line(f, &head)?;
        writeln!(f, "{rule}")?;
        for row in &rows {
            line(f, row)?;
        }
        writeln!(f, "{rule}")?;
        line(f, &total)
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::{BatchNorm, Linear};
    use crate::record::{Graph, Params};

    #[test]
    fn rows_show_what_a_layer_hands_on_and_what_it_trains() {
        let mut params = Params::seeded(1);
        let (up, norm) = (Linear::new(&mut params, "up", 3, 5), BatchNorm::new(&mut params, "norm", 5));
        let g = Graph::new();
        let _y = norm.forward(up.forward(g.input("x", [4, 3]))).relu();
        let summary = g.summary();
        let row = |scope: &str| summary.rows.iter().find(|row| row.scope == scope).unwrap();
        // Running statistics are recorded last, and are cells.
        assert_eq!((row("norm").output.shape.to_vec(), row("norm").parameters), (vec![4, 5], 10));
        assert_eq!((row("up").output.shape.to_vec(), row("up").parameters), (vec![4, 5], 20));
        assert_eq!(row("up").operations, 2 * 4 * 5 * 3 + 20);
        assert_eq!(summary.parameters(), 30);
    }
}
