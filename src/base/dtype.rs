use serde::{Deserialize, Serialize};

/// The element type of a tensor. Every element takes four bytes on every device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DType {
    /// 32-bit float: everything that has a gradient.
    F32,
    /// 32-bit signed integer: class labels and indices.
    I32,
    /// 32-bit unsigned integer: masks (0 is false, anything else is true) and counters.
    U32,
}

impl DType {
    /// Bytes of one element: always 4.
    pub const BYTES: usize = 4;

    /// The name in WGSL and in messages: `f32`, `i32` or `u32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::U32 => "u32",
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
