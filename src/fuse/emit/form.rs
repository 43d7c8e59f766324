//! Which kernel computes a matrix product: by default, by measurement, or because it was asked for.

use super::block::Block;
use super::tile::Tile;
use crate::record::KernelClass;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fewer workgroups than this leave a GPU partly idle.
pub const FEWEST_WORKGROUPS: usize = 128;
/// Most rows, or columns, of a product that is computed as products of a matrix and vectors.
pub const THIN: usize = 4;

/// Invocations of a workgroup that multiplies a matrix and vectors.
pub const VECTOR_INVOCATIONS: u32 = 256;
/// Bytes of workgroup memory that it takes.
const VECTOR_BYTES: u32 = VECTOR_INVOCATIONS * THIN as u32 * 4;

/// A kernel for matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Form {
    /// A tile of C for every workgroup, staged in workgroup memory.
    #[serde(rename = "128x128")]
    Tile128x128,
    /// The same with fewer columns.
    #[serde(rename = "128x64")]
    Tile128x64,
    /// The same with fewer rows and columns.
    #[serde(rename = "64x64")]
    Tile64x64,
    /// The same for small products.
    #[serde(rename = "32x32")]
    Tile32x32,
    /// A matrix with up to four vectors.
    #[serde(rename = "vector")]
    Vector,
    /// Eight rows and 64 columns of C in the registers of eight lanes, for software adapters.
    #[serde(rename = "shared8")]
    Shared8,
    /// The same with sixteen rows.
    #[serde(rename = "shared16")]
    Shared16,
    /// Thirty-two rows and as many columns.
    #[serde(rename = "shared32")]
    Shared32,
    /// Eight rows and eight columns for every lane.
    #[serde(rename = "own8")]
    Own8,
    /// Sixteen rows and eight columns for every lane.
    #[serde(rename = "own16")]
    Own16,
}

impl Form {
    /// All forms of a class of adapters.
    #[must_use]
    pub const fn of_class(class: KernelClass) -> &'static [Self] {
        match class {
            KernelClass::Gpu => &[Self::Tile128x128, Self::Tile128x64, Self::Tile64x64, Self::Tile32x32, Self::Vector],
            KernelClass::Subgroup => &[Self::Shared8, Self::Shared16, Self::Shared32, Self::Own8, Self::Own16],
            KernelClass::Cpu => &[Self::Own8, Self::Own16],
            KernelClass::Host => &[],
        }
    }

    /// The name in settings and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tile128x128 => "128x128",
            Self::Tile128x64 => "128x64",
            Self::Tile64x64 => "64x64",
            Self::Tile32x32 => "32x32",
            Self::Vector => "vector",
            Self::Shared8 => "shared8",
            Self::Shared16 => "shared16",
            Self::Shared32 => "shared32",
            Self::Own8 => "own8",
            Self::Own16 => "own16",
        }
    }

    /// The tile, where this is one.
    #[must_use]
    pub const fn tile(self) -> Option<Tile> {
        let (rows, columns, step, thread_rows, thread_columns) = match self {
            Self::Tile128x128 => (128, 128, 8, 8, 8),
            Self::Tile128x64 => (128, 64, 8, 8, 8),
            Self::Tile64x64 => (64, 64, 16, 4, 4),
            Self::Tile32x32 => (32, 32, 16, 4, 4),
            _ => return None,
        };
        Some(Tile { rows, columns, step, thread_rows, thread_columns })
    }

    /// What one invocation computes, where that stays in registers, of a C of so many columns.
    #[must_use]
    pub const fn block(self, columns: usize) -> Option<Block> {
        let (rows, most_vectors, shares) = match self {
            Self::Shared8 => (8, 2, true),
            Self::Shared16 => (16, 2, true),
            Self::Shared32 => (32, 1, true),
            Self::Own8 => (8, 2, false),
            Self::Own16 => (16, 2, false),
            _ => return None,
        };
        Some(Block::new(rows, most_vectors, shares, columns))
    }
}

/// What was chosen for a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The form.
    pub form: Form,
    /// Which products it would be measured with: see [`Sizes::class`].
    pub class: String,
    /// Along which axis A, and B, are dense: `i` the inner, `o` the other, `n` neither, or not by fours.
    pub lie: String,
    /// The sizes.
    pub sizes: Sizes,
}

/// The sizes of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// How many products.
    pub batch: usize,
    /// Rows of A and C.
    pub rows: usize,
    /// Columns of B and C.
    pub columns: usize,
    /// Columns of A and rows of B.
    pub inner: usize,
}

impl Sizes {
    /// Products of about the same sizes, for which the same form is best: each size up to a power of two.
    #[must_use]
    pub fn class(&self, class: KernelClass, lie: &str) -> String {
        let up = |size: usize| size.next_power_of_two();
        let class = format!("{class:?}").to_lowercase();
        format!("matmul {class} {lie} {}x{}x{}x{}", up(self.batch), up(self.rows), up(self.columns), up(self.inner))
    }

    /// Products of these very sizes.
    #[must_use]
    pub fn exactly(&self, class: &str) -> String {
        format!("{class} = {}x{}x{}x{}", self.batch, self.rows, self.columns, self.inner)
    }

    /// How many tiles of these sizes C has.
    #[must_use]
    pub fn tiles(&self, rows: usize, columns: usize) -> usize {
        self.rows.div_ceil(rows) * self.columns.div_ceil(columns) * self.batch
    }
}

/// Which forms a device can run, and which were chosen for it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Forms {
    /// The form for all products that it suits, whatever was measured.
    pub forced: Option<Form>,
    /// The best forms, by the class of sizes that they were measured for.
    pub tuned: BTreeMap<String, Form>,
    /// The forms that were taken over from another plan, whatever else is asked for, by [`Sizes::exactly`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<String, Form>,
}

/// What a choice depends on beside the sizes.
#[derive(Clone, Copy, Debug)]
pub struct Chooser<'a> {
    /// The class of the device.
    pub class: KernelClass,
    /// What was forced or measured.
    pub forms: &'a Forms,
    /// Invocations that a workgroup may have.
    pub invocations: u32,
    /// Bytes of workgroup memory that it may have.
    pub workgroup_bytes: u32,
}

impl Chooser<'_> {
    /// The form for a product. `class` says which sizes it stands for in the table of measurements.
    #[must_use]
    pub fn choose(&self, sizes: Sizes, class: &str) -> Form {
        // That the device can run these was checked when they were taken over.
        if let Some(&pinned) = self.forms.pinned.get(&sizes.exactly(class)) {
            return pinned;
        }
        let asked = self.forms.forced.or_else(|| self.forms.tuned.get(class).copied());
        asked.filter(|&form| self.runs(form, sizes)).unwrap_or_else(|| self.portable(sizes))
    }

    /// Whether the device can run a form on these sizes.
    #[must_use]
    pub fn runs(&self, form: Form, sizes: Sizes) -> bool {
        if !Form::of_class(self.class).contains(&form) {
            return false;
        }
        match form.tile() {
            Some(tile) => tile.threads() as u32 <= self.invocations && tile.bytes() as u32 <= self.workgroup_bytes,
            None if form == Form::Vector => {
                let fits = self.invocations >= VECTOR_INVOCATIONS && self.workgroup_bytes >= VECTOR_BYTES;
                fits && sizes.rows.min(sizes.columns) <= THIN
            }
            None => true,
        }
    }

    /// The form where nothing was measured: for software adapters that of the least estimated time, else the largest tile that gives a GPU enough workgroups and wastes little
    /// on what lies past the edges.
    fn portable(&self, sizes: Sizes) -> Form {
        if self.class != KernelClass::Gpu {
            let cycles = |form: &Form| {
                let block = form.block(sizes.columns)?;
                Some(block.cycles(sizes.tiles(block.rows, block.columns()), sizes.inner))
            };
            let forms = Form::of_class(self.class).iter().copied();
            return forms.min_by_key(|form| cycles(form).unwrap_or(usize::MAX)).unwrap_or(Form::Own16);
        }
        if self.runs(Form::Vector, sizes) {
            return Form::Vector;
        }
        let suits = |form: &Form| {
            let Some(tile) = form.tile() else { return false };
            let count = sizes.tiles(tile.rows, tile.columns);
            let covered = count / sizes.batch * tile.rows * tile.columns;
            self.runs(*form, sizes) && count >= FEWEST_WORKGROUPS && 2 * covered <= 3 * sizes.rows * sizes.columns
        };
        let large = [Form::Tile128x128, Form::Tile128x64, Form::Tile64x64].into_iter().find(suits);
        // A long inner axis is cut, so that few tiles still make many workgroups.
        let cut = sizes.inner >= 1024 && sizes.rows.min(sizes.columns) > 32;
        let small = if cut { Form::Tile64x64 } else { Form::Tile32x32 };
        large.unwrap_or(if self.runs(small, sizes) { small } else { Form::Tile32x32 })
    }
}
