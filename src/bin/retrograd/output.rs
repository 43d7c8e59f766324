//! Standard output that may be closed at any time, and tables.

use crate::failure::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Where results go. Once nobody reads any more, they are dropped: work and exit code stay the same.
pub struct Output {
    to: Box<dyn Write>,
    is_closed: bool,
    error: Option<std::io::Error>,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::new(std::io::stdout())
    }

    fn new(to: impl Write + 'static) -> Self {
        Self { to: Box::new(to), is_closed: false, error: None }
    }

    /// Writes a text and ends the line.
    pub fn line(&mut self, text: impl Display) {
        self.write(&format!("{text}\n"));
    }

    /// Writes a text that ends its lines itself.
    pub fn write(&mut self, text: &str) {
        if self.is_closed || self.error.is_some() {
            return;
        }
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_closed = true,
            Err(error) => self.error = Some(error),
        }
    }

    /// Writes one JSON value.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Failed(error.to_string()))?;
        self.line(text);
        Ok(())
    }

    /// Whether somebody may still read.
    pub const fn is_read(&self) -> bool {
        !self.is_closed
    }

    /// A failure where something could not be written, other than because nobody reads.
    pub fn finish(self) -> Result<(), Failure> {
        match self.error {
            Some(error) => Err(Failure::Failed(format!("the output could not be written: {error}"))),
            None => Ok(()),
        }
    }
}

/// Rows of texts under titles. Columns of numbers are flush right.
pub struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

/// On which side a column is flush.
#[derive(Clone, Copy, PartialEq)]
pub enum Side {
    Left,
    Right,
}

impl Table {
    pub fn new(columns: &[(&'static str, Side)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |(place, (title, _)): (usize, &(&str, Side))| {
            let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
            cells.chain([title.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();
        let line = |cells: Vec<&str>| {
            let mut line = String::new();
            for ((cell, width), (_, side)) in cells.into_iter().zip(&widths).zip(&self.columns) {
                let cell = match side {
                    Side::Left => format!("{cell:<width$}"),
                    Side::Right => format!("{cell:>width$}"),
                };
                line += &cell;
                line += "  ";
            }
            line.trim_end().to_owned()
        };
        write!(f, "{}", line(self.columns.iter().map(|(title, _)| *title).collect()))?;
        for row in &self.rows {
            write!(f, "\n{}", line(row.iter().map(String::as_str).collect()))?;
        }
        Ok(())
    }
}

/// Names in as many columns as fit, each column read downwards.
pub fn columns(names: &[String], indent: usize) -> String {
    const WIDTH: usize = 100;
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
    let across = ((WIDTH - indent) / widest).max(1);
    let down = names.len().div_ceil(across);
    let line = |row: usize| {
        let cells = names.iter().skip(row).step_by(down.max(1)).map(|name| format!("{name:<widest$}"));
        format!("{:indent$}{}", "", cells.collect::<String>()).trim_end().to_owned()
    };
    (0..down).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_left_is_no_failure_and_a_full_disk_is_one() {
        let mut output = Output::new(Closed(ErrorKind::BrokenPipe));
        output.line("unread");
        assert!(!output.is_read() && output.finish().is_ok());
        let mut output = Output::new(Closed(ErrorKind::StorageFull));
        output.line("unread");
        assert!(matches!(output.finish(), Err(Failure::Failed(_))));
    }

    #[test]
    fn tables_line_up() {
        let mut table = Table::new(&[("op", Side::Left), ("cases", Side::Right), ("verdict", Side::Left)]);
        table.row(["matmul", "7", "ok"].map(str::to_owned));
        assert_eq!(table.to_string(), "op      cases  verdict\nmatmul      7  ok");
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(columns(&names, 2), "  a  b  c");
    }
}
