//! Paths of gradients as text.

use super::paths::{Fate, GradientPath, GradientPaths, ParameterPath, PathEnd, PathOp};
use crate::record::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// In longer tables, parameters of layers that are alike share a row.
const MOST_ROWS: usize = 24;
/// So many ops are listed with their source lines below the table.
const MOST_OPS: usize = 24;
/// Of longer paths the middle is left out.
const MOST_STATIONS: usize = 7;
/// So many places where gradients end are listed.
const MOST_ENDS: usize = 12;

impl fmt::Display for GradientPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "gradients of the loss {}", self.loss)?;
        if f.alternate() {
            self.parameters.iter().try_for_each(|parameter| self.in_full(f, parameter))?;
        } else {
            self.table(f)?;
            self.op_list(f)?;
        }
        self.end_list(f)?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "\nmistake: {fault}"))
    }
}

impl GradientPaths {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["parameter", "shape", "gradient", "uses", "paths", "from the loss back to it"].map(str::to_owned);
        let mut rows = vec![head];
        for (parameter, like) in self.rows() {
            let name = match like {
                0 => parameter.name.clone(),
                _ => format!("{} (and {like} like it)", parameter.name),
            };
            let (fate, uses, paths, way) = match &parameter.fate {
                Fate::Trained(path) => ("trained", path.uses.to_string(), count(path.paths), self.way(path)),
                Fate::Frozen => ("frozen", String::new(), String::new(), String::new()),
                Fate::Cell => ("cell", String::new(), String::new(), String::new()),
                Fate::LeftOut => ("left out", String::new(), String::new(), String::new()),
                Fate::NotReached { reason, cuts } => ("NONE", String::new(), String::new(), self.cut(reason, cuts)),
            };
            rows.push([name, parameter.shape.to_string(), fate.to_owned(), uses, paths, way]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        for row in &rows {
            let [name, shape, fate, uses, paths, way] = row;
            let line = format!(
                "{name:0$}  {shape:1$}  {fate:2$}  {uses:>3$}  {paths:>4$}  {way}",
                widths[0], widths[1], widths[2], widths[3], widths[4]
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// The parameters to show, each with how many there are beside it that differ from it in the numbers of their names alone.
    fn rows(&self) -> Vec<(&ParameterPath, usize)> {
        if self.parameters.len() <= MOST_ROWS {
            return self.parameters.iter().map(|parameter| (parameter, 0)).collect();
        }
        let mut rows: Vec<(&ParameterPath, usize)> = Vec::new();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for parameter in &self.parameters {
            let fate = match &parameter.fate {
                Fate::Trained(path) => {
                    format!("trained {:?}", path.ops.last().and_then(|&op| self.op(op)).map(|op| &op.op))
                }
                Fate::NotReached { reason, .. } => reason.clone(),
                other => format!("{other:?}"),
            };
            let key = format!("{} {} {fate}", pattern(&parameter.name), parameter.shape);
            if let Some(&place) = known.get(&key) {
                rows[place].1 += 1;
            } else {
                known.insert(key, rows.len());
                rows.push((parameter, 0));
            }
        }
        rows
    }

    /// A path in one line: ops of one scope together, without views, the middle of a long one left out.
    fn way(&self, path: &GradientPath) -> String {
        let mut stations: Vec<(&str, Vec<&str>)> = Vec::new();
        for op in path.ops.iter().filter_map(|&node| self.op(node)).filter(|op| !op.is_view) {
            match stations.last_mut() {
                Some((scope, ops)) if *scope == op.scope => ops.push(&op.op),
                _ => stations.push((&op.scope, vec![&op.op])),
            }
        }
        let text = |(scope, ops): &(&str, Vec<&str>)| {
            let ops = if ops.len() > MOST_STATIONS {
                format!("{}, .. {} ops .., {}", ops[..3].join(", "), ops.len() - 6, ops[ops.len() - 3..].join(", "))
            } else {
                ops.join(if scope.is_empty() { " <- " } else { ", " })
            };
            if scope.is_empty() { ops } else { format!("{scope}({ops})") }
        };
        let texts = |stations: &[(&str, Vec<&str>)]| stations.iter().map(text).collect::<Vec<_>>().join(" <- ");
        if stations.len() <= MOST_STATIONS {
            return texts(&stations);
        }
        let (first, rest) = stations.split_at(3);
        let (middle, last) = rest.split_at(rest.len() - 3);
        let left_out: usize = middle.iter().map(|(_, ops)| ops.len()).sum();
        format!("{} <- .. {left_out} ops .. <- {}", texts(first), texts(last))
    }

    fn cut(&self, reason: &str, cuts: &[usize]) -> String {
        let place = |&number: &usize| self.op(self.ends[number].node).map(at);
        let places: Vec<String> = cuts.iter().take(3).filter_map(place).collect();
        match (places.is_empty(), cuts.len() > 3) {
            (true, _) => reason.to_owned(),
            (_, false) => format!("{reason}: {}", places.join("; ")),
            (_, true) => format!("{reason}: {}; and {} more", places.join("; "), cuts.len() - 3),
        }
    }

    /// The ops on the paths with their source lines, where these are few.
    fn op_list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut on_paths: BTreeSet<NodeId> =
            self.parameters.iter().flat_map(|parameter| ops(&parameter.fate)).collect();
        on_paths.retain(|&node| self.op(node).is_some_and(|op| !op.is_view));
        if on_paths.is_empty() || on_paths.len() > MOST_OPS {
            return Ok(());
        }
        writeln!(f, "\nops on these paths but for views, the loss first")?;
        let ops: Vec<&PathOp> = on_paths.iter().rev().filter_map(|&node| self.op(node)).collect();
        let widths = [
            ops.iter().map(|op| op.op.len()).max().unwrap_or(0),
            ops.iter().map(|op| op.output.len()).max().unwrap_or(0),
            ops.iter().map(|op| op.scope.len()).max().unwrap_or(0),
        ];
        for op in ops {
            let (name, output, scope) = (&op.op, &op.output, &op.scope);
            writeln!(f, "  {name:0$}  {output:1$}  {scope:2$}  {3}", widths[0], widths[1], widths[2], op.location)?;
        }
        Ok(())
    }

    fn in_full(&self, f: &mut fmt::Formatter<'_>, parameter: &ParameterPath) -> fmt::Result {
        write!(f, "\n{} f32{}: ", parameter.name, parameter.shape)?;
        match &parameter.fate {
            Fate::Frozen => writeln!(f, "frozen"),
            Fate::Cell => writeln!(f, "a cell"),
            Fate::LeftOut => writeln!(f, "left out by `Training::only`"),
            Fate::NotReached { reason, cuts } => writeln!(f, "NO GRADIENT, {}", self.cut(reason, cuts)),
            Fate::Trained(path) => {
                let GradientPath { uses, backward, gradient, .. } = path;
                let paths = count(path.paths);
                writeln!(
                    f,
                    "trained; uses: {uses}, paths: {paths}, backward nodes: {backward}, the last %{}",
                    gradient.0
                )?;
                for op in path.ops.iter().filter_map(|&node| self.op(node)) {
                    let nodes: Vec<String> = op.backward.iter().map(|node| format!("%{}", node.0)).collect();
                    let gap = if op.attributes.is_empty() { "" } else { " " };
                    writeln!(f, "  %{} {}{gap}{} {} at {}", op.node.0, op.op, op.attributes, op.output, place(op))?;
                    writeln!(f, "      backward: {}", if nodes.is_empty() { "-".into() } else { nodes.join(" ") })?;
                }
                Ok(())
            }
        }
    }

    /// Where gradients end, in words; places that are alike, as of the steps of a recurrent network, once.
    pub(crate) fn end_lines(&self) -> Vec<String> {
        let mut alike: Vec<(String, usize)> = Vec::new();
        for line in self.ends.iter().filter_map(|end| self.end(end)) {
            match alike.iter_mut().find(|(known, _)| *known == line) {
                Some((_, count)) => *count += 1,
                None => alike.push((line, 1)),
            }
        }
        let times = |(line, count): (String, usize)| if count > 1 { format!("{line} ({count} times)") } else { line };
        alike.into_iter().map(times).collect()
    }

    fn end_list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.end_lines();
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(f, "\ngradients end on purpose between a trained parameter and the loss at")?;
        let most = if f.alternate() { usize::MAX } else { MOST_ENDS };
        lines.iter().take(most).try_for_each(|line| writeln!(f, "  {line}"))?;
        if lines.len() > most {
            writeln!(f, "  and {} more: print with {{:#}}", lines.len() - most)?;
        }
        Ok(())
    }

    fn end(&self, end: &PathEnd) -> Option<String> {
        let op = self.op(end.node)?;
        let behind = match &end.parameters[..] {
            [] => String::new(),
            [one] => format!("; behind it: {one}"),
            [first, .., last] => format!("; behind it: {first} .. {last}, {} in all", end.parameters.len()),
        };
        Some(format!("{}: {}{behind}", at(op), end.reason.text()))
    }
}

/// The nodes of the path of a parameter.
fn ops(fate: &Fate) -> Vec<NodeId> {
    match fate {
        Fate::Trained(path) => path.ops.clone(),
        _ => Vec::new(),
    }
}

fn place(op: &PathOp) -> String {
    if op.scope.is_empty() { op.location.clone() } else { format!("{} in {}", op.location, op.scope) }
}

fn at(op: &PathOp) -> String {
    format!("{} {} at {}", op.op, op.output, place(op))
}

/// A name with `#` for every number in it.
fn pattern(name: &str) -> String {
    let mut pattern = String::new();
    for letter in name.chars() {
        match letter {
            digit if digit.is_ascii_digit() && pattern.ends_with('#') => {}
            digit if digit.is_ascii_digit() => pattern.push('#'),
            letter => pattern.push(letter),
        }
    }
    pattern
}

/// A number of paths: exact while it is short.
fn count(paths: f64) -> String {
    if paths < 1e6 { format!("{paths}") } else { format!("{paths:.1e}") }
}
