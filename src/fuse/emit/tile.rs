//! The sizes of tiles, and what follows from them.

/// A tile of C that one workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Rows of the tile.
    pub rows: usize,
    /// Columns of the tile.
    pub columns: usize,
    /// Steps of the inner axis that are staged at a time.
    pub step: usize,
    /// Rows that one invocation holds in registers: blocks of four, spread over the tile.
    pub thread_rows: usize,
    /// Columns that one invocation holds in registers: blocks of four, spread over the tile.
    pub thread_columns: usize,
}

impl Tile {
    /// Invocations side by side.
    #[must_use]
    pub const fn across(self) -> usize {
        self.columns / self.thread_columns
    }

    /// Invocations one below the other.
    #[must_use]
    pub const fn down(self) -> usize {
        self.rows / self.thread_rows
    }

    /// Invocations of a workgroup.
    #[must_use]
    pub const fn threads(self) -> usize {
        self.across() * self.down()
    }

    /// Vectors from one line of a staged operand to the next, where lines lie along the inner axis: an odd number,
    /// so that invocations that read neighbouring lines use different memory banks.
    #[must_use]
    pub const fn line(self) -> usize {
        (self.step / 4) | 1
    }

    /// Vectors of workgroup memory for an operand with so many rows, or columns.
    #[must_use]
    pub const fn staged(self, outer: usize, along_inner: bool) -> usize {
        if along_inner { outer * self.line() } else { self.step * outer / 4 }
    }

    /// Bytes of workgroup memory, for operands that take the most.
    #[must_use]
    pub const fn bytes(self) -> usize {
        (self.staged(self.rows, true) + self.staged(self.columns, true)) * 16
    }

    /// Elements that an invocation loads from workgroup memory for one multiplication and addition.
    #[must_use]
    pub fn loads(self) -> f64 {
        (self.thread_rows + self.thread_columns) as f64 / (self.thread_rows * self.thread_columns) as f64
    }

    /// Elements of A and B that are loaded from global memory for one multiplication and addition.
    #[must_use]
    pub fn global_loads(self) -> f64 {
        (self.rows + self.columns) as f64 / (self.rows * self.columns) as f64
    }
}
