//! What one invocation of a product in registers computes.

/// Invocations of a workgroup: the lanes of a SIMD register.
pub const LANES: usize = 8;

/// Rows and columns of C that an invocation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Rows.
    pub rows: usize,
    /// Vectors of four columns.
    pub vectors: usize,
    /// Whether the eight lanes of a subgroup have the same rows, of columns next to one another. Else each has a block
    /// anywhere.
    pub shares: bool,
}

/// Cycles that fetching a vector for all lanes takes, about.
const FETCH: usize = 50;
/// Vectors of eight lanes that are multiplied and added in three cycles, about.
const PRODUCTS: usize = 4;

impl Block {
    /// A block of so many rows and at most so many vectors, for a C of so many columns.
    pub const fn new(rows: usize, most_vectors: usize, shares: bool, columns: usize) -> Self {
        let widest = Self { rows, vectors: most_vectors, shares };
        if columns >= widest.columns() { widest } else { Self { rows, vectors: 1, shares } }
    }

    /// Columns that eight lanes have together, or one.
    pub const fn columns(self) -> usize {
        4 * self.vectors * if self.shares { LANES } else { 1 }
    }

    /// In how many loads an invocation has the rows: where they are shared, each of the lanes loads its part.
    pub const fn loaded_rows(self) -> usize {
        if self.shares { self.rows / LANES } else { self.rows }
    }

    /// In how many fours the rows are, and how many steps of all of them eight lanes hold that load one four each.
    pub const fn quads(self) -> (usize, usize) {
        (self.rows / 4, 4 * LANES / self.rows)
    }

    /// About how many cycles so many blocks take.
    pub const fn cycles(self, blocks: usize, inner: usize) -> usize {
        let groups = if self.shares { blocks } else { blocks.div_ceil(LANES) };
        // Of four steps of the inner axis: what is loaded of A and B, and four products for every element.
        let fetches = 4 * self.vectors + self.loaded_rows();
        let products = 4 * self.rows * self.vectors * 4;
        groups * inner.div_ceil(4) * (fetches * FETCH + products * 3 / PRODUCTS)
    }
}
